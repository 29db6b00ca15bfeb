//! The header of a hosted sparse extent, and the footer of a stream, which is a copy of it after the grains.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extent Header". Little-endian, packed, counted in
//! sectors of 512 bytes. Limits that the specification does not set are QEMU's (`block/vmdk.c`) or ours.
//!
//! | bit of `flags` | meaning | a reader that does not know it |
//! |---|---|---|
//! | 0 | the newline test is valid | reads the same bytes |
//! | 1 | there is a redundant grain directory | reads the same bytes |
//! | 2 | an entry of 1 is a grain of zeros | reads the same bytes: no grain is in sector 1 |
//! | 3 to 15 | none; QEMU, VirtualBox and open-vmdk ignore them | reads the same bytes |
//! | 16 | grains are compressed | must refuse |
//! | 17 | markers precede grains and tables | must refuse |
//! | 18 to 31 | none; open-vmdk calls the upper half incompatible | must refuse |

use std::ops::Range;

use diskimg_core::{Error, ErrorKind, HostOffset, Result, ensure};
use nom::bytes::complete::take;
use nom::number::complete::{le_u8, le_u16, le_u32, le_u64};
use nom::{IResult, Parser};

use crate::addr::{SECTOR, sector_offset, sectors, span};
use crate::errors::{corrupt, limit, short_header, unsupported};

/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"KDMV";
/// The first four bytes of a file that open-vmdk has not finished writing.
pub(crate) const UNFINISHED_MAGIC: [u8; 4] = *b"kdmv";
/// Bytes of the header; the rest of its sector is padding.
pub(crate) const HEADER_BYTES: usize = 79;
/// Bytes that a text-mode transfer changes.
pub(crate) const NEWLINE_TEST: [u8; 4] = *b"\n \r\n";
/// The `gdOffset` of a stream: the footer has the offset.
pub(crate) const GD_AT_END: u64 = u64::MAX;
/// The only `compressAlgorithm`: deflate in zlib format (RFC 1950).
pub(crate) const DEFLATE: u16 = 1;

/// `flags`: the newline test bytes are valid.
pub(crate) const NEWLINE_TEST_VALID: u32 = 1;
/// `flags`: there is a redundant grain directory.
pub(crate) const REDUNDANT_DIRECTORY: u32 = 1 << 1;
/// `flags`: an entry of 1 in a grain table stands for a grain of zeros.
pub(crate) const ZEROED_GRAIN: u32 = 1 << 2;
/// `flags`: grains are compressed.
pub(crate) const COMPRESSED: u32 = 1 << 16;
/// `flags`: markers precede grains and tables.
pub(crate) const MARKERS: u32 = 1 << 17;
/// `flags` with a meaning.
const KNOWN: u32 = NEWLINE_TEST_VALID | REDUNDANT_DIRECTORY | ZEROED_GRAIN | COMPRESSED | MARKERS;
/// `flags` that change the meaning of the file, so that an unknown one must be rejected.
const INCOMPATIBLE: u32 = 0xFFFF_0000;

/// The largest grains in sectors: 1 MiB. Our limit: each reading thread allocates a grain, and no known writer
/// exceeds 64 KiB. QEMU accepts up to 1 GiB.
pub(crate) const MAX_GRAIN_SECTORS: u64 = 2048;
/// The maximum number of entries of a grain table. A limit of the specification and of QEMU.
pub(crate) const MAX_ENTRIES_PER_TABLE: u32 = 512;
/// The maximum number of entries of a grain directory. A limit of QEMU.
pub(crate) const MAX_DIRECTORY_ENTRIES: u64 = 32 << 20;
/// The first capacity that does not fit 63 bits in bytes.
const CAPACITY_END: u64 = (1 << 63) / SECTOR;

/// The header's fields, checked for themselves and against each other, but not against the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SparseHeader {
    pub(crate) version: u32,
    pub(crate) flags: u32,
    pub(crate) capacity_sectors: u64,
    pub(crate) grain_sectors: u64,
    /// 0 in the extents of an image whose descriptor is a separate file.
    pub(crate) descriptor_offset_sectors: u64,
    pub(crate) descriptor_size_sectors: u64,
    pub(crate) entries_per_table: u32,
    pub(crate) redundant_directory_sectors: u64,
    /// [`GD_AT_END`] if the footer has it.
    pub(crate) directory_sectors: u64,
    pub(crate) overhead_sectors: u64,
    pub(crate) unclean_shutdown: bool,
    pub(crate) newline_test: [u8; 4],
    pub(crate) compress_algorithm: u16,
}

impl SparseHeader {
    /// Parses and checks the header at the start of `bytes`, which is at byte `at` of its file: 0, or the place
    /// of a footer.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the magic, [`ErrorKind::Truncated`] if `bytes` ends before the
    /// header, [`ErrorKind::Unsupported`], [`ErrorKind::Limit`] or [`ErrorKind::Corrupt`] for the first invalid
    /// field.
    pub(crate) fn parse(bytes: &[u8], at: HostOffset) -> Result<Self> {
        match bytes.first_chunk::<4>() {
            Some(&MAGIC) | None => {}
            Some(&UNFINISHED_MAGIC) => {
                return Err(unsupported("magic")
                    .at(at.0)
                    .found_name(&UNFINISHED_MAGIC)
                    .expected("KDMV")
                    .because("the file is unfinished: its writer was interrupted"));
            }
            Some(magic) => {
                return Err(corrupt("magic").with_kind(ErrorKind::UnknownFormat).at(at.0).found_name(magic));
            }
        }
        let (_, header) = fields(bytes).map_err(|_| short_header(bytes, at, HEADER_BYTES))?;
        // The checks give offsets in the header.
        let locate = |error: Error| match error.offset() {
            Some(field) => error.at(at.plus(field).0),
            None => error,
        };
        header.check().map_err(locate)?;
        Ok(header)
    }

    /// Returns true if a flag is set.
    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The set flags without a meaning.
    pub(crate) const fn unknown_flags(&self) -> u32 {
        self.flags & !KNOWN
    }

    /// Bytes of guest data in the extent.
    pub(crate) const fn capacity(&self) -> u64 {
        sectors(self.capacity_sectors)
    }

    /// Bytes of a grain.
    pub(crate) const fn grain_bytes(&self) -> u64 {
        sectors(self.grain_sectors)
    }

    /// The bytes of the descriptor, if there is room for one.
    pub(crate) fn descriptor(&self) -> Option<Range<HostOffset>> {
        let start = sector_offset(self.descriptor_offset_sectors);
        (start.0 != 0).then(|| span(start, sectors(self.descriptor_size_sectors)))
    }

    /// Bytes of the grain directory.
    pub(crate) fn directory_bytes(&self) -> u64 {
        self.directory_entries().saturating_mul(4)
    }

    /// Entries of the grain directory, one for each grain table.
    pub(crate) fn directory_entries(&self) -> u64 {
        let span = self.grain_sectors.saturating_mul(self.entries_per_table.into());
        self.capacity_sectors.div_ceil(span.max(1))
    }

    /// Returns true if the file has a descriptor but no guest data: the extents are other files.
    pub(crate) const fn is_descriptor_only(&self) -> bool {
        self.capacity_sectors == 0 && self.descriptor_offset_sectors != 0
    }

    /// Returns true if the footer has the offset of the grain directory.
    pub(crate) const fn has_footer(&self) -> bool {
        self.directory_sectors == GD_AT_END
    }

    fn check(&self) -> Result<()> {
        if !(1..=3).contains(&self.version) {
            return Err(unsupported("version").at(4).found(self.version).expected("1 to 3"));
        }
        if self.has(NEWLINE_TEST_VALID) && self.newline_test != NEWLINE_TEST {
            return Err(corrupt("newline test")
                .at(73)
                .found_name(&self.newline_test)
                .expected("\"\\n \\r\\n\"")
                .because("the file went through a text-mode transfer"));
        }
        self.check_flags()?;
        if self.capacity_sectors >= CAPACITY_END {
            let expected = "less than 2^63 bytes, in sectors";
            return Err(limit("capacity").at(12).found(self.capacity_sectors).expected(expected));
        }
        if self.descriptor_offset_sectors != 0 && self.descriptor_size_sectors == 0 {
            return Err(corrupt("descriptorSize").at(36).found(0).expected("at least 1 sector"));
        }
        if self.is_descriptor_only() { Ok(()) } else { self.check_tables() }
    }

    fn check_flags(&self) -> Result<()> {
        let unknown = self.flags & INCOMPATIBLE & !(COMPRESSED | MARKERS);
        if unknown != 0 {
            let expected = "none but 0x30000 in the upper half";
            return Err(unsupported("flags").at(8).found_hex(self.flags).expected(expected));
        }
        match (self.has(COMPRESSED), self.compress_algorithm) {
            (false, 0) | (true, DEFLATE) => {}
            (_, algorithm @ (0 | DEFLATE)) => {
                return Err(corrupt("compressAlgorithm").at(77).found(algorithm).expected(
                    if algorithm == 0 {
                        "1 (deflate): the flag for compressed grains is set"
                    } else {
                        "0: the flag for compressed grains is not set"
                    },
                ));
            }
            (_, other) => {
                return Err(unsupported("compressAlgorithm").at(77).found(other).expected("0 or 1"));
            }
        }
        if self.has(COMPRESSED) != self.has(MARKERS) {
            return Err(unsupported("flags").at(8).found_hex(self.flags).expected(
                "compressed grains and markers together: readers interpret one without the other differently",
            ));
        }
        Ok(())
    }

    fn check_tables(&self) -> Result<()> {
        if self.grain_sectors > MAX_GRAIN_SECTORS {
            let expected = format!("at most {MAX_GRAIN_SECTORS} sectors");
            return Err(limit("grainSize").at(20).found(self.grain_sectors).expected(expected));
        }
        ensure(self.grain_sectors.is_power_of_two(), || {
            corrupt("grainSize").at(20).found(self.grain_sectors).expected("a power of 2")
        })?;
        if self.entries_per_table == 0 {
            return Err(corrupt("numGTEsPerGT").at(44).found(0).expected("at least 1"));
        }
        if self.entries_per_table > MAX_ENTRIES_PER_TABLE {
            let expected = format!("at most {MAX_ENTRIES_PER_TABLE}");
            return Err(limit("numGTEsPerGT").at(44).found(self.entries_per_table).expected(expected));
        }
        let entries = self.directory_entries();
        if entries > MAX_DIRECTORY_ENTRIES {
            return Err(limit("capacity").at(12).found(self.capacity_sectors).expected(format_args!(
                "a grain directory of at most {MAX_DIRECTORY_ENTRIES} entries, not {entries}"
            )));
        }
        Ok(())
    }
}

fn fields(bytes: &[u8]) -> IResult<&[u8], SparseHeader> {
    let (rest, (_, version, flags, capacity_sectors, grain_sectors)) =
        (le_u32, le_u32, le_u32, le_u64, le_u64).parse(bytes)?;
    let (rest, (descriptor_offset_sectors, descriptor_size_sectors, entries_per_table)) =
        (le_u64, le_u64, le_u32).parse(rest)?;
    let (rest, (redundant_directory_sectors, directory_sectors, overhead_sectors)) =
        (le_u64, le_u64, le_u64).parse(rest)?;
    let (rest, (unclean_shutdown, newline, compress_algorithm)) =
        (le_u8, take(4_usize), le_u16).parse(rest)?;
    let header = SparseHeader {
        version,
        flags,
        capacity_sectors,
        grain_sectors,
        descriptor_offset_sectors,
        descriptor_size_sectors,
        entries_per_table,
        redundant_directory_sectors,
        directory_sectors,
        overhead_sectors,
        unclean_shutdown: unclean_shutdown != 0,
        newline_test: newline.first_chunk().copied().unwrap_or_default(),
        compress_algorithm,
    };
    Ok((rest, header))
}
