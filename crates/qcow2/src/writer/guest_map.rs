//! Guest clusters and their places: what changes under the writer's lock.

use std::ops::Range;

use diskimg_core::{Error, Result};

use super::allocator::Allocator;
use super::encoded_cluster::{Piece, push};
use super::error::misuse;
use super::layout::Shape;
use super::options::{Preallocation, Version, WriterOptions};
use super::tables::{Entry, Tables};
use crate::errors::limit;

/// Every subcluster of a cluster.
pub(super) const ALL_SUBCLUSTERS: u32 = u32::MAX;

/// How a cluster without data is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Zeros {
    /// Not at all: nothing reads as zeros too.
    Unallocated,
    /// By a mark in its L2 entry, because nothing would read as the backing file.
    Marked,
    /// By a cluster of its own, that is a hole in the file.
    Allocated,
}

/// Places given out, and the tables that record them.
#[derive(Debug)]
pub(super) struct State {
    shape: Shape,
    allocator: Allocator,
    tables: Tables,
    zeros: Zeros,
    preallocation: Preallocation,
    l1_host: u64,
}

/// Where a whole cluster went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// To a new place, which reads as zeros until it is written.
    Fresh(u64),
    /// To the place that it has already.
    Old(u64),
    /// Behind other compressed clusters.
    Packed(u64),
}

/// What the header points at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tops {
    /// Host offset of the L1 table.
    pub(super) l1_table: u64,
    /// Host offset of the refcount table.
    pub(super) refcount_table: u64,
    pub(super) refcount_table_clusters: u64,
}

impl State {
    /// Takes the places of the header and the L1 table.
    pub(super) fn new(options: &WriterOptions, shape: Shape, out: &mut Vec<Piece>) -> Result<Self> {
        let mut allocator = Allocator::new(&shape);
        // The header's cluster, and with it the first refcount block.
        allocator.clusters(1, out)?;
        let l1_clusters = shape.l1_entries().saturating_mul(8).div_ceil(shape.cluster());
        let l1_host = allocator.clusters(l1_clusters, out)?;
        let zeros = match (&options.backing, options.preallocation, options.version) {
            (_, Preallocation::Metadata, _) | (Some(_), _, Version::V2) => Zeros::Allocated,
            (Some(_), _, Version::V3) => Zeros::Marked,
            (None, ..) => Zeros::Unallocated,
        };
        let tables = Tables::new(shape)?;
        Ok(Self { shape, allocator, tables, zeros, preallocation: options.preallocation, l1_host })
    }

    /// Whether zeros are recorded, cluster by cluster.
    pub(super) fn records_zeros(&self) -> bool {
        self.zeros != Zeros::Unallocated
    }

    /// A place for a guest cluster as it is, of which the subclusters in `written` are about to hold data.
    pub(super) fn plain(&mut self, cluster: u64, written: u32, out: &mut Vec<Piece>) -> Result<Place> {
        let (index, slot) = self.shape.slot(cluster);
        let table = self.tables.table(index, &mut self.allocator, out)?;
        match table.entry(slot) {
            Entry::Plain(host, before) => {
                table.set_plain(slot, host, before | written);
                Ok(Place::Old(host))
            }
            Entry::Packed => Err(self.already_packed(cluster)),
            Entry::Unallocated | Entry::Zero => {
                let host = self.allocator.clusters(1, out)?;
                table.set_plain(slot, host, written);
                Ok(Place::Fresh(host))
            }
        }
    }

    /// A place for a guest cluster that takes `len` bytes compressed.
    pub(super) fn packed(&mut self, cluster: u64, len: u64, out: &mut Vec<Piece>) -> Result<Place> {
        let (index, slot) = self.shape.slot(cluster);
        let table = self.tables.table(index, &mut self.allocator, out)?;
        match table.entry(slot) {
            Entry::Plain(host, _) => {
                table.set_plain(slot, host, ALL_SUBCLUSTERS);
                Ok(Place::Old(host))
            }
            Entry::Packed => Err(self.already_packed(cluster)),
            Entry::Unallocated | Entry::Zero => {
                let host = self.allocator.packed(len, out)?;
                if !table.set_packed(slot, self.shape.geometry(), host, len) {
                    return Err(limit("compressed cluster")
                        .at(host)
                        .because("an L2 entry cannot hold an offset so large"));
                }
                Ok(Place::Packed(host))
            }
        }
    }

    /// Makes whole guest clusters read as zeros.
    pub(super) fn zero(&mut self, clusters: Range<u64>, out: &mut Vec<Piece>) -> Result<()> {
        match self.zeros {
            Zeros::Unallocated => self.zero_touched(clusters, out),
            Zeros::Marked => self.mark_zeros(clusters, out),
            Zeros::Allocated => {
                for cluster in clusters {
                    self.zero_one(cluster, out)?;
                }
                Ok(())
            }
        }
    }

    /// Nothing but what has been written needs to be made zeros.
    fn zero_touched(&self, clusters: Range<u64>, out: &mut Vec<Piece>) -> Result<()> {
        for (cluster, entry) in self.tables.touched(clusters)? {
            match entry {
                Entry::Plain(host, _) => push(out, self.zero_cluster(host)),
                Entry::Packed => return Err(self.already_packed(cluster)),
                Entry::Unallocated | Entry::Zero => {}
            }
        }
        Ok(())
    }

    fn mark_zeros(&mut self, clusters: Range<u64>, out: &mut Vec<Piece>) -> Result<()> {
        let mut at = clusters.start;
        while at < clusters.end {
            let (index, first) = self.shape.slot(at);
            let end = at.saturating_add(1).next_multiple_of(self.shape.table_entries()).min(clusters.end);
            let table = self.tables.table(index, &mut self.allocator, out)?;
            for (cluster, slot) in (at..end).zip(first..) {
                match table.entry(slot) {
                    Entry::Unallocated => table.set_zero(slot),
                    Entry::Zero => {}
                    Entry::Plain(host, _) => {
                        let end = host.saturating_add(self.shape.cluster());
                        push(out, Piece::Zero { host: host..end });
                    }
                    Entry::Packed => return Err(self.already_packed(cluster)),
                }
            }
            at = end;
        }
        Ok(())
    }

    fn zero_cluster(&self, host: u64) -> Piece {
        Piece::Zero { host: host..host.saturating_add(self.shape.cluster()) }
    }

    /// Gives a cluster without data a place, where it has none.
    fn zero_one(&mut self, cluster: u64, out: &mut Vec<Piece>) -> Result<()> {
        match self.tables.entry(cluster)? {
            Entry::Plain(host, _) => push(out, self.zero_cluster(host)),
            Entry::Packed => return Err(self.already_packed(cluster)),
            Entry::Unallocated | Entry::Zero => {
                self.plain(cluster, 0, out)?;
            }
        }
        Ok(())
    }

    /// Makes a part of one guest cluster read as zeros.
    pub(super) fn zero_part(&mut self, range: Range<u64>, out: &mut Vec<Piece>) -> Result<()> {
        let cluster = range.start >> self.shape.cluster_bits();
        let inside = self.shape.in_cluster(range.start);
        if let Entry::Plain(host, _) = self.tables.entry(cluster)? {
            let start = host.saturating_add(inside);
            let len = range.end.saturating_sub(range.start);
            push(out, Piece::Zero { host: start..start.saturating_add(len) });
            return Ok(());
        }
        self.zero(cluster..cluster.saturating_add(1), out)
    }

    /// Host offset for writing into a part of one guest cluster.
    pub(super) fn part(&mut self, range: &Range<u64>, out: &mut Vec<Piece>) -> Result<u64> {
        let cluster = range.start >> self.shape.cluster_bits();
        let inside = self.shape.in_cluster(range.start);
        let last = self.shape.in_cluster(range.end.saturating_sub(1));
        let bits = self.shape.cluster_bits().saturating_sub(5);
        // Bits from the first to the last subcluster touched.
        let written = (u32::MAX << (inside >> bits)) & (u32::MAX >> 31_u64.saturating_sub(last >> bits));
        match self.plain(cluster, written, out)? {
            Place::Fresh(host) | Place::Old(host) | Place::Packed(host) => Ok(host.saturating_add(inside)),
        }
    }

    /// Gives out the tables of the disk below guest offset `end`: it is complete up to there.
    pub(super) fn complete_below(&mut self, end: u64, out: &mut Vec<Piece>) {
        self.tables.close_below(end / self.shape.table_reach(), out);
    }

    /// Completes L2 table `index` and gives it out, if there is one.
    pub(super) fn complete_table(&mut self, index: u64, out: &mut Vec<Piece>) -> Result<()> {
        if self.preallocation == Preallocation::Metadata && !self.tables.is_closed(index) {
            let entries = self.shape.table_entries();
            let first = index.saturating_mul(entries);
            let end = first.saturating_add(entries).min(self.shape.guest_clusters());
            for cluster in first..end {
                if self.tables.entry(cluster)? == Entry::Unallocated {
                    self.plain(cluster, 0, out)?;
                }
            }
        }
        self.tables.close_below(index.saturating_add(1), out);
        Ok(())
    }

    /// Gives out what is left once all L2 tables are: the L1 table, refcount blocks and the refcount table.
    pub(super) fn finish(&mut self, out: &mut Vec<Piece>) -> Result<Tops> {
        out.push(Piece::Table { host: self.l1_host, bytes: self.tables.l1_bytes() });
        let (refcount_table, refcount_table_clusters) = self.allocator.finish(out)?;
        Ok(Tops { l1_table: self.l1_host, refcount_table, refcount_table_clusters })
    }

    fn already_packed(&self, cluster: u64) -> Error {
        misuse("compressed cluster")
            .guest(self.shape.guest_range(cluster).start)
            .because("it was written before, and a compressed cluster cannot be changed")
    }
}
