//! Reads the tables of an image from its stream.

use std::collections::BTreeSet;
use std::ops::Range;

use diskimg_core::{BlockSink, Error, Result, chunks, range};

use super::claims::HostRun;
use super::clusters::{Clusters, StreamedCluster};
use super::l2_table::{self, L2TableRef};
use crate::addr::{Geometry, GuestOffset, HostOffset, SUBCLUSTERS};
use crate::entry_bits::{COPIED, refcount_block};
use crate::errors::{corrupt, past_end};
use crate::l1;
use crate::l2::{ClusterDescriptor, L2Rules};
use crate::short_cluster::ShortCluster;
use crate::subcluster::{Subcluster, SubclusterMap};

/// Memory charged for the offset of one refcount block, including its share of the set.
const REFCOUNT_BLOCK_COST: u64 = 24;

/// Reads the tables in each streamed cluster and passes their references to [`Clusters`].
pub(super) struct TableReader {
    rules: L2Rules,
    /// Virtual size in bytes.
    size: u64,
    /// The host range of the L1 entries that map the disk.
    l1: Range<HostOffset>,
    refcount_table: Range<HostOffset>,
    clusters: Clusters,
    /// L2 tables that have not been read, by descending offset.
    tables: Vec<L2TableRef>,
    /// Spilled L2 tables with more references than fit in memory. They are read at the end of the file.
    deferred: Vec<L2TableRef>,
    /// Refcount blocks: no table of guest data refers to them.
    refcount_blocks: BTreeSet<HostOffset>,
}

impl TableReader {
    /// A reader of the tables of a disk of `size` bytes.
    pub(super) fn new(
        rules: L2Rules,
        size: u64,
        l1: Range<HostOffset>,
        refcount_table: Range<HostOffset>,
        clusters: Clusters,
    ) -> Self {
        Self {
            rules,
            size,
            l1,
            refcount_table,
            clusters,
            tables: Vec::new(),
            deferred: Vec::new(),
            refcount_blocks: BTreeSet::new(),
        }
    }

    /// Virtual size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The data cluster in which the file has ended; `None` if no bytes of the disk are missing in it.
    pub(super) fn short_cluster(&self) -> Option<ShortCluster> {
        self.clusters.short_cluster()
    }

    fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    /// Processes the cluster at `start`. Only the last cluster of the file may be truncated.
    pub(super) fn push(&mut self, start: HostOffset, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let cluster = StreamedCluster { start, bytes };
        self.clusters.advance_to(start);
        let is_metadata = self.read_tables(cluster, sink)?;
        self.clusters.deliver(cluster, !is_metadata, sink)
    }

    /// Completes the disk: the file has ended, and its `size` bytes were pushed.
    pub(super) fn finish(&mut self, size: u64, sink: &dyn BlockSink) -> Result<()> {
        if self.l1.end.0 > size && !self.l1.is_empty() {
            return Err(l1::truncated_table(&self.l1, size));
        }
        if let Some(table) = self.tables.last() {
            return Err(past_end("L2 table", table.at, self.guest_of(*table), size));
        }
        self.clusters.end_file(size);
        self.read_deferred(size, sink)?;
        self.clusters.finish(size, sink)
    }

    /// Reads the tables in a cluster. Returns true if it contains metadata, which need not be spilled.
    fn read_tables(&mut self, cluster: StreamedCluster<'_>, sink: &dyn BlockSink) -> Result<bool> {
        if range::overlaps(&self.l1, &cluster.range()) {
            self.read_l1(cluster, sink)?;
            return Ok(true);
        }
        if self.tables.last().is_some_and(|table| table.at == cluster.start) {
            if self.defer(cluster.start, cluster.bytes) {
                return Ok(false);
            }
            while let Some(table) = self.pop_table(cluster.start) {
                self.read_l2(table, cluster.bytes, sink)?;
            }
            return Ok(true);
        }
        // Last: a header may claim a larger table than exists, which must not hide L1 and L2 tables.
        if range::overlaps(&self.refcount_table, &cluster.range()) {
            self.read_refcount_table(cluster);
            return Ok(true);
        }
        Ok(self.refcount_blocks.contains(&cluster.start))
    }

    /// Notes the L2 tables of a part of the L1 table. At its end, reads those that were streamed already.
    fn read_l1(&mut self, cluster: StreamedCluster<'_>, sink: &dyn BlockSink) -> Result<()> {
        let geometry = self.geometry();
        let first = cluster.start.since(self.l1.start) / 8;
        for (l1_index, entry) in (first..).zip(chunks(cluster.part(&self.l1))) {
            let at = self.l1.start.plus(l1_index.saturating_mul(8)).0;
            let guest = l1_index.saturating_mul(geometry.l1_span());
            let place = |error: Error| error.at(at).guest(guest);
            match l1::decode(u64::from_be_bytes(*entry), geometry).map_err(place)? {
                None => {
                    let end = guest.saturating_add(geometry.l1_span());
                    self.clusters.zero(guest..end, sink)?;
                }
                Some(table) => {
                    let misplaced =
                        || corrupt("L1 entry").found(format_args!("an L2 table at {:#x}", table.0));
                    self.clusters.check_cluster(table, misplaced).map_err(place)?;
                    self.clusters.spend(size_of::<L2TableRef>() as u64)?;
                    self.tables.push(L2TableRef { at: table, l1_index });
                }
            }
        }
        if cluster.end() < self.l1.end {
            return Ok(());
        }
        self.tables.sort_unstable_by(|a, b| b.cmp(a));
        self.read_streamed_tables(cluster.start, sink)
    }

    /// Defers the table at `at` if it may need more claims than fit in memory: the table and the clusters it
    /// refers to are spilled. Returns true if it was deferred.
    fn defer(&mut self, at: HostOffset, bytes: &[u8]) -> bool {
        let references = self.tables.iter().rev().take_while(|table| table.at == at).count() as u64;
        let claims = references.saturating_mul(l2_table::max_claims(bytes, self.geometry()));
        let defers = self.clusters.defers(claims);
        if defers {
            while let Some(table) = self.pop_table(at) {
                self.deferred.push(table);
            }
        }
        defers
    }

    /// Removes and returns the next table if it is at `at`.
    fn pop_table(&mut self, at: HostOffset) -> Option<L2TableRef> {
        self.tables.last().is_some_and(|table| table.at == at).then(|| self.tables.pop())?
    }

    fn read_deferred(&mut self, size: u64, sink: &dyn BlockSink) -> Result<()> {
        for table in std::mem::take(&mut self.deferred) {
            let len = self.geometry().cluster_size().min(size.saturating_sub(table.at.0));
            let bytes = self.read_spilled(table, len)?;
            self.read_l2(table, &bytes, sink)?;
        }
        Ok(())
    }

    /// Reads the L2 tables below `position`, which were streamed before the end of the L1 table.
    fn read_streamed_tables(&mut self, position: HostOffset, sink: &dyn BlockSink) -> Result<()> {
        while let Some(first) = self.tables.last().copied().filter(|table| table.at < position) {
            let bytes = self.read_spilled(first, self.geometry().cluster_size())?;
            if self.defer(first.at, &bytes) {
                continue;
            }
            while let Some(table) = self.pop_table(first.at) {
                self.read_l2(table, &bytes, sink)?;
            }
        }
        Ok(())
    }

    fn read_spilled(&mut self, table: L2TableRef, len: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.clusters.read_spilled("L2 table", table.at, self.guest_of(table), &mut bytes)?;
        Ok(bytes)
    }

    /// The first guest offset that an L2 table maps.
    fn guest_of(&self, table: L2TableRef) -> GuestOffset {
        GuestOffset(table.l1_index.saturating_mul(self.geometry().l1_span()))
    }

    /// Passes the references of an L2 table to [`Clusters`].
    fn read_l2(&mut self, table: L2TableRef, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let geometry = self.geometry();
        let start = self.guest_of(table);
        let clusters = self.size.saturating_sub(start.0).div_ceil(geometry.cluster_size());
        let mut entries = l2_table::entries(bytes, geometry);
        for index in 0..clusters.min(geometry.l2_entries()) {
            let at = table.at.plus(index.saturating_mul(geometry.l2_entry_bytes()));
            let guest = start.plus(index.saturating_mul(geometry.cluster_size()));
            let Some((entry, bitmap)) = entries.next() else {
                return Err(past_end("L2 table", at, guest, table.at.plus(bytes.len() as u64).0));
            };
            let cluster = self.rules.decode(entry, bitmap).map_err(|error| error.at(at.0).guest(guest.0))?;
            // A cluster with a refcount of one has one reference.
            let shared = entry & COPIED == 0;
            self.refer(cluster, shared, guest, sink)?;
        }
        self.clusters.end_table(sink)
    }

    fn refer(
        &mut self,
        cluster: ClusterDescriptor,
        shared: bool,
        guest: GuestOffset,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let end = guest.plus(self.geometry().cluster_size()).0.min(self.size);
        match cluster {
            ClusterDescriptor::Unallocated(_) | ClusterDescriptor::Zero(_) => {
                self.clusters.zero(guest.0..end, sink)
            }
            ClusterDescriptor::Data(host) => {
                self.clusters.check_data(host, guest)?;
                let len = end.saturating_sub(guest.0);
                self.clusters.refer_to_data(HostRun { host, len, guest, shared }, sink)
            }
            ClusterDescriptor::Compressed(host) => self.clusters.refer_to_compressed(host, guest, sink),
            ClusterDescriptor::Mixed(subclusters) => {
                if subclusters.any_data() {
                    self.clusters.check_data(subclusters.host(), guest)?;
                }
                self.refer_to_subclusters(subclusters, shared, guest.0..end, sink)
            }
        }
    }

    fn refer_to_subclusters(
        &mut self,
        subclusters: SubclusterMap,
        shared: bool,
        guest: Range<u64>,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let bits = self.geometry().subcluster_bits();
        let mut index = 0;
        while index < SUBCLUSTERS {
            let (kind, same) = subclusters.run(index);
            let from = u64::from(index) << bits;
            let start = guest.start.saturating_add(from);
            let end = start.saturating_add(u64::from(same) << bits).min(guest.end);
            index = index.saturating_add(same);
            if start >= end {
                break;
            }
            match kind {
                Subcluster::Unallocated | Subcluster::Zero => self.clusters.zero(start..end, sink)?,
                Subcluster::Data => {
                    let (host, len) = (subclusters.host().plus(from), end.saturating_sub(start));
                    let run = HostRun { host, len, guest: GuestOffset(start), shared };
                    self.clusters.refer_to_data(run, sink)?;
                }
            }
        }
        Ok(())
    }

    fn read_refcount_table(&mut self, cluster: StreamedCluster<'_>) {
        let geometry = self.geometry();
        for entry in chunks(cluster.part(&self.refcount_table)) {
            // Blocks that do not fit in memory are spilled like any other cluster.
            if let Some(block) = refcount_block(u64::from_be_bytes(*entry), geometry) {
                if self.clusters.spend(REFCOUNT_BLOCK_COST).is_ok() {
                    self.refcount_blocks.insert(block);
                }
            }
        }
    }
}
