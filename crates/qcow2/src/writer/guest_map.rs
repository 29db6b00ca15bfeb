//! Maps guest clusters to host clusters, and allocates them.

use std::ops::Range;

use diskimg_core::writer::WritePlan;
use diskimg_core::{Error, Result};

use super::cluster_allocator::ClusterAllocator;
use super::image_geometry::ImageGeometry;
use super::l2_tables::{ClusterState, L2Tables};
use super::options::{ClusterPreallocation, Version, WriterOptions};
use crate::addr::{GuestOffset, HostOffset};
use crate::errors::{limit, misuse};

/// All subclusters of a cluster.
pub(super) const ALL_SUBCLUSTERS: u32 = u32::MAX;

/// The way in which a cluster of zeros is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ZeroStorage {
    /// Not at all: an unallocated cluster reads as zeros.
    Unallocated,
    /// As a flag in the L2 entry: an unallocated cluster would read from the backing file.
    Flag,
    /// As an allocated cluster, which is a hole in the file.
    Allocated,
}

/// The tables of an image, and the allocator of host clusters.
#[derive(Debug)]
pub(super) struct GuestMap {
    geometry: ImageGeometry,
    allocator: ClusterAllocator,
    tables: L2Tables,
    zeros: ZeroStorage,
    preallocation: ClusterPreallocation,
    has_backing: bool,
    l1_host: HostOffset,
}

/// The host offset of a whole guest cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClusterPlacement {
    /// A new host cluster, which reads as zeros until it is written.
    New(HostOffset),
    /// The host cluster that it already has.
    Existing(HostOffset),
    /// Compressed data.
    Compressed(HostOffset),
}

impl ClusterPlacement {
    pub(super) fn host(self) -> HostOffset {
        match self {
            Self::New(host) | Self::Existing(host) | Self::Compressed(host) => host,
        }
    }
}

/// The tables that the header points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TopTables {
    pub(super) l1_table: HostOffset,
    pub(super) refcount_table: HostOffset,
    pub(super) refcount_table_clusters: u64,
}

impl GuestMap {
    /// A map without guest clusters. Allocates the header and the L1 table.
    pub(super) fn new(
        options: &WriterOptions,
        geometry: ImageGeometry,
        plan: &mut WritePlan,
    ) -> Result<Self> {
        let mut allocator = ClusterAllocator::new(&geometry);
        // The cluster of the header, and with it the first refcount block.
        allocator.allocate(1, plan)?;
        let l1_clusters = geometry.l1_entries().saturating_mul(8).div_ceil(geometry.clusters.cluster_size());
        let l1_host = allocator.allocate(l1_clusters, plan)?;
        let zeros = match (&options.backing, options.preallocation, options.version) {
            (_, ClusterPreallocation::Metadata, _) | (Some(_), _, Version::V2) => ZeroStorage::Allocated,
            (Some(_), _, Version::V3) => ZeroStorage::Flag,
            (None, ..) => ZeroStorage::Unallocated,
        };
        let tables = L2Tables::new(geometry)?;
        let (preallocation, has_backing) = (options.preallocation, options.backing.is_some());
        Ok(Self { geometry, allocator, tables, zeros, preallocation, has_backing, l1_host })
    }

    /// True if each cluster of zeros needs an L2 entry.
    pub(super) fn records_zeros(&self) -> bool {
        self.zeros != ZeroStorage::Unallocated
    }

    /// Returns the host cluster of a guest cluster, and allocates it if there is none. The subclusters in `written`
    /// are about to be written.
    pub(super) fn allocate(
        &mut self,
        cluster: u64,
        written: u32,
        plan: &mut WritePlan,
    ) -> Result<ClusterPlacement> {
        let (index, slot) = self.geometry.clusters.l2_slot(cluster);
        let table = self.tables.table(index, &mut self.allocator, plan)?;
        match table.state(slot) {
            ClusterState::Verbatim(host, before) => {
                table.set_verbatim(slot, host, before | written);
                Ok(ClusterPlacement::Existing(host))
            }
            ClusterState::Compressed => Err(self.already_compressed(cluster)),
            ClusterState::Unallocated | ClusterState::Zero => {
                let host = self.allocator.allocate(1, plan)?;
                table.set_verbatim(slot, host, written);
                Ok(ClusterPlacement::New(host))
            }
        }
    }

    /// Allocates space for a guest cluster of `len` compressed bytes. Returns its host cluster instead if it
    /// already has one.
    pub(super) fn allocate_compressed(
        &mut self,
        cluster: u64,
        len: u64,
        plan: &mut WritePlan,
    ) -> Result<ClusterPlacement> {
        let (index, slot) = self.geometry.clusters.l2_slot(cluster);
        let table = self.tables.table(index, &mut self.allocator, plan)?;
        match table.state(slot) {
            ClusterState::Verbatim(host, _) => {
                table.set_verbatim(slot, host, ALL_SUBCLUSTERS);
                Ok(ClusterPlacement::Existing(host))
            }
            ClusterState::Compressed => Err(self.already_compressed(cluster)),
            ClusterState::Unallocated | ClusterState::Zero => {
                let host = self.allocator.allocate_compressed(len, plan)?;
                if !table.set_compressed(slot, self.geometry.clusters, host, len) {
                    let because = "an L2 entry cannot store an offset so large";
                    return Err(limit("compressed cluster").at(host.0).because(because));
                }
                Ok(ClusterPlacement::Compressed(host))
            }
        }
    }

    /// Makes whole guest clusters read as zeros.
    pub(super) fn zero(&mut self, clusters: Range<u64>, plan: &mut WritePlan) -> Result<()> {
        match self.zeros {
            ZeroStorage::Unallocated => self.zero_allocated(clusters, plan),
            ZeroStorage::Flag => self.flag_zeros(clusters, plan),
            ZeroStorage::Allocated => {
                for cluster in clusters {
                    self.zero_or_allocate(cluster, plan)?;
                }
                Ok(())
            }
        }
    }

    /// Zeroes the clusters that are allocated; the others read as zeros already.
    fn zero_allocated(&self, clusters: Range<u64>, plan: &mut WritePlan) -> Result<()> {
        for (cluster, state) in self.tables.recorded(clusters)? {
            match state {
                ClusterState::Verbatim(host, _) => plan.zero(self.cluster_at(host)),
                ClusterState::Compressed => return Err(self.already_compressed(cluster)),
                ClusterState::Unallocated | ClusterState::Zero => {}
            }
        }
        Ok(())
    }

    fn flag_zeros(&mut self, clusters: Range<u64>, plan: &mut WritePlan) -> Result<()> {
        let mut at = clusters.start;
        while at < clusters.end {
            let (index, first) = self.geometry.clusters.l2_slot(at);
            let entries = self.geometry.clusters.l2_entries();
            let end = at.saturating_add(1).next_multiple_of(entries).min(clusters.end);
            let table = self.tables.table(index, &mut self.allocator, plan)?;
            for (cluster, slot) in (at..end).zip(first..) {
                match table.state(slot) {
                    ClusterState::Unallocated => table.set_zero(slot),
                    ClusterState::Zero => {}
                    ClusterState::Verbatim(host, _) => {
                        plan.zero(host..host.plus(self.geometry.clusters.cluster_size()));
                    }
                    ClusterState::Compressed => return Err(self.already_compressed(cluster)),
                }
            }
            at = end;
        }
        Ok(())
    }

    fn cluster_at(&self, host: HostOffset) -> Range<HostOffset> {
        host..host.plus(self.geometry.clusters.cluster_size())
    }

    fn zero_or_allocate(&mut self, cluster: u64, plan: &mut WritePlan) -> Result<()> {
        match self.tables.state(cluster)? {
            ClusterState::Verbatim(host, _) => plan.zero(self.cluster_at(host)),
            ClusterState::Compressed => return Err(self.already_compressed(cluster)),
            ClusterState::Unallocated | ClusterState::Zero => {
                self.allocate(cluster, 0, plan)?;
            }
        }
        Ok(())
    }

    /// Makes a range inside one guest cluster read as zeros.
    pub(super) fn zero_partial(&mut self, range: &Range<GuestOffset>, plan: &mut WritePlan) -> Result<()> {
        let cluster = self.geometry.clusters.cluster_index(range.start);
        if let ClusterState::Verbatim(host, _) = self.tables.state(cluster)? {
            let start = host.plus(self.geometry.clusters.in_cluster(range.start.0));
            plan.zero(start..start.plus(range.end.since(range.start)));
            return Ok(());
        }
        self.zero(cluster..cluster.saturating_add(1), plan)
    }

    /// Returns the host offset for a write inside one guest cluster.
    pub(super) fn allocate_partial(
        &mut self,
        range: &Range<GuestOffset>,
        plan: &mut WritePlan,
    ) -> Result<HostOffset> {
        let clusters = self.geometry.clusters;
        let first = clusters.in_cluster(range.start.0);
        let last = clusters.in_cluster(range.end.0.saturating_sub(1));
        let bits = clusters.cluster_bits().saturating_sub(5);
        // The bits from the first to the last subcluster touched.
        let written = (u32::MAX << (first >> bits)) & (u32::MAX >> 31_u64.saturating_sub(last >> bits));
        let placement = self.allocate(clusters.cluster_index(range.start), written, plan)?;
        Ok(placement.host().plus(first))
    }

    /// Plans to write the L2 tables below guest offset `end`, up to which the disk is complete.
    pub(super) fn complete_below(&mut self, end: GuestOffset, plan: &mut WritePlan) {
        self.tables.close_below(end.0 / self.geometry.clusters.l1_span(), plan);
    }

    /// Completes L2 table `index`, if there is one, and plans to write it.
    pub(super) fn complete_table(&mut self, index: u64, plan: &mut WritePlan) -> Result<()> {
        if self.preallocation == ClusterPreallocation::Metadata && !self.tables.is_closed(index) {
            let entries = self.geometry.clusters.l2_entries();
            let first = index.saturating_mul(entries);
            let end = first.saturating_add(entries).min(self.geometry.guest_clusters());
            for cluster in first..end {
                if self.tables.state(cluster)? == ClusterState::Unallocated {
                    self.reserve(cluster, plan)?;
                }
            }
        }
        self.tables.close_below(index.saturating_add(1), plan);
        Ok(())
    }

    /// Plans to write the L1 table, the open refcount blocks and the refcount table. All L2 tables must be complete.
    pub(super) fn finish(&mut self, plan: &mut WritePlan) -> Result<TopTables> {
        plan.write_metadata(self.l1_host, self.tables.l1_bytes());
        let (refcount_table, refcount_table_clusters) = self.allocator.finish(plan)?;
        Ok(TopTables { l1_table: self.l1_host, refcount_table, refcount_table_clusters })
    }

    /// Allocates a cluster that nothing was written to.
    fn reserve(&mut self, cluster: u64, plan: &mut WritePlan) -> Result<()> {
        if !self.has_backing {
            return self.allocate(cluster, 0, plan).map(|_| ());
        }
        let (index, slot) = self.geometry.clusters.l2_slot(cluster);
        let table = self.tables.table(index, &mut self.allocator, plan)?;
        let host = self.allocator.allocate(1, plan)?;
        table.set_reserved(slot, host);
        Ok(())
    }

    fn already_compressed(&self, cluster: u64) -> Error {
        let because = "it was written before, and a compressed cluster cannot be changed";
        misuse("compressed cluster").guest(self.geometry.clusters.guest_start(cluster).0).because(because)
    }
}
