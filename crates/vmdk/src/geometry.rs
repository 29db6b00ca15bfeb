//! The division of an extent's guest data into grains and grain tables.

use std::num::NonZeroU64;

use crate::addr::{ExtentOffset, SECTOR};

/// The sizes of a sparse extent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    grain_bytes: NonZeroU64,
    entries_per_table: NonZeroU64,
    capacity: u64,
}

impl Geometry {
    /// The geometry of an extent of `capacity` bytes. Headers are checked to have grains and table entries; 0
    /// counts as 1.
    pub(crate) fn new(grain_bytes: u64, entries_per_table: u64, capacity: u64) -> Self {
        let at_least_one = |count| NonZeroU64::new(count).unwrap_or(NonZeroU64::MIN);
        Self {
            grain_bytes: at_least_one(grain_bytes),
            entries_per_table: at_least_one(entries_per_table),
            capacity,
        }
    }

    /// Bytes of a grain.
    pub(crate) const fn grain_bytes(self) -> u64 {
        self.grain_bytes.get()
    }

    /// Entries of a grain table.
    pub(crate) const fn entries_per_table(self) -> u64 {
        self.entries_per_table.get()
    }

    /// Bytes of guest data; the last grain may go beyond.
    pub(crate) const fn capacity(self) -> u64 {
        self.capacity
    }

    /// Grains of the extent.
    pub(crate) const fn grains(self) -> u64 {
        self.capacity.div_ceil(self.grain_bytes.get())
    }

    /// Grain tables of the extent, and so entries of its grain directory.
    pub(crate) const fn tables(self) -> u64 {
        self.capacity.div_ceil(self.table_span().get())
    }

    /// Sectors of guest data; the last may be partial.
    pub(crate) const fn capacity_sectors(self) -> u64 {
        self.capacity.div_ceil(SECTOR)
    }

    /// Sectors of a grain.
    pub(crate) const fn grain_sectors(self) -> u64 {
        self.grain_bytes.get() / SECTOR
    }

    /// Sectors of a grain directory with entries of 4 bytes.
    pub(crate) const fn directory_sectors(self) -> u64 {
        self.tables().saturating_mul(4).div_ceil(SECTOR)
    }

    /// Guest bytes that one grain table maps: at most 4 GiB, by the limits on grains and tables.
    pub(crate) const fn table_span(self) -> NonZeroU64 {
        self.grain_bytes.saturating_mul(self.entries_per_table)
    }

    /// The index of the grain table that maps `guest`.
    pub(crate) fn table_index(self, guest: ExtentOffset) -> u64 {
        guest.0 / self.table_span()
    }

    /// The index in its table of the entry that maps `guest`.
    pub(crate) fn slot(self, guest: ExtentOffset) -> u64 {
        guest.0 % self.table_span() / self.grain_bytes
    }

    /// The first guest byte that table `index` maps.
    pub(crate) const fn table_start(self, index: u64) -> ExtentOffset {
        ExtentOffset(index.saturating_mul(self.table_span().get()))
    }

    /// The first guest byte of the grain that entry `slot` of table `index` maps.
    pub(crate) const fn grain_at(self, index: u64, slot: u64) -> ExtentOffset {
        self.table_start(index).plus(slot.saturating_mul(self.grain_bytes.get()))
    }

    /// The distance of an offset from the start of its grain.
    pub(crate) fn in_grain(self, guest: ExtentOffset) -> u64 {
        guest.0 % self.grain_bytes
    }

    /// The first byte of the grain that contains `guest`.
    pub(crate) fn grain_start(self, guest: ExtentOffset) -> ExtentOffset {
        ExtentOffset(guest.0.saturating_sub(self.in_grain(guest)))
    }

    /// Bytes of the extent in the grain that begins at `start`: fewer than a grain at the end of the extent.
    pub(crate) fn grain_len(self, start: ExtentOffset) -> u64 {
        self.grain_bytes().min(self.capacity.saturating_sub(start.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_is_split_into_table_slot_and_rest() {
        let geometry = Geometry::new(4096, 512, (2 << 20) + 4097);
        let guest = ExtentOffset((2 << 20) + 4096);
        assert_eq!((geometry.table_index(guest), geometry.slot(guest), geometry.in_grain(guest)), (1, 1, 0));
        assert_eq!(geometry.grain_at(1, 1), guest);
        assert_eq!(geometry.grain_start(guest.plus(5)), guest);
    }

    #[test]
    fn last_grain_ends_with_the_extent() {
        let geometry = Geometry::new(4096, 512, (2 << 20) + 4097);
        assert_eq!((geometry.tables(), geometry.grains()), (2, 514));
        assert_eq!(geometry.grain_len(geometry.grain_at(1, 0)), 4096);
        assert_eq!(geometry.grain_len(geometry.grain_at(1, 1)), 1);
        assert_eq!(geometry.grain_len(geometry.grain_at(1, 2)), 0);
    }
}
