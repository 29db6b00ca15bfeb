//! The header of a sparse extent of ESX, "copy on write disk".
//!
//! Source: VMware, "Virtual Disk Format 5.0", "ESX Server Sparse Extent". Little-endian, counted in sectors.

use diskimg_core::{ErrorKind, Result};
use nom::number::complete::le_u32;
use nom::{IResult, Parser};

use crate::errors::{corrupt, limit, truncated, unsupported};
use crate::sparse_header::{MAX_GRAIN_SECTORS, SECTOR};

/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"COWD";
/// Bytes of the header, parent name and description included. Set by the specification.
pub(crate) const HEADER_BYTES: u64 = 2048;
/// Entries of a grain table. Set by the specification.
pub(crate) const ENTRIES_PER_TABLE: u64 = 4096;
/// Bytes that a reader needs.
const NEEDED: usize = 32;

/// The fields that a reader needs, checked against each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CowdHeader {
    pub(crate) version: u32,
    pub(crate) capacity_sectors: u32,
    pub(crate) grain_sectors: u32,
    pub(crate) directory_sectors: u32,
    pub(crate) directory_entries: u32,
}

impl CowdHeader {
    /// Reads and checks the header that `bytes` begin with.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the magic, [`ErrorKind::Truncated`] when `bytes` ends before the
    /// header, and whatever kind the first field has that cannot be.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        if let Some(magic) = bytes.first_chunk::<4>()
            && *magic != MAGIC
        {
            return Err(corrupt("magic").with_kind(ErrorKind::UnknownFormat).at(0).found_name(magic));
        }
        let (_, header) = fields(bytes).map_err(|_| {
            truncated("header")
                .at(0)
                .found(format_args!("{} bytes", bytes.len()))
                .expected(format_args!("at least {NEEDED}"))
        })?;
        header.check().map(|()| header)
    }

    /// Bytes of the disk that the extent holds.
    pub(crate) fn capacity(&self) -> u64 {
        u64::from(self.capacity_sectors).saturating_mul(SECTOR)
    }

    /// Bytes of a grain.
    pub(crate) fn grain_bytes(&self) -> u64 {
        u64::from(self.grain_sectors).saturating_mul(SECTOR)
    }

    fn check(&self) -> Result<()> {
        if self.version != 1 {
            return Err(unsupported("version").at(4).found(self.version).expected("1"));
        }
        let grain = u64::from(self.grain_sectors);
        if grain == 0 {
            return Err(corrupt("grainSize").at(16).found(0).expected("at least 1 sector"));
        }
        if grain > MAX_GRAIN_SECTORS {
            return Err(limit("grainSize")
                .at(16)
                .found(grain)
                .expected(format_args!("at most {MAX_GRAIN_SECTORS} sectors")));
        }
        let needed = u64::from(self.capacity_sectors).div_ceil(grain.saturating_mul(ENTRIES_PER_TABLE));
        if u64::from(self.directory_entries) < needed {
            return Err(corrupt("numGDEntries")
                .at(24)
                .found(self.directory_entries)
                .expected(format_args!("at least {needed} for {} sectors", self.capacity_sectors)));
        }
        if needed > 0 && u64::from(self.directory_sectors).saturating_mul(SECTOR) < HEADER_BYTES {
            return Err(corrupt("gdOffset")
                .at(20)
                .found(self.directory_sectors)
                .expected("a sector behind the header, 4 or more"));
        }
        Ok(())
    }
}

fn fields(bytes: &[u8]) -> IResult<&[u8], CowdHeader> {
    let (rest, (_, version, _, capacity_sectors)) = (le_u32, le_u32, le_u32, le_u32).parse(bytes)?;
    let (rest, (grain_sectors, directory_sectors, directory_entries, _)) =
        (le_u32, le_u32, le_u32, le_u32).parse(rest)?;
    let header =
        CowdHeader { version, capacity_sectors, grain_sectors, directory_sectors, directory_entries };
    Ok((rest, header))
}
