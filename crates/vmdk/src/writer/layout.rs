//! The numbers that follow from the options: grains, tables, their places and bounds.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extents".

use std::ops::Range;

use diskimg_core::{Remedy, Result};

use super::error::invalid;
use crate::errors::limit;
use crate::sparse_header::{MAX_DIRECTORY_ENTRIES, MAX_ENTRIES_PER_TABLE, SECTOR};

/// Bytes of a sector, as a length in memory.
pub(super) const SECTOR_BYTES: usize = 512;
/// Entries of a grain table: the specification's number, which no other writer varies.
pub(super) const GRAIN_TABLE_ENTRIES: u32 = MAX_ENTRIES_PER_TABLE;
/// Bytes of a grain table.
pub(super) const GRAIN_TABLE_BYTES: u64 = ENTRIES * 4;
/// Sectors kept for a descriptor inside an extent, so that it can be changed in place. QEMU's number.
pub(super) const DESCRIPTOR_SECTORS: u64 = 20;

const ENTRIES: u64 = GRAIN_TABLE_ENTRIES as u64;
/// Bytes of a grain. The specification's least is "more than 8 sectors", but 4 KiB is seen and read; the most
/// is a bound of ours: readers that hold one grain in a fixed buffer expect no more.
const GRAIN_SIZES: Range<u64> = 4096..65_537;

/// The checked shape of one sparse extent that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The size the caller writes, in bytes.
    size: u64,
    grain_bits: u32,
}

impl Shape {
    /// The shape of an extent for `size` bytes of the disk.
    pub(super) fn new(size: u64, grain_size: u64) -> Result<Self> {
        check_grain_size(grain_size)?;
        let shape = Self { size, grain_bits: grain_size.trailing_zeros() };
        if shape.tables() > MAX_DIRECTORY_ENTRIES {
            let most = MAX_DIRECTORY_ENTRIES.saturating_mul(shape.table_reach());
            let error = invalid("virtual_size").found(size).expected(format_args!("at most {most} bytes"));
            return Err(error.with_remedy(Remedy::SetOption(&[
                ("grain_size", "a larger size"),
                ("subformat", "one of several files, or a flat one"),
            ])));
        }
        Ok(shape)
    }

    /// The size the caller writes, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Sectors of the disk, the last perhaps in part.
    pub(super) fn capacity_sectors(&self) -> u64 {
        self.size.div_ceil(SECTOR)
    }

    /// Bytes of a grain.
    pub(super) fn grain(&self) -> u64 {
        1 << self.grain_bits
    }

    pub(super) fn grain_sectors(&self) -> u64 {
        self.grain() / SECTOR
    }

    /// Guest bytes that one grain table maps.
    pub(super) fn table_reach(&self) -> u64 {
        ENTRIES << self.grain_bits
    }

    /// Grain tables, and entries of the grain directory.
    pub(super) fn tables(&self) -> u64 {
        self.size.div_ceil(self.table_reach())
    }

    /// Sectors of the grain directory.
    pub(super) fn directory_sectors(&self) -> u64 {
        self.tables().saturating_mul(4).div_ceil(SECTOR)
    }

    /// Which table maps grain `index`, and with which of its entries.
    pub(super) fn slot(&self, index: u64) -> (u64, usize) {
        let slot = usize::try_from(index % ENTRIES).unwrap_or_default();
        (index / ENTRIES, slot)
    }

    /// Which grain `offset` lies in.
    pub(super) fn grain_at(&self, offset: u64) -> u64 {
        offset >> self.grain_bits
    }

    /// Guest offset of the first byte of grain `index`.
    pub(super) fn start_of(&self, index: u64) -> u64 {
        index.saturating_mul(self.grain())
    }

    /// How far into its grain an offset lies.
    pub(super) fn in_grain(&self, offset: u64) -> u64 {
        offset & self.grain().saturating_sub(1)
    }

    /// Guest bytes of the grain that `offset` lies in, from there on and cut at `end`.
    pub(super) fn part_from(&self, offset: u64, end: u64) -> Range<u64> {
        let rest = self.grain().saturating_sub(self.in_grain(offset));
        offset..offset.saturating_add(rest).min(end)
    }
}

/// Where the metadata of a sparse extent lies that has all its tables in front; in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) redundant_directory: u64,
    pub(super) redundant_tables: u64,
    pub(super) directory: u64,
    pub(super) tables: u64,
    /// Where the first grain may lie.
    pub(super) overhead: u64,
}

impl Front {
    /// `descriptor_sectors` behind the header, directory and tables, the same again, and up to a whole grain.
    pub(super) fn new(shape: &Shape, descriptor_sectors: u64) -> Result<Self> {
        let directory_sectors = shape.directory_sectors();
        let tables_sectors = shape.tables().saturating_mul(GRAIN_TABLE_BYTES / SECTOR);
        let redundant_directory = descriptor_sectors.saturating_add(1);
        let redundant_tables = redundant_directory.saturating_add(directory_sectors);
        let directory = redundant_tables.saturating_add(tables_sectors);
        let tables = directory.saturating_add(directory_sectors);
        let end = tables.saturating_add(tables_sectors);
        let overhead = end.checked_next_multiple_of(shape.grain_sectors()).unwrap_or(u64::MAX);
        sector_number(overhead)?;
        Ok(Self { redundant_directory, redundant_tables, directory, tables, overhead })
    }
}

/// Checks the option alone.
pub(super) fn check_grain_size(size: u64) -> Result<()> {
    if size.is_power_of_two() && GRAIN_SIZES.contains(&size) {
        return Ok(());
    }
    Err(invalid("grain_size").found(size).expected("a power of two from 4096 to 65536"))
}

/// A sector as tables and directories hold it.
pub(super) fn sector_number(sector: u64) -> Result<u32> {
    u32::try_from(sector).map_err(|_| {
        limit("sparse extent")
            .found(format_args!("longer than {sector} sectors"))
            .expected("at most 2^32 sectors, 2 TiB")
            .with_remedy(Remedy::SetOption(&[("subformat", "a flat one, or one of several files")]))
    })
}

/// Words as they stand in a table or directory, filled up to whole sectors.
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
    fn the_metadata_in_front_tiles_up_to_a_whole_grain() {
        // 3 tables; a directory of one sector, tables of four.
        let shape = Shape::new((64 << 20) + 1, 65_536).unwrap();
        let front = Front::new(&shape, DESCRIPTOR_SECTORS).unwrap();
        let expected =
            Front { redundant_directory: 21, redundant_tables: 22, directory: 34, tables: 35, overhead: 128 };
        assert_eq!(front, expected);
    }

    #[test]
    fn a_disk_with_more_tables_than_readers_take_is_refused() {
        assert!(Shape::new(1 << 50, 65_536).is_ok());
        let error = Shape::new((1 << 50) + 1, 65_536).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(Shape::new(u64::MAX, 65_536).is_err());
        for size in [0, 512, 2048, 5000, 131_072, u64::MAX] {
            assert_eq!(Shape::new(1, size).unwrap_err().kind(), ErrorKind::InvalidInput, "{size}");
        }
    }
}
