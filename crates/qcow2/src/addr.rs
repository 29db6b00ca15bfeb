//! The mapping of a guest offset to its L1 entry, L2 entry and cluster.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Cluster mapping".

use std::ops::Range;

pub(crate) use diskimg_core::{GuestOffset, HostOffset};

/// log2 of the smallest cluster size, 512 bytes. Set by the specification.
pub(crate) const MIN_CLUSTER_BITS: u32 = 9;
/// log2 of the largest cluster size, 2 MiB. QEMU's limit; the specification allows readers to have one.
pub(crate) const MAX_CLUSTER_BITS: u32 = 21;

/// The number of subclusters in a cluster, with extended L2 entries. Set by the specification.
pub(crate) const SUBCLUSTERS: u32 = 32;

/// The `bytes` bytes of a file at `start`, at most to `u64::MAX`. No file ends there, so a bounds check rejects
/// a range that would overflow.
pub(crate) const fn span(start: HostOffset, bytes: u64) -> Range<HostOffset> {
    start..start.plus(bytes)
}

/// The cluster size and the size of L2 entries, from which all table sizes follow.
///
/// `cluster_bits` is clamped to 9 to 21, so no shift below is by more than 42 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    cluster_bits: u32,
    extended_l2: bool,
}

impl Geometry {
    /// Creates the geometry of clusters of `1 << cluster_bits` bytes. If `extended_l2`, L2 entries have 16 bytes
    /// and a bitmap of subclusters.
    pub(crate) const fn new(cluster_bits: u32, extended_l2: bool) -> Self {
        let cluster_bits = if cluster_bits < MIN_CLUSTER_BITS {
            MIN_CLUSTER_BITS
        } else if cluster_bits > MAX_CLUSTER_BITS {
            MAX_CLUSTER_BITS
        } else {
            cluster_bits
        };
        Self { cluster_bits, extended_l2 }
    }

    /// log2 of the cluster size: 9 to 21.
    pub(crate) const fn cluster_bits(self) -> u32 {
        self.cluster_bits
    }

    /// The cluster size in bytes.
    pub(crate) const fn cluster_size(self) -> u64 {
        1 << self.cluster_bits
    }

    /// True if L2 entries have a bitmap of subclusters.
    pub(crate) const fn extended_l2(self) -> bool {
        self.extended_l2
    }

    /// The size of an L2 entry in bytes: 8, or 16 with a bitmap of subclusters.
    pub(crate) const fn l2_entry_bytes(self) -> u64 {
        1 << self.l2_entry_bits()
    }

    const fn l2_entry_bits(self) -> u32 {
        if self.extended_l2 { 4 } else { 3 }
    }

    /// The number of entries of an L2 table, which is one cluster.
    pub(crate) const fn l2_entries(self) -> u64 {
        1 << (self.cluster_bits - self.l2_entry_bits())
    }

    /// log2 of the guest bytes that one L2 table maps.
    const fn l1_span_bits(self) -> u32 {
        2 * self.cluster_bits - self.l2_entry_bits()
    }

    /// The guest bytes that one L1 entry maps.
    pub(crate) const fn l1_span(self) -> u64 {
        1 << self.l1_span_bits()
    }

    /// The number of L1 entries that a disk of `virtual_size` bytes needs.
    pub(crate) const fn l1_entries_for(self, virtual_size: u64) -> u64 {
        virtual_size.div_ceil(self.l1_span())
    }

    /// The index of the L1 entry that maps a guest offset.
    pub(crate) const fn l1_index(self, guest: GuestOffset) -> u64 {
        guest.0 >> self.l1_span_bits()
    }

    /// The index, in its L2 table, of the entry that maps a guest offset.
    pub(crate) const fn l2_index(self, guest: GuestOffset) -> u64 {
        (guest.0 >> self.cluster_bits) & (self.l2_entries() - 1)
    }

    /// The index of the cluster that contains a guest offset.
    pub(crate) const fn cluster_index(self, guest: GuestOffset) -> u64 {
        guest.0 >> self.cluster_bits
    }

    /// The start of cluster `index`, at most `u64::MAX`. No disk ends there.
    pub(crate) const fn guest_start(self, index: u64) -> GuestOffset {
        GuestOffset(index.saturating_mul(self.cluster_size()))
    }

    /// The L1 index of a cluster, and the index of its entry in that L2 table.
    pub(crate) fn l2_slot(self, cluster: u64) -> (u64, usize) {
        let guest = self.guest_start(cluster);
        (self.l1_index(guest), usize::try_from(self.l2_index(guest)).unwrap_or(usize::MAX))
    }

    /// The distance in bytes of an offset from the start of its cluster.
    pub(crate) const fn in_cluster(self, offset: u64) -> u64 {
        offset & (self.cluster_size() - 1)
    }

    /// The bytes from an offset to the end of its cluster; at least one.
    pub(crate) const fn rest_of_cluster(self, offset: u64) -> u64 {
        self.cluster_size() - self.in_cluster(offset)
    }

    /// The start of the cluster that contains `guest`.
    pub(crate) const fn cluster_start(self, guest: GuestOffset) -> GuestOffset {
        GuestOffset(guest.0 & !(self.cluster_size() - 1))
    }

    /// log2 of the subcluster size; at least 9, because extended L2 entries need clusters of 16 KiB.
    pub(crate) const fn subcluster_bits(self) -> u32 {
        self.cluster_bits - SUBCLUSTERS.trailing_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_offset_splits_into_table_indexes() {
        let geometry = Geometry::new(16, false);
        assert_eq!((geometry.l2_entries(), geometry.l1_span()), (8192, 512 << 20));
        let guest = GuestOffset((512 << 20) + 3 * 65_536 + 5);
        assert_eq!((geometry.l1_index(guest), geometry.l2_index(guest)), (1, 3));
        assert_eq!((geometry.in_cluster(guest.0), geometry.rest_of_cluster(guest.0)), (5, 65_531));
        assert_eq!(geometry.cluster_start(guest).0, (512 << 20) + 3 * 65_536);
    }

    #[test]
    fn extended_l2_table_maps_half_as_much() {
        let geometry = Geometry::new(16, true);
        assert_eq!((geometry.l2_entries(), geometry.l1_span()), (4096, 256 << 20));
        assert_eq!(geometry.subcluster_bits(), 11);
    }

    #[test]
    fn l1_table_covers_the_last_byte() {
        let geometry = Geometry::new(9, false);
        for (size, entries) in [(0, 0), (1, 1), (32_768, 1), (32_769, 2), (u64::MAX, 1 << 49)] {
            assert_eq!(geometry.l1_entries_for(size), entries, "{size}");
        }
    }
}
