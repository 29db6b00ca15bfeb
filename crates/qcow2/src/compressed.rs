//! Descriptors of compressed clusters.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Compressed Clusters Descriptor".

use std::ops::Range;

use crate::addr::{Geometry, HostOffset};

/// Bit 62 of an L2 entry: the cluster is compressed.
pub(crate) const COMPRESSED: u64 = 1 << 62;
/// Lengths are counted in sectors of so many bytes.
const SECTOR: u64 = 512;

/// Where the bytes of a compressed cluster lie: from any byte up to the end of a sector.
///
/// The stream may end earlier, and other clusters may share the last sector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CompressedRange {
    pub(crate) offset: HostOffset,
    pub(crate) bytes: u64,
}

impl CompressedRange {
    /// The descriptor in an L2 entry whose compressed bit is set.
    pub(crate) const fn decode(entry: u64, geometry: Geometry) -> Self {
        // At cluster sizes of 512 bytes to 2 MiB the sector count has 1 to 13 bits.
        let count_bits = geometry.cluster_bits() - 8;
        let offset_bits = 62 - count_bits;
        let offset = entry & ((1 << offset_bits) - 1);
        let more_sectors = (entry >> offset_bits) & ((1 << count_bits) - 1);
        Self { offset: HostOffset(offset), bytes: (more_sectors + 1) * SECTOR - (offset & (SECTOR - 1)) }
    }

    /// The host bytes, as far as the file of `file_size` bytes has them: not every writer fills the last
    /// sector up.
    pub(crate) fn in_file(self, file_size: u64) -> Range<u64> {
        self.offset.0..self.offset.plus(self.bytes).0.min(file_size).max(self.offset.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_sectors_share_the_entry_at_every_cluster_size() {
        for (bits, offset_bits) in [(9, 61), (12, 58), (16, 54), (21, 49)] {
            let geometry = Geometry::new(bits, false);
            let entry = COMPRESSED | 1 << offset_bits | 0x1_0203;
            let range = CompressedRange::decode(entry, geometry);
            assert_eq!((range.offset.0, range.bytes), (0x1_0203, 1024 - 3), "{bits}");
            let most = CompressedRange::decode(COMPRESSED | ((1 << 62) - (1 << offset_bits)), geometry);
            assert_eq!(most.bytes, geometry.cluster_size() * 2, "{bits}");
        }
    }

    #[test]
    fn a_range_ends_with_the_file() {
        let range = CompressedRange { offset: HostOffset(1000), bytes: 100 };
        assert_eq!(range.in_file(1050), 1000..1050);
        assert_eq!(range.in_file(2000), 1000..1100);
        assert!(range.in_file(10).is_empty());
    }
}
