//! Addresses: which L1 entry, L2 entry and cluster a guest offset belongs to.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Cluster mapping".

use std::ops::Range;

pub(crate) use diskimg_core::{GuestOffset, HostOffset};

/// The smallest clusters, 512 bytes. Set by the specification.
pub(crate) const MIN_CLUSTER_BITS: u32 = 9;
/// The largest clusters, 2 MiB. A bound of QEMU's; the specification says readers may have one.
pub(crate) const MAX_CLUSTER_BITS: u32 = 21;

/// SubclusterMap of a cluster in an image with extended L2 entries. Set by the specification.
pub(crate) const SUBCLUSTERS: u32 = 32;

/// The `bytes` bytes of a file from `start` on; saturating, and no file ends at `u64::MAX`.
pub(crate) const fn span(start: u64, bytes: u64) -> Range<u64> {
    start..start.saturating_add(bytes)
}

/// The shape of an image's tables.
///
/// All shifts below are by at most 42 bits: `cluster_bits` is clamped to what the format allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    cluster_bits: u32,
    extended_l2: bool,
}

impl Geometry {
    /// The shape of an image with clusters of `1 << cluster_bits` bytes and, if `extended_l2`, L2 entries of
    /// 16 bytes with a bitmap of subclusters.
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

    /// Bytes of a cluster.
    pub(crate) const fn cluster_size(self) -> u64 {
        1 << self.cluster_bits
    }

    /// Whether L2 entries have a bitmap of subclusters.
    pub(crate) const fn extended_l2(self) -> bool {
        self.extended_l2
    }

    /// Bytes of an L2 entry: 8, or 16 with a bitmap of subclusters.
    pub(crate) const fn l2_entry_bytes(self) -> u64 {
        1 << self.l2_entry_bits()
    }

    const fn l2_entry_bits(self) -> u32 {
        if self.extended_l2 { 4 } else { 3 }
    }

    /// Entries of an L2 table, which is one cluster.
    pub(crate) const fn l2_entries(self) -> u64 {
        1 << (self.cluster_bits - self.l2_entry_bits())
    }

    /// log2 of the guest bytes that one L2 table maps.
    const fn l1_span_bits(self) -> u32 {
        2 * self.cluster_bits - self.l2_entry_bits()
    }

    /// Guest bytes that one L1 entry, an L2 table, maps.
    pub(crate) const fn l1_span(self) -> u64 {
        1 << self.l1_span_bits()
    }

    /// L1 entries that a disk of `virtual_size` bytes needs.
    pub(crate) const fn l1_entries_for(self, virtual_size: u64) -> u64 {
        virtual_size.div_ceil(self.l1_span())
    }

    /// The index of the L1 entry for a guest offset.
    pub(crate) const fn l1_index(self, guest: GuestOffset) -> u64 {
        guest.0 >> self.l1_span_bits()
    }

    /// The index, in its L2 table, of the entry for a guest offset.
    pub(crate) const fn l2_index(self, guest: GuestOffset) -> u64 {
        (guest.0 >> self.cluster_bits) & (self.l2_entries() - 1)
    }

    /// The index of the cluster that a guest offset lies in.
    pub(crate) const fn cluster_index(self, guest: GuestOffset) -> u64 {
        guest.0 >> self.cluster_bits
    }

    /// The guest offset at which cluster `index` begins; at most `u64::MAX`, where no disk ends.
    pub(crate) const fn guest_start(self, index: u64) -> GuestOffset {
        GuestOffset(index.saturating_mul(self.cluster_size()))
    }

    /// The L1 index of a cluster, and the index of its entry in that L2 table.
    pub(crate) fn l2_slot(self, cluster: u64) -> (u64, usize) {
        let guest = self.guest_start(cluster);
        (self.l1_index(guest), usize::try_from(self.l2_index(guest)).unwrap_or(usize::MAX))
    }

    /// How far into its cluster an offset lies.
    pub(crate) const fn in_cluster(self, offset: u64) -> u64 {
        offset & (self.cluster_size() - 1)
    }

    /// The guest offset at which the cluster of `guest` begins.
    pub(crate) const fn cluster_start(self, guest: GuestOffset) -> GuestOffset {
        GuestOffset(guest.0 & !(self.cluster_size() - 1))
    }

    /// log2 of the bytes of a subcluster; at least 9, for extended L2 needs clusters of 16 KiB.
    pub(crate) const fn subcluster_bits(self) -> u32 {
        self.cluster_bits - SUBCLUSTERS.trailing_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_offset_is_cut_into_indexes() {
        let geometry = Geometry::new(16, false);
        assert_eq!((geometry.l2_entries(), geometry.l1_span()), (8192, 512 << 20));
        let guest = GuestOffset((512 << 20) + 3 * 65_536 + 5);
        assert_eq!((geometry.l1_index(guest), geometry.l2_index(guest)), (1, 3));
        assert_eq!(geometry.in_cluster(guest.0), 5);
        assert_eq!(geometry.cluster_start(guest).0, (512 << 20) + 3 * 65_536);
    }

    #[test]
    fn extended_entries_halve_what_a_table_maps() {
        let geometry = Geometry::new(16, true);
        assert_eq!((geometry.l2_entries(), geometry.l1_span()), (4096, 256 << 20));
        assert_eq!(geometry.subcluster_bits(), 11);
    }

    #[test]
    fn the_l1_table_covers_the_last_byte() {
        let geometry = Geometry::new(9, false);
        for (size, entries) in [(0, 0), (1, 1), (32_768, 1), (32_769, 2), (u64::MAX, 1 << 49)] {
            assert_eq!(geometry.l1_entries_for(size), entries, "{size}");
        }
    }
}
