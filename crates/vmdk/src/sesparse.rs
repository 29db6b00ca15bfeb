//! The headers of a space-efficient sparse extent of ESXi (seSparse).
//!
//! Source: QEMU's `block/vmdk.c`; VMware documents nothing of it. Little-endian words of 64 bits, counted in
//! sectors of 512 bytes.

use std::ops::Range;

use diskimg_core::{ErrorKind, HostOffset, Result};
use nom::Parser;
use nom::multi::fill;
use nom::number::complete::le_u64;

use crate::addr::{SECTOR, sector_offset, sectors, span};
use crate::entry_format::{SESPARSE_ENTRY_BYTES, SESPARSE_TABLE_SECTORS, SeSparseAreas};
use crate::errors::{corrupt, short_header, unsupported};

/// The first word of the constant header, and of the file.
const MAGIC: u64 = 0xcafe_babe;
/// The second word: version 2.1.
const VERSION: u64 = 0x2_0000_0001;
/// The first word of the volatile header.
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;
/// Sectors of a grain, the only size there is.
const GRAIN_SECTORS: u64 = 8;
/// Bytes of a grain, the only size there is.
pub(crate) const GRAIN_BYTES: u64 = GRAIN_SECTORS * SECTOR;
/// Entries of a grain table.
pub(crate) const ENTRIES_PER_TABLE: u64 = SESPARSE_TABLE_SECTORS * SECTOR / SESPARSE_ENTRY_BYTES;
/// The first number of sectors that does not fit 63 bits in bytes.
const SECTORS_END: u64 = (1 << 63) / SECTOR;

/// The fields of the constant header that a reader needs, checked against each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SeSparseHeader {
    /// Bytes of guest data in the extent.
    pub(crate) capacity: u64,
    /// The offset of the volatile header, which is one sector.
    pub(crate) volatile_header: HostOffset,
    /// The bytes of the grain directory.
    pub(crate) directory: Range<HostOffset>,
    /// The areas that table and grain numbers count from.
    pub(crate) areas: SeSparseAreas,
}

/// The first 16 bytes of a file: magic and version. The magic alone is not rare.
pub(crate) fn signature() -> [u8; 16] {
    let mut signature = [0; 16];
    let (magic, version) = signature.split_at_mut(8);
    magic.copy_from_slice(&MAGIC.to_le_bytes());
    version.copy_from_slice(&VERSION.to_le_bytes());
    signature
}

impl SeSparseHeader {
    /// Parses and checks the constant header at the start of `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the magic, [`ErrorKind::Truncated`] if `bytes` ends before the
    /// header, [`ErrorKind::Unsupported`] or [`ErrorKind::Corrupt`] for the first invalid field.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let words: [u64; 26] = words(bytes, HostOffset(0))?;
        let [magic, version, capacity, grain, table, flags, ..] = words;
        let [.., volatile, _, _, _, _, _, directory, directory_size, tables, _, _, _, _, _, grains, _] =
            words;
        if magic != MAGIC {
            return Err(corrupt("magic").with_kind(ErrorKind::UnknownFormat).at(0).found_hex(magic));
        }
        let known = [
            ("version", 8, version, VERSION),
            ("grain size", 24, grain, GRAIN_SECTORS),
            ("grain table size", 32, table, SESPARSE_TABLE_SECTORS),
            ("flags", 40, flags, 0),
        ];
        for (field, at, found, only) in known {
            if found != only {
                return Err(unsupported(field).at(at).found_hex(found).expected(format_args!("{only:#x}")));
            }
        }
        let sector_counts = [
            ("capacity", 16, capacity),
            ("volatile header offset", 80, volatile),
            ("grain directory offset", 128, directory),
            ("grain directory size", 136, directory_size),
            ("grain tables offset", 144, tables),
            ("grains offset", 192, grains),
        ];
        for (field, at, found) in sector_counts {
            if found >= SECTORS_END {
                return Err(corrupt(field).at(at).found(found).expected("less than 2^63 bytes, in sectors"));
            }
        }
        let tables_needed = capacity.div_ceil(ENTRIES_PER_TABLE * GRAIN_SECTORS);
        let needed = tables_needed.saturating_mul(SESPARSE_ENTRY_BYTES).div_ceil(SECTOR);
        if directory_size < needed {
            let expected = format!("at least {needed} sectors for {capacity} sectors of disk");
            return Err(corrupt("grain directory size").at(136).found(directory_size).expected(expected));
        }
        Ok(Self {
            capacity: sectors(capacity),
            volatile_header: sector_offset(volatile),
            directory: span(sector_offset(directory), sectors(directory_size)),
            areas: SeSparseAreas { tables: sector_offset(tables), grains: sector_offset(grains) },
        })
    }
}

/// Checks the volatile header, which is at byte `at` of the file and at the start of `bytes`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] if its journal must be replayed first, [`ErrorKind::Corrupt`] without its magic.
pub(crate) fn check_volatile(bytes: &[u8], at: HostOffset) -> Result<()> {
    let [magic, _, _, replay_journal] = words(bytes, at)?;
    if magic != VOLATILE_MAGIC {
        let expected = format!("{VOLATILE_MAGIC:#x}");
        return Err(corrupt("magic of the volatile header").at(at.0).found_hex(magic).expected(expected));
    }
    if replay_journal != 0 {
        let because = "the extent was not closed cleanly, and only ESXi can replay its journal";
        let found = unsupported("replay_journal").at(at.plus(24).0).found(replay_journal);
        return Err(found.expected("0").because(because));
    }
    Ok(())
}

fn words<const N: usize>(bytes: &[u8], at: HostOffset) -> Result<[u64; N]> {
    let mut words = [0; N];
    let parsed: nom::IResult<&[u8], ()> = fill(le_u64, &mut words).parse(bytes);
    match parsed {
        Ok(_) => Ok(words),
        Err(_) => Err(short_header(bytes, at, N.saturating_mul(8))),
    }
}
