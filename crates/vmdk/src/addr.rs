//! Offsets: in the disk, in the guest data of one extent, and in a file of the image.
//!
//! The three are different types so that one cannot be used for another. The specification counts in sectors of
//! 512 bytes; offsets are bytes.
//!
//! Sums and products that leave 64 bits become `u64::MAX`. No file and no disk reaches it (both end below 2^63),
//! so the bounds check that follows every offset from an image rejects it.

use std::ops::Range;

/// The bytes of a sector, the unit of every offset and size in the format.
pub(crate) const SECTOR: u64 = 512;

/// A byte offset in the disk that the guest sees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct GuestOffset(pub(crate) u64);

/// A byte offset in the guest data of one extent. In an image of one extent it equals the [`GuestOffset`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ExtentOffset(pub(crate) u64);

/// A byte offset in a file of the image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct HostOffset(pub(crate) u64);

impl ExtentOffset {
    /// The offset in the disk, for an extent that begins at `extent_start`.
    pub(crate) const fn in_disk(self, extent_start: GuestOffset) -> GuestOffset {
        GuestOffset(extent_start.0.saturating_add(self.0))
    }
}

impl HostOffset {
    /// The offset at which a sector begins.
    pub(crate) const fn of_sector(sector: u64) -> Self {
        Self(sectors(sector))
    }

    /// The offset `bytes` further on.
    pub(crate) const fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// The `len` bytes of the file from here.
    pub(crate) const fn span(self, len: u64) -> Range<u64> {
        self.0..self.plus(len).0
    }
}

/// The bytes of `count` sectors.
pub(crate) const fn sectors(count: u64) -> u64 {
    count.saturating_mul(SECTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflowing_offset_is_past_every_file() {
        assert_eq!(HostOffset::of_sector(1 << 55), HostOffset(u64::MAX));
        assert_eq!(HostOffset(u64::MAX - 1).plus(2), HostOffset(u64::MAX));
        assert_eq!(HostOffset(u64::MAX - 1).span(512), u64::MAX - 1..u64::MAX);
    }

    #[test]
    fn extent_offset_counts_from_the_start_of_its_extent() {
        assert_eq!(ExtentOffset(512).in_disk(GuestOffset(1 << 20)), GuestOffset((1 << 20) + 512));
    }
}
