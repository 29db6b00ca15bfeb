//! Hands out places in the image file: a cursor that only goes up.
//!
//! A refcount block is put right behind the first cluster that it has to count, so that nothing grows with the
//! image but the refcount table, eight bytes for each block.

use diskimg_core::Result;

use super::encoded_cluster::Piece;
use super::layout::{Shape, check_host_end};
use super::refcounts::Refcounts;
use crate::errors::limit;

/// The places given out so far.
#[derive(Debug)]
pub(super) struct Allocator {
    refcounts: Refcounts,
    cluster_bits: u32,
    /// The first host cluster not given out.
    cursor: u64,
    /// Host offset of the first free byte in a cluster begun with compressed data.
    packed: Option<u64>,
}

impl Allocator {
    pub(super) fn new(shape: &Shape) -> Self {
        Self { refcounts: Refcounts::new(shape), cluster_bits: shape.cluster_bits(), cursor: 0, packed: None }
    }

    /// Takes `count` clusters in a row, each with refcount 1, and returns the host offset of the first.
    /// Refcount blocks that became final are put into `out`.
    pub(super) fn clusters(&mut self, count: u64, out: &mut Vec<Piece>) -> Result<u64> {
        let first = self.cursor;
        let end = first.checked_add(count).and_then(|end| end.checked_add(1));
        check_host_end(end.and_then(|end| end.checked_mul(1 << self.cluster_bits)).unwrap_or(u64::MAX))?;
        self.cursor = first.saturating_add(count);
        while self.refcounts.covered() < self.cursor {
            self.refcounts.add_block(self.cursor << self.cluster_bits)?;
            self.cursor = self.cursor.saturating_add(1);
        }
        for cluster in first..self.cursor {
            self.refcounts.increment(cluster)?;
        }
        // A cluster with room for compressed data may still be referenced once more.
        let packed = self.packed.map_or(u64::MAX, |byte| byte >> self.cluster_bits);
        self.refcounts.close_below(self.cursor.min(packed), out);
        Ok(first << self.cluster_bits)
    }

    /// Takes a cluster for an L2 table. Compressed data goes on behind it, not before: what an L2 table maps
    /// is never met before the table when the file is read once, in order.
    pub(super) fn l2_table(&mut self, out: &mut Vec<Piece>) -> Result<u64> {
        self.packed = None;
        self.clusters(1, out)
    }

    /// Takes `len` bytes, at least one and fewer than a cluster, for compressed data: behind the compressed
    /// data before it where that is possible, without regard to sectors.
    pub(super) fn packed(&mut self, len: u64, out: &mut Vec<Piece>) -> Result<u64> {
        let cluster = 1_u64 << self.cluster_bits;
        let mut offset = None;
        if let Some(free) = self.packed {
            let current = free >> self.cluster_bits;
            let room = cluster.saturating_sub(free & cluster.saturating_sub(1));
            if self.refcounts.count(current).is_some_and(|count| count < self.refcounts.most()) {
                if len <= room {
                    self.refcounts.increment(current)?;
                    offset = Some(free);
                } else if current.checked_add(1) == Some(self.cursor) {
                    self.clusters(1, out)?;
                    self.refcounts.increment(current)?;
                    offset = Some(free);
                }
            }
        }
        let offset = match offset {
            Some(offset) => offset,
            None => self.clusters(1, out)?,
        };
        let end = offset.checked_add(len).ok_or_else(|| limit("image file"))?;
        self.packed = (end & cluster.saturating_sub(1) != 0).then_some(end);
        Ok(offset)
    }

    /// Takes the place of the refcount table, which counts itself too, and gives out the table and all blocks
    /// not yet given out. Returns host offset and clusters of the table; nothing may be taken afterwards.
    pub(super) fn finish(&mut self, out: &mut Vec<Piece>) -> Result<(u64, u64)> {
        let mut clusters = self.refcounts.table_clusters();
        loop {
            // What it would be after taking so many: the table and the blocks for it count too.
            let needed = self.table_clusters_after(clusters);
            if needed <= clusters {
                break;
            }
            clusters = needed;
        }
        let host = self.clusters(clusters, out)?;
        self.refcounts.close_all(out);
        out.push(Piece::Table { host, bytes: self.refcounts.table(clusters) });
        Ok((host, clusters))
    }

    fn table_clusters_after(&self, taken: u64) -> u64 {
        let per_block = self.refcounts.per_block();
        let mut blocks = self.refcounts.covered() / per_block;
        let mut cursor = self.cursor.saturating_add(taken);
        while blocks.saturating_mul(per_block) < cursor {
            blocks = blocks.saturating_add(1);
            cursor = cursor.saturating_add(1);
        }
        blocks.saturating_mul(8).div_ceil(1 << self.cluster_bits)
    }
}
