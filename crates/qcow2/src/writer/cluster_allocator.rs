//! Allocates host clusters in ascending order.
//!
//! A refcount block is allocated right after the first cluster that it counts, so that only the refcount table
//! grows with the image: eight bytes per block.

use diskimg_core::Result;
use diskimg_core::writer::WritePlan;

use super::image_geometry::{ImageGeometry, check_host_end};
use super::refcounts::Refcounts;
use crate::addr::HostOffset;
use crate::errors::limit;

/// The host clusters allocated so far.
#[derive(Debug)]
pub(super) struct ClusterAllocator {
    refcounts: Refcounts,
    cluster_bits: u32,
    /// The first free host cluster.
    next: u64,
    /// The first free byte of a cluster that is partly filled with compressed data.
    compressed_end: Option<HostOffset>,
}

impl ClusterAllocator {
    /// An allocator for an empty file.
    pub(super) fn new(geometry: &ImageGeometry) -> Self {
        let (refcounts, cluster_bits) = (Refcounts::new(geometry), geometry.clusters.cluster_bits());
        Self { refcounts, cluster_bits, next: 0, compressed_end: None }
    }

    /// Allocates `count` adjacent clusters with refcount 1 and returns the offset of the first. Plans to write the
    /// refcount blocks that became final.
    pub(super) fn allocate(&mut self, count: u64, plan: &mut WritePlan) -> Result<HostOffset> {
        let first = self.next;
        let end = first.checked_add(count).and_then(|end| end.checked_add(1));
        let end = end.and_then(|end| end.checked_mul(1 << self.cluster_bits)).unwrap_or(u64::MAX);
        check_host_end(HostOffset(end))?;
        self.next = first.saturating_add(count);
        while self.refcounts.covered() < self.next {
            self.refcounts.add_block(HostOffset(self.next << self.cluster_bits))?;
            self.next = self.next.saturating_add(1);
        }
        for cluster in first..self.next {
            self.refcounts.increment(cluster)?;
        }
        // A cluster with room for compressed data may be referenced once more.
        let shared = self.compressed_end.map_or(u64::MAX, |end| end.0 >> self.cluster_bits);
        self.refcounts.close_below(self.next.min(shared), plan);
        Ok(HostOffset(first << self.cluster_bits))
    }

    /// Allocates an L2 table. Compressed data continues after it: a cluster then always follows the table that maps
    /// it, and the file can be read as a stream.
    pub(super) fn allocate_l2_table(&mut self, plan: &mut WritePlan) -> Result<HostOffset> {
        self.compressed_end = None;
        self.allocate(1, plan)
    }

    /// Allocates `len` bytes for compressed data, at least one and fewer than a cluster. They follow the previous
    /// compressed data directly if possible, at any byte.
    pub(super) fn allocate_compressed(&mut self, len: u64, plan: &mut WritePlan) -> Result<HostOffset> {
        let cluster = 1_u64 << self.cluster_bits;
        let mut offset = None;
        if let Some(free) = self.compressed_end {
            let current = free.0 >> self.cluster_bits;
            let room = cluster.saturating_sub(free.0 & cluster.saturating_sub(1));
            if self.refcounts.count(current).is_some_and(|count| count < self.refcounts.most()) {
                if len <= room {
                    self.refcounts.increment(current)?;
                    offset = Some(free);
                } else if current.checked_add(1) == Some(self.next) {
                    self.allocate(1, plan)?;
                    self.refcounts.increment(current)?;
                    offset = Some(free);
                }
            }
        }
        let offset = match offset {
            Some(offset) => offset,
            None => self.allocate(1, plan)?,
        };
        let end = offset.0.checked_add(len).ok_or_else(|| limit("image file"))?;
        self.compressed_end = (end & cluster.saturating_sub(1) != 0).then_some(HostOffset(end));
        Ok(offset)
    }

    /// Allocates the refcount table, whose clusters it counts too, and plans to write it and all open blocks. Returns
    /// the offset and the clusters of the table. Nothing may be allocated afterwards.
    pub(super) fn finish(&mut self, plan: &mut WritePlan) -> Result<(HostOffset, u64)> {
        let mut clusters = self.refcounts.table_clusters();
        loop {
            // The table and the blocks that count it may need another cluster.
            let needed = self.table_clusters_after(clusters);
            if needed <= clusters {
                break;
            }
            clusters = needed;
        }
        let host = self.allocate(clusters, plan)?;
        self.refcounts.close_all(plan);
        plan.write_metadata(host, self.refcounts.table(clusters));
        Ok((host, clusters))
    }

    /// The clusters of the refcount table after `count` more clusters are allocated.
    fn table_clusters_after(&self, count: u64) -> u64 {
        let per_block = self.refcounts.per_block();
        let mut blocks = self.refcounts.covered() / per_block;
        let mut next = self.next.saturating_add(count);
        while blocks.saturating_mul(per_block) < next {
            blocks = blocks.saturating_add(1);
            next = next.saturating_add(1);
        }
        blocks.saturating_mul(8).div_ceil(1 << self.cluster_bits)
    }
}
