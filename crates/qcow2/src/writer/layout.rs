//! The numbers that follow from the options: table sizes, reach of an L2 table, bounds.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Header" and "Cluster mapping"; bounds from QEMU's `block/qcow2.h`.

use std::ops::Range;

use diskimg_core::{Result, check_range};

use super::error::invalid;
use super::options::{Version, WriterOptions};
use crate::addr::{Geometry, GuestOffset};
use crate::errors::limit;
use crate::header::{
    DEFAULT_REFCOUNT_ORDER, MAX_CLUSTER_BITS, MAX_L1_BYTES, MAX_REFCOUNT_ORDER, MIN_CLUSTER_BITS,
    MIN_EXTENDED_CLUSTER_BITS, SECTOR,
};

/// The checked shape of an image that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    geometry: Geometry,
    refcount_order: u32,
    /// The size the caller asked for, in bytes.
    size: u64,
}

impl Shape {
    pub(super) fn new(options: &WriterOptions) -> Result<Self> {
        let geometry = Geometry::new(cluster_bits(options)?, options.extended_l2);
        let refcount_order = refcount_order(options)?;
        let size = options.virtual_size;
        if size.checked_next_multiple_of(SECTOR).is_none_or(|size| i64::try_from(size).is_err()) {
            return Err(invalid("virtual_size").found(size).expected("less than 2^63 bytes"));
        }
        let fits = |geometry: Geometry| geometry.l1_entries_for(size) <= MAX_L1_BYTES / 8;
        if !fits(geometry) {
            let larger = (geometry.cluster_bits()..=MAX_CLUSTER_BITS)
                .map(|bits| Geometry::new(bits, options.extended_l2))
                .find(|geometry| fits(*geometry));
            let expected = match larger {
                Some(larger) => format!("at least {} for a disk of {size} bytes", larger.cluster_size()),
                None => format!("a disk smaller than {size} bytes"),
            };
            return Err(invalid("cluster_size").found(geometry.cluster_size()).expected(expected));
        }
        Ok(Self { geometry, refcount_order, size })
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(super) fn cluster_bits(&self) -> u32 {
        self.geometry.cluster_bits()
    }

    /// Bytes of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        self.geometry.cluster_size()
    }

    pub(super) fn refcount_order(&self) -> u32 {
        self.refcount_order
    }

    /// The size the caller asked for, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The virtual size as the header states it.
    pub(super) fn size_in_header(&self) -> u64 {
        self.size.next_multiple_of(SECTOR)
    }

    /// Entries of the L1 table. One for an empty disk, so that the table has a place.
    pub(super) fn l1_entries(&self) -> u64 {
        self.geometry.l1_entries_for(self.size).max(1)
    }

    /// Guest bytes that one L2 table maps.
    pub(super) fn table_reach(&self) -> u64 {
        self.geometry.l1_span()
    }

    /// Entries of an L2 table.
    pub(super) fn table_entries(&self) -> u64 {
        self.geometry.l2_entries()
    }

    /// 64-bit words per L2 entry: two with subclusters.
    pub(super) fn entry_words(&self) -> usize {
        if self.geometry.extended_l2() { 2 } else { 1 }
    }

    /// Bytes of a subcluster, where clusters have them.
    pub(super) fn subcluster(&self) -> Option<u64> {
        self.geometry.extended_l2().then(|| 1 << self.geometry.subcluster_bits())
    }

    /// Which L2 table maps guest cluster `index`, and with which of its entries.
    pub(super) fn slot(&self, index: u64) -> (u64, usize) {
        let guest = GuestOffset(index << self.cluster_bits());
        let entry = usize::try_from(self.geometry.l2_index(guest)).unwrap_or(usize::MAX);
        (self.geometry.l1_index(guest), entry)
    }

    /// Guest clusters of the disk, the last perhaps in part.
    pub(super) fn guest_clusters(&self) -> u64 {
        self.size.div_ceil(self.cluster())
    }

    /// How far into its cluster an offset lies.
    pub(super) fn in_cluster(&self, offset: u64) -> u64 {
        self.geometry.in_cluster(offset)
    }

    /// Guest bytes of cluster `index`, cut at the end of the disk.
    pub(super) fn guest_range(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.cluster());
        start..start.saturating_add(self.cluster()).min(self.size)
    }

    /// Cuts a range of the disk into the clusters it covers and the parts of clusters before and after.
    pub(super) fn cut(&self, range: Range<u64>) -> Result<Cut> {
        check_range(range.start, range.end.saturating_sub(range.start), self.size)?;
        let cluster = self.cluster();
        let first = range.start.div_ceil(cluster);
        let end =
            if range.end == self.size { self.guest_clusters() } else { range.end >> self.cluster_bits() };
        let head_end = first.saturating_mul(cluster).min(range.end);
        if first >= end {
            // No whole cluster: at most one boundary inside.
            return Ok(Cut { head: range.start..head_end, whole: first..first, tail: head_end..range.end });
        }
        let tail_start = end.saturating_mul(cluster).min(range.end);
        Ok(Cut { head: range.start..head_end, whole: first..end, tail: tail_start..range.end })
    }
}

/// A guest range by clusters; each part may be empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes before the first whole cluster, all in one cluster.
    pub(super) head: Range<u64>,
    /// Indices of the whole clusters; the last cluster of the disk is whole when its part of the disk is.
    pub(super) whole: Range<u64>,
    /// Bytes after the last whole cluster, all in one cluster.
    pub(super) tail: Range<u64>,
}

fn cluster_bits(options: &WriterOptions) -> Result<u32> {
    let size = options.cluster_size;
    let least = if options.extended_l2 { MIN_EXTENDED_CLUSTER_BITS } else { MIN_CLUSTER_BITS };
    let bits = size.trailing_zeros();
    if size.is_power_of_two() && (least..=MAX_CLUSTER_BITS).contains(&bits) {
        return Ok(bits);
    }
    let with = if options.extended_l2 { " with extended_l2" } else { "" };
    Err(invalid("cluster_size").found(size).expected(format_args!(
        "a power of two from {} to {}{with}",
        1_u64 << least,
        1_u64 << MAX_CLUSTER_BITS
    )))
}

fn refcount_order(options: &WriterOptions) -> Result<u32> {
    let bits = options.refcount_bits;
    if options.version == Version::V2 && bits != 1 << DEFAULT_REFCOUNT_ORDER {
        return Err(invalid("refcount_bits").found(bits).expected("16 in version 2"));
    }
    if bits.is_power_of_two() && bits <= 1 << MAX_REFCOUNT_ORDER {
        return Ok(bits.trailing_zeros());
    }
    Err(invalid("refcount_bits").found(bits).expected("a power of two from 1 to 64"))
}

/// Checks where the image file ends: L2 entries and the header hold host offsets below 2^56.
pub(super) fn check_host_end(end: u64) -> Result<()> {
    if end <= 1 << 56 {
        return Ok(());
    }
    Err(limit("image file").found(end).expected("at most 2^56 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn shape(cluster_size: u64, virtual_size: u64) -> Result<Shape> {
        Shape::new(&WriterOptions { cluster_size, virtual_size, ..WriterOptions::default() })
    }

    #[test]
    fn a_range_is_cut_at_its_clusters() {
        let it = shape(512, 5000).unwrap();
        let table = [
            (0..0, 0..0, 0..0, 0..0),
            (0..512, 0..0, 0..1, 512..512),
            (1..511, 1..511, 1..1, 511..511),
            (1..513, 1..512, 1..1, 512..513),
            (1..1025, 1..512, 1..2, 1024..1025),
            (4608..5000, 4608..4608, 9..10, 5000..5000),
            (4609..5000, 4609..5000, 10..10, 5000..5000),
            (4000..4999, 4000..4096, 8..9, 4608..4999),
        ];
        for (range, head, whole, tail) in table {
            assert_eq!(it.cut(range.clone()).unwrap(), Cut { head, whole, tail }, "{range:?}");
        }
        assert_eq!(it.cut(4999..5001).unwrap_err().kind(), ErrorKind::OutOfBounds);
    }

    #[test]
    fn a_cluster_size_too_small_for_the_disk_names_one_that_would_do() {
        // 512-byte clusters: an L2 table maps 32 KiB, 4 Mi of them 128 GiB.
        assert!(shape(512, 128 << 30).is_ok());
        let error = shape(512, (128 << 30) + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("at least 1024 for"), "{error}");
        assert!(shape(1024, (128 << 30) + 1).is_ok());
        assert!(shape(2 << 20, 1 << 60).is_ok());
        assert!(shape(2 << 20, 1 << 62).unwrap_err().to_string().contains("a disk smaller"));
    }

    #[test]
    fn sizes_are_stated_in_whole_sectors() {
        assert_eq!(shape(65_536, 1000).unwrap().size_in_header(), 1024);
        assert_eq!(shape(65_536, 0).unwrap().l1_entries(), 1);
        assert!(shape(2 << 20, u64::MAX).is_err());
    }

    #[test]
    fn cluster_sizes_out_of_bounds_are_refused() {
        for size in [0, 256, 1000, 4 << 20, u64::MAX] {
            assert_eq!(shape(size, 1).unwrap_err().kind(), ErrorKind::InvalidInput, "{size}");
        }
    }
}
