//! Sectors, and the offsets that they are converted to.
//!
//! The specification counts in sectors of 512 bytes; offsets are bytes. An offset in the disk is a
//! [`GuestOffset`](diskimg_core::GuestOffset), one in a file a [`HostOffset`], and one in the guest data of a
//! single extent an [`ExtentOffset`].
//!
//! Sums and products that leave 64 bits become `u64::MAX`. No file and no disk reaches it (both end below 2^63),
//! so the bounds check that follows every offset from an image rejects it.

use std::ops::Range;

use diskimg_core::{GuestOffset, HostOffset};

/// The bytes of a sector, the unit of every offset and size in the format.
pub(crate) const SECTOR: u64 = 512;

/// A byte offset in the guest data of one extent. It equals the [`GuestOffset`] in an image of one extent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ExtentOffset(pub(crate) u64);

impl ExtentOffset {
    /// The offset in the disk, for an extent that begins at `extent_start`.
    pub(crate) const fn in_disk(self, extent_start: GuestOffset) -> GuestOffset {
        extent_start.plus(self.0)
    }

    /// The offset `bytes` further on.
    pub(crate) const fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// Bytes from `earlier` to this offset; 0 if `earlier` is past it.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The bytes of `count` sectors.
pub(crate) const fn sectors(count: u64) -> u64 {
    count.saturating_mul(SECTOR)
}

/// The offset at which a sector of a file begins.
pub(crate) const fn sector_offset(sector: u64) -> HostOffset {
    HostOffset(sectors(sector))
}

/// The bytes of the whole sectors that `bytes` occupy.
pub(crate) const fn round_up_to_sector(bytes: u64) -> u64 {
    sectors(bytes.div_ceil(SECTOR))
}

/// The `len` bytes of a file from `start` on.
pub(crate) const fn span(start: HostOffset, len: u64) -> Range<HostOffset> {
    start..start.plus(len)
}

/// A range of a file, as a [`BlockSource`](diskimg_core::BlockSource) takes it.
pub(crate) const fn source_range(host: &Range<HostOffset>) -> Range<u64> {
    host.start.0..host.end.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflowing_offset_is_past_every_file() {
        assert_eq!(sector_offset(1 << 55), HostOffset(u64::MAX));
        assert_eq!(span(HostOffset(u64::MAX - 1), 512), HostOffset(u64::MAX - 1)..HostOffset(u64::MAX));
        assert_eq!(round_up_to_sector(u64::MAX), u64::MAX);
    }

    #[test]
    fn extent_offset_counts_from_the_start_of_its_extent() {
        assert_eq!(ExtentOffset(512).in_disk(GuestOffset(1 << 20)), GuestOffset((1 << 20) + 512));
    }
}
