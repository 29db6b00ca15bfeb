//! The sizes that follow from the options.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Header" and "Cluster mapping"; limits from QEMU's `block/qcow2.h`.

use std::ops::Range;

use diskimg_core::{Result, check_range, ensure, range};

use super::options::{Version, WriterOptions};
use crate::addr::{Geometry, GuestOffset, HostOffset};
use crate::errors::{invalid_option, limit};
use crate::header::{
    DEFAULT_REFCOUNT_ORDER, MAX_CLUSTER_BITS, MAX_L1_BYTES, MAX_REFCOUNT_ORDER, MIN_CLUSTER_BITS,
    MIN_EXTENDED_CLUSTER_BITS, SECTOR,
};

/// The checked sizes of an image being written: the reader's [`Geometry`], and two fields of the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageGeometry {
    pub(super) clusters: Geometry,
    /// log2 of the bits of a refcount.
    pub(super) refcount_order: u32,
    /// The size of the disk in bytes, as the caller gave it.
    pub(super) size: u64,
}

impl ImageGeometry {
    /// Checks the sizes in the options.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InvalidInput`] for invalid sizes. If the clusters are too small for the disk, the
    /// error names a size that is sufficient.
    pub(super) fn new(options: &WriterOptions) -> Result<Self> {
        let clusters = Geometry::new(cluster_bits(options)?, options.extended_l2);
        let refcount_order = refcount_order(options)?;
        let size = options.virtual_size;
        let fits = |clusters: Geometry| clusters.l1_entries_for(size) <= MAX_L1_BYTES / 8;
        if !fits(clusters) {
            let larger = (clusters.cluster_bits()..=MAX_CLUSTER_BITS)
                .map(|bits| Geometry::new(bits, options.extended_l2))
                .find(|clusters| fits(*clusters));
            let Some(larger) = larger else {
                let largest = Geometry::new(MAX_CLUSTER_BITS, options.extended_l2);
                let most = largest.l1_span().saturating_mul(MAX_L1_BYTES / 8);
                let expected = format!("at most {most} bytes, with clusters of {}", largest.cluster_size());
                return Err(invalid_option("virtual_size").found(size).expected(expected));
            };
            let expected = format!("at least {} for a disk of {size} bytes", larger.cluster_size());
            return Err(invalid_option("cluster_size").found(clusters.cluster_size()).expected(expected));
        }
        Ok(Self { clusters, refcount_order, size })
    }

    /// The size of the disk in the header: whole sectors.
    pub(super) fn size_in_header(&self) -> u64 {
        self.size.next_multiple_of(SECTOR)
    }

    /// The entries of the L1 table. An empty disk has one, so that the table has an offset.
    pub(super) fn l1_entries(&self) -> u64 {
        self.clusters.l1_entries_for(self.size).max(1)
    }

    /// The guest clusters of the disk; the last may be partial.
    pub(super) fn guest_clusters(&self) -> u64 {
        self.size.div_ceil(self.clusters.cluster_size())
    }

    /// Splits a range of the disk into whole clusters and the partial clusters before and after them.
    pub(super) fn split(&self, range: &Range<u64>) -> Result<ClusterSplit> {
        check_range(range.start, range::len(range), self.size)?;
        let cluster = self.clusters.cluster_size();
        let first = range.start.div_ceil(cluster);
        let end = if range.end == self.size { self.guest_clusters() } else { range.end / cluster };
        let head_end = first.saturating_mul(cluster).min(range.end);
        let tail_start = if first >= end { head_end } else { end.saturating_mul(cluster).min(range.end) };
        Ok(ClusterSplit {
            head: GuestOffset(range.start)..GuestOffset(head_end),
            whole: first..end.max(first),
            tail: GuestOffset(tail_start)..GuestOffset(range.end),
        })
    }
}

/// A guest range split at clusters. Each part may be empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClusterSplit {
    /// The bytes before the first whole cluster, all in one cluster.
    pub(super) head: Range<GuestOffset>,
    /// The indices of the whole clusters. The last cluster of the disk counts as whole if all its bytes on the disk
    /// are in the range.
    pub(super) whole: Range<u64>,
    /// The bytes after the last whole cluster, all in one cluster.
    pub(super) tail: Range<GuestOffset>,
}

fn cluster_bits(options: &WriterOptions) -> Result<u32> {
    let size = options.cluster_size;
    let least = if options.extended_l2 { MIN_EXTENDED_CLUSTER_BITS } else { MIN_CLUSTER_BITS };
    let bits = size.trailing_zeros();
    if size.is_power_of_two() && (least..=MAX_CLUSTER_BITS).contains(&bits) {
        return Ok(bits);
    }
    let with = if options.extended_l2 { " with extended_l2" } else { "" };
    Err(invalid_option("cluster_size").found(size).expected(format_args!(
        "a power of two from {} to {}{with}",
        1_u64 << least,
        1_u64 << MAX_CLUSTER_BITS
    )))
}

fn refcount_order(options: &WriterOptions) -> Result<u32> {
    let bits = options.refcount_bits;
    if options.version == Version::V2 && bits != 1 << DEFAULT_REFCOUNT_ORDER {
        return Err(invalid_option("refcount_bits").found(bits).expected("16 in version 2"));
    }
    if bits.is_power_of_two() && bits <= 1 << MAX_REFCOUNT_ORDER {
        return Ok(bits.trailing_zeros());
    }
    Err(invalid_option("refcount_bits").found(bits).expected("a power of two from 1 to 64"))
}

/// Checks the end of the image file: L2 entries and the header store host offsets below 2^56.
pub(super) fn check_host_end(end: HostOffset) -> Result<()> {
    ensure(end.0 <= 1 << 56, || limit("image file").found(end.0).expected("at most 2^56 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn geometry(cluster_size: u64, virtual_size: u64) -> Result<ImageGeometry> {
        ImageGeometry::new(&WriterOptions { cluster_size, virtual_size, ..WriterOptions::default() })
    }

    #[test]
    fn range_is_split_at_clusters() {
        let it = geometry(512, 5000).unwrap();
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
            let guest = |range: Range<u64>| GuestOffset(range.start)..GuestOffset(range.end);
            let expected = ClusterSplit { head: guest(head), whole, tail: guest(tail) };
            assert_eq!(it.split(&range).unwrap(), expected, "{range:?}");
        }
        assert_eq!(it.split(&(4999..5001)).unwrap_err().kind(), ErrorKind::OutOfBounds);
    }

    #[test]
    fn cluster_size_too_small_for_the_disk_is_rejected_with_a_sufficient_one() {
        // 512-byte clusters: an L2 table maps 32 KiB, 4 Mi of them 128 GiB.
        assert!(geometry(512, 128 << 30).is_ok());
        let error = geometry(512, (128 << 30) + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("at least 1024 for"), "{error}");
        assert!(geometry(1024, (128 << 30) + 1).is_ok());
        assert!(geometry(2 << 20, 1 << 60).is_ok());
        assert!(
            geometry(2 << 20, 1 << 62).unwrap_err().to_string().contains("at most 2305843009213693952 bytes")
        );
    }

    #[test]
    fn size_in_header_is_whole_sectors() {
        assert_eq!(geometry(65_536, 1000).unwrap().size_in_header(), 1024);
        assert_eq!(geometry(65_536, 0).unwrap().l1_entries(), 1);
        assert!(geometry(2 << 20, u64::MAX).is_err());
    }

    #[test]
    fn cluster_sizes_out_of_range_are_rejected() {
        for size in [0, 256, 1000, 4 << 20, u64::MAX] {
            assert_eq!(geometry(size, 1).unwrap_err().kind(), ErrorKind::InvalidInput, "{size}");
        }
    }
}
