//! The header of a sparse extent of ESX, a "copy on write disk" (COWD).
//!
//! Source: VMware, "Virtual Disk Format 5.0", "ESX Server Sparse Extent". Little-endian, counted in sectors.

use diskimg_core::{ErrorKind, HostOffset, Result, ensure};
use nom::number::complete::le_u32;
use nom::{IResult, Parser};

use crate::addr::{sector_offset, sectors};
use crate::errors::{corrupt, limit, truncated, unsupported};
use crate::sparse_header::MAX_GRAIN_SECTORS;

/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"COWD";
/// Bytes of the header, with parent name and description. Set by the specification.
pub(crate) const HEADER_BYTES: u64 = 2048;
/// Entries of a grain table. Set by the specification.
pub(crate) const ENTRIES_PER_TABLE: u64 = 4096;
/// Bytes of the fields that a reader needs.
const NEEDED: usize = 32;

/// The fields that a reader needs, checked against each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CowdHeader {
    version: u32,
    capacity_sectors: u32,
    grain_sectors: u32,
    directory_sector: u32,
    directory_entries: u32,
}

impl CowdHeader {
    /// Parses and checks the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the magic, [`ErrorKind::Truncated`] if `bytes` ends before the
    /// header, [`ErrorKind::Unsupported`], [`ErrorKind::Limit`] or [`ErrorKind::Corrupt`] for the first invalid
    /// field.
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

    /// The version of the format.
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    /// Bytes of guest data in the extent.
    pub(crate) fn capacity(&self) -> u64 {
        sectors(self.capacity_sectors.into())
    }

    /// Bytes of a grain.
    pub(crate) fn grain_bytes(&self) -> u64 {
        sectors(self.grain_sectors.into())
    }

    /// Entries of the grain directory that the capacity needs.
    fn entries_needed(&self) -> u64 {
        let table_sectors = u64::from(self.grain_sectors).saturating_mul(ENTRIES_PER_TABLE);
        u64::from(self.capacity_sectors).div_ceil(table_sectors.max(1))
    }

    /// The offset of the grain directory.
    pub(crate) fn directory(&self) -> HostOffset {
        sector_offset(self.directory_sector.into())
    }

    fn check(&self) -> Result<()> {
        ensure(self.version == 1, || unsupported("version").at(4).found(self.version).expected("1"))?;
        let grain = u64::from(self.grain_sectors);
        ensure(grain != 0, || corrupt("grainSize").at(16).found(0).expected("at least 1 sector"))?;
        if grain > MAX_GRAIN_SECTORS {
            return Err(limit("grainSize")
                .at(16)
                .found(grain)
                .expected(format_args!("at most {MAX_GRAIN_SECTORS} sectors")));
        }
        let needed = self.entries_needed();
        if u64::from(self.directory_entries) < needed {
            return Err(corrupt("numGDEntries")
                .at(24)
                .found(self.directory_entries)
                .expected(format_args!("at least {needed} for {} sectors", self.capacity_sectors)));
        }
        if needed > 0 && self.directory().0 < HEADER_BYTES {
            return Err(corrupt("gdOffset")
                .at(20)
                .found(self.directory_sector)
                .expected("a sector after the header, 4 or more"));
        }
        Ok(())
    }
}

fn fields(bytes: &[u8]) -> IResult<&[u8], CowdHeader> {
    let (rest, (_, version, _, capacity_sectors)) = (le_u32, le_u32, le_u32, le_u32).parse(bytes)?;
    let (rest, (grain_sectors, directory_sector, directory_entries, _)) =
        (le_u32, le_u32, le_u32, le_u32).parse(rest)?;
    let header = CowdHeader { version, capacity_sectors, grain_sectors, directory_sector, directory_entries };
    Ok((rest, header))
}
