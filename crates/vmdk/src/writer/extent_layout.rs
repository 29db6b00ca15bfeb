//! The sizes and offsets of a sparse extent.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extents".

use std::ops::Range;

use diskimg_core::{HostOffset, Remedy, Result, ensure};

use crate::addr::{ExtentOffset, SECTOR, sector_offset};
use crate::errors::{invalid_option, limit};
use crate::geometry::Geometry;
use crate::sparse_header::{MAX_DIRECTORY_ENTRIES, MAX_ENTRIES_PER_TABLE};

/// Bytes of a sector, as a length in memory.
pub(super) const SECTOR_BYTES: usize = 512;
/// Entries of a grain table: the specification's number, which all known writers use.
pub(super) const GRAIN_TABLE_ENTRIES: u32 = MAX_ENTRIES_PER_TABLE;
/// Bytes of a grain table.
pub(super) const GRAIN_TABLE_BYTES: u64 = ENTRIES * 4;
/// Sectors reserved for an embedded descriptor, so that it can be changed in place. QEMU's number.
pub(super) const DESCRIPTOR_SECTORS: u64 = 20;

const ENTRIES: u64 = GRAIN_TABLE_ENTRIES as u64;
/// The grain sizes in bytes. The specification's minimum is "more than 8 sectors", but writers use 4 KiB and readers
/// accept it. The maximum is our limit: some readers have a fixed buffer of this size.
const GRAIN_SIZES: Range<u64> = 4096..65_537;

/// The size in bytes of the largest disk in one sparse file, with the largest grains: 1 PiB.
pub(super) const LARGEST_DISK: u64 = (GRAIN_SIZES.end - 1) * ENTRIES * MAX_DIRECTORY_ENTRIES;

/// The geometry of an extent for `size` bytes of the disk, which is its capacity.
pub(super) fn checked_geometry(size: u64, grain_size: u64) -> Result<Geometry> {
    check_grain_size(grain_size)?;
    let geometry = Geometry::new(grain_size, ENTRIES, size);
    ensure(geometry.tables() <= MAX_DIRECTORY_ENTRIES, || {
        let expected =
            format!("at most {} bytes", geometry.table_span().get().saturating_mul(MAX_DIRECTORY_ENTRIES));
        let error = invalid_option("virtual_size").found(size).expected(expected);
        match size <= LARGEST_DISK {
            true => error.with_remedy(Remedy::SetOption(&[("grain_size", "a larger size")])),
            false => error,
        }
    })?;
    Ok(geometry)
}

/// The index of the grain table that maps `guest`, and the index of its entry in that table.
pub(super) fn table_and_slot(geometry: Geometry, guest: ExtentOffset) -> (u64, usize) {
    (geometry.table_index(guest), usize::try_from(geometry.slot(guest)).unwrap_or_default())
}

/// The places of a grain directory and of its tables, which are adjacent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectoryLayout {
    pub(super) directory_sector: u64,
    pub(super) tables_sector: u64,
}

/// The places of the metadata of a sparse extent. All tables precede the grains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MetadataLayout {
    pub(super) redundant: DirectoryLayout,
    pub(super) primary: DirectoryLayout,
    /// The first sector of the first grain.
    pub(super) overhead_sectors: u64,
}

impl MetadataLayout {
    /// The header, `descriptor_sectors`, then twice a directory and tables, padded to a whole grain.
    pub(super) fn new(geometry: Geometry, descriptor_sectors: u64) -> Result<Self> {
        let directory_sectors = geometry.directory_sectors();
        let tables_sectors = geometry.tables().saturating_mul(GRAIN_TABLE_BYTES / SECTOR);
        let layout = |directory_sector: u64| {
            let tables_sector = directory_sector.saturating_add(directory_sectors);
            DirectoryLayout { directory_sector, tables_sector }
        };
        let redundant = layout(descriptor_sectors.saturating_add(1));
        let primary = layout(redundant.tables_sector.saturating_add(tables_sectors));
        let end = primary.tables_sector.saturating_add(tables_sectors);
        let overhead_sectors = end.checked_next_multiple_of(geometry.grain_sectors()).unwrap_or(u64::MAX);
        sector_number(overhead_sectors)?;
        Ok(Self { redundant, primary, overhead_sectors })
    }

    /// The two offsets of grain table `index`.
    pub(super) fn table_offsets(&self, index: u64) -> [HostOffset; 2] {
        let offset = index.saturating_mul(GRAIN_TABLE_BYTES);
        [self.redundant, self.primary].map(|layout| sector_offset(layout.tables_sector).plus(offset))
    }
}

/// Checks the grain size alone.
pub(super) fn check_grain_size(size: u64) -> Result<()> {
    ensure(size.is_power_of_two() && GRAIN_SIZES.contains(&size), || {
        invalid_option("grain_size").found(size).expected("a power of two from 4096 to 65536")
    })
}

/// Narrows a sector to an entry of a table or directory.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Limit`] if the entry cannot store it.
pub(super) fn sector_number(sector: u64) -> Result<u32> {
    u32::try_from(sector).map_err(|_| {
        limit("sparse extent")
            .found(format_args!("longer than {sector} sectors"))
            .expected("at most 2^32 sectors, 2 TiB")
            .with_remedy(Remedy::SetOption(&[("subformat", "a flat one, or one of several files")]))
    })
}

/// Returns the bytes of a table or directory, padded to whole sectors.
pub(super) fn table_bytes(words: &[u32]) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(bytes.len().next_multiple_of(SECTOR_BYTES), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    #[test]
    fn metadata_is_contiguous_up_to_a_whole_grain() {
        // Three tables of four sectors; a directory of one sector.
        let geometry = checked_geometry((64 << 20) + 1, 65_536).unwrap();
        let metadata = MetadataLayout::new(geometry, DESCRIPTOR_SECTORS).unwrap();
        let expected = MetadataLayout {
            redundant: DirectoryLayout { directory_sector: 21, tables_sector: 22 },
            primary: DirectoryLayout { directory_sector: 34, tables_sector: 35 },
            overhead_sectors: 128,
        };
        assert_eq!(metadata, expected);
    }

    #[test]
    fn disk_with_more_tables_than_readers_accept_is_rejected() {
        assert!(checked_geometry(1 << 50, 65_536).is_ok());
        let error = checked_geometry((1 << 50) + 1, 65_536).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(checked_geometry(u64::MAX, 65_536).is_err());
        for size in [0, 512, 2048, 5000, 131_072, u64::MAX] {
            assert_eq!(checked_geometry(1, size).unwrap_err().kind(), ErrorKind::InvalidInput, "{size}");
        }
    }
}
