//! The descriptors of compressed clusters.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Compressed Clusters Descriptor".

use std::ops::Range;

use crate::addr::{Geometry, HostOffset};
use crate::entry_bits::COMPRESSED;

/// The unit of lengths in a descriptor, in bytes.
const SECTOR: u64 = 512;

/// The bytes of a compressed cluster: from any byte to the end of a sector.
///
/// The compressed data may end earlier, and other clusters may share the last sector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CompressedRange {
    pub(crate) offset: HostOffset,
    pub(crate) bytes: u64,
}

impl CompressedRange {
    /// Decodes the descriptor of an L2 entry whose compressed bit is set.
    pub(crate) const fn decode(entry: u64, geometry: Geometry) -> Self {
        let (offset_bits, count_bits) = field_bits(geometry);
        let offset = entry & ((1 << offset_bits) - 1);
        let more_sectors = (entry >> offset_bits) & ((1 << count_bits) - 1);
        Self { offset: HostOffset(offset), bytes: (more_sectors + 1) * SECTOR - (offset & (SECTOR - 1)) }
    }

    /// Returns the L2 entry of a compressed cluster, or `None` if the cluster is empty, has more sectors than
    /// the descriptor can count, or ends past the last offset it can store.
    pub(crate) fn encode(self, geometry: Geometry) -> Option<u64> {
        let (offset_bits, count_bits) = field_bits(geometry);
        let last = self.offset.0.checked_add(self.bytes.checked_sub(1)?)?;
        let more_sectors = last / SECTOR - self.offset.0 / SECTOR;
        let fits = last >> offset_bits == 0 && more_sectors >> count_bits == 0;
        fits.then_some(COMPRESSED | more_sectors << offset_bits | self.offset.0)
    }

    /// The part of the bytes that a file of `file_size` bytes contains. Not every writer fills the last sector
    /// of the file.
    pub(crate) fn in_file(self, file_size: u64) -> Range<u64> {
        self.offset.0..self.offset.plus(self.bytes).0.min(file_size).max(self.offset.0)
    }
}

/// The width in bits of the offset and of the sector count in a descriptor.
const fn field_bits(geometry: Geometry) -> (u32, u32) {
    // At cluster sizes of 512 bytes to 2 MiB the sector count has 1 to 13 bits.
    let count_bits = geometry.cluster_bits() - 8;
    (62 - count_bits, count_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_splits_by_cluster_size() {
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
    fn encoded_descriptor_decodes_to_the_same_sectors() {
        for (bits, offset_bits) in [(9, 61), (16, 54), (21, 49)] {
            let geometry = Geometry::new(bits, false);
            let range = |offset, bytes| CompressedRange { offset: HostOffset(offset), bytes };
            for (offset, bytes) in [(0, 1), (0x1_0203, 509), (0x1_0203, 510), ((1 << offset_bits) - 1, 1)] {
                let entry = range(offset, bytes).encode(geometry).unwrap();
                let back = CompressedRange::decode(entry, geometry);
                let end = (offset + bytes).next_multiple_of(SECTOR);
                assert_eq!((back.offset.0, back.bytes), (offset, end - offset), "{bits}");
            }
            let too_long = geometry.cluster_size() * 2 + 1;
            for (offset, bytes) in [(0, 0), (0, too_long), ((1 << offset_bits) - 1, 2), (u64::MAX, 2)] {
                assert_eq!(range(offset, bytes).encode(geometry), None, "{bits}");
            }
        }
    }

    #[test]
    fn range_ends_with_the_file() {
        let range = CompressedRange { offset: HostOffset(1000), bytes: 100 };
        assert_eq!(range.in_file(1050), 1000..1050);
        assert_eq!(range.in_file(2000), 1000..1100);
        assert!(range.in_file(10).is_empty());
    }
}
