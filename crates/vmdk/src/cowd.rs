//! The header of a sparse extent of ESX, a "copy on write disk" (COWD).
//!
//! Source: VMware, "Virtual Disk Format 5.0", "ESX Server Sparse Extent". Little-endian, counted in sectors.

use diskimg_core::{ErrorKind, HostOffset, Result, ensure};
use nom::multi::fill;
use nom::number::complete::le_u32;
use nom::{IResult, Parser};

use crate::addr::{sector_offset, sectors};
use crate::errors::{corrupt, limit, short_header, unsupported};
use crate::sparse_header::MAX_GRAIN_SECTORS;

/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"COWD";
/// Bytes of the header, with parent name and description. Set by the specification.
pub(crate) const HEADER_BYTES: u64 = 2048;
/// Entries of a grain table. Set by the specification.
pub(crate) const ENTRIES_PER_TABLE: u64 = 4096;
/// Words of the fields that a reader needs.
const NEEDED_WORDS: usize = 8;

/// The fields that a reader needs, checked against each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CowdHeader {
    pub(crate) version: u32,
    /// Bytes of guest data in the extent.
    pub(crate) capacity: u64,
    pub(crate) grain_bytes: u64,
    /// The offset of the grain directory.
    pub(crate) directory: HostOffset,
}

impl CowdHeader {
    /// Parses and checks the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the magic, [`ErrorKind::Truncated`] if `bytes` ends before the
    /// header, [`ErrorKind::Unsupported`], [`ErrorKind::Limit`] or [`ErrorKind::Corrupt`] for the first invalid
    /// field.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        if let Some(magic) = bytes.first_chunk::<4>() {
            if *magic != MAGIC {
                return Err(corrupt("magic").with_kind(ErrorKind::UnknownFormat).at(0).found_name(magic));
            }
        }
        let mut words = [0; NEEDED_WORDS];
        let parsed: IResult<&[u8], ()> = fill(le_u32, &mut words).parse(bytes);
        parsed.map_err(|_| short_header(bytes, HostOffset(0), 4 * NEEDED_WORDS))?;
        let [_, version, _, capacity, grain, directory_sector, directory_entries, _] = words;
        let (capacity_sectors, grain_sectors) = (u64::from(capacity), u64::from(grain));
        ensure(version == 1, || unsupported("version").at(4).found(version).expected("1"))?;
        ensure(grain != 0, || corrupt("grainSize").at(16).found(0).expected("at least 1 sector"))?;
        ensure(grain_sectors <= MAX_GRAIN_SECTORS, || {
            let expected = format!("at most {MAX_GRAIN_SECTORS} sectors");
            limit("grainSize").at(16).found(grain).expected(expected)
        })?;
        let needed = capacity_sectors.div_ceil(grain_sectors.saturating_mul(ENTRIES_PER_TABLE));
        ensure(u64::from(directory_entries) >= needed, || {
            let expected = format!("at least {needed} for {capacity} sectors");
            corrupt("numGDEntries").at(24).found(directory_entries).expected(expected)
        })?;
        let directory = sector_offset(directory_sector.into());
        ensure(needed == 0 || directory.0 >= HEADER_BYTES, || {
            let expected = "a sector after the header, 4 or more";
            corrupt("gdOffset").at(20).found(directory_sector).expected(expected)
        })?;
        let (capacity, grain_bytes) = (sectors(capacity_sectors), sectors(grain_sectors));
        Ok(Self { version, capacity, grain_bytes, directory })
    }
}
