//! The L1 table, and the L2 tables that are not complete.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Cluster mapping" and "Extended L2 entries".

use std::collections::BTreeMap;
use std::ops::Range;

use diskimg_core::writer::WritePlan;
use diskimg_core::{Budget, Error, Fault, Remedy, Result, ensure};

use super::cluster_allocator::ClusterAllocator;
use super::image_geometry::ImageGeometry;
use crate::addr::{Geometry, HostOffset};
use crate::compressed::CompressedRange;
use crate::entry_bits::{COMPRESSED, COPIED, HOST_OFFSET, ZERO};
use crate::errors::{FORMAT, internal, limit, misuse};

/// The half of an extended entry's second word with the bits of allocated subclusters. The upper half has the bits of
/// zero subclusters.
const LOW_HALF: u64 = 0xFFFF_FFFF;

/// The maximum number of bytes of L2 tables in memory. Our limit, reached only if a disk is not written in order: 256
/// MiB map 2 TiB at 64 KiB clusters.
const OPEN_TABLES: u64 = 256 << 20;

/// The state of a guest cluster in its L2 entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClusterState {
    /// Never written.
    Unallocated,
    /// Reads as zeros, without a host cluster.
    Zero,
    /// Stored verbatim at this offset; a bit for each subcluster that is written.
    Verbatim(HostOffset, u32),
    /// Compressed: cannot be changed any more.
    Compressed,
}

/// An L2 table in memory.
#[derive(Debug)]
pub(super) struct L2Table {
    host: HostOffset,
    words: Vec<u64>,
    entry_words: usize,
    /// Entries never set.
    missing: u64,
}

impl L2Table {
    pub(super) fn state(&self, slot: usize) -> ClusterState {
        let at = slot.saturating_mul(self.entry_words);
        let first = self.words.get(at).copied().unwrap_or(0);
        let second = if self.entry_words == 2 { self.words.get(at.saturating_add(1)) } else { None };
        let second = second.copied().unwrap_or(0);
        match first {
            0 if second == 0 => ClusterState::Unallocated,
            0 | ZERO => ClusterState::Zero,
            entry if entry & COMPRESSED != 0 => ClusterState::Compressed,
            entry => {
                let written = u32::try_from(second & LOW_HALF).unwrap_or(0);
                ClusterState::Verbatim(HostOffset(entry & HOST_OFFSET), written)
            }
        }
    }

    fn set(&mut self, slot: usize, first: u64, second: u64) {
        let at = slot.saturating_mul(self.entry_words);
        if self.state(slot) == ClusterState::Unallocated {
            self.missing = self.missing.saturating_sub(1);
        }
        let words = self.words.get_mut(at..at.saturating_add(self.entry_words)).unwrap_or_default();
        for (word, value) in words.iter_mut().zip([first, second]) {
            *word = value;
        }
    }

    /// Points an entry to a verbatim cluster. The subclusters in `written` have data, the others read as zeros.
    pub(super) fn set_verbatim(&mut self, slot: usize, host: HostOffset, written: u32) {
        self.set(slot, host.0 | COPIED, u64::from(written) | u64::from(!written) << 32);
    }

    /// Points an extended entry to a verbatim cluster whose subclusters all read from the backing file.
    pub(super) fn set_reserved(&mut self, slot: usize, host: HostOffset) {
        self.set(slot, host.0 | COPIED, 0);
    }

    /// Makes an entry read as zeros.
    pub(super) fn set_zero(&mut self, slot: usize) {
        if self.entry_words == 2 {
            self.set(slot, 0, LOW_HALF << 32);
        } else {
            self.set(slot, ZERO, 0);
        }
    }

    /// Points an entry to `len` compressed bytes. Returns false if it cannot store the offset.
    #[must_use]
    pub(super) fn set_compressed(
        &mut self,
        slot: usize,
        geometry: Geometry,
        offset: HostOffset,
        len: u64,
    ) -> bool {
        let entry = CompressedRange { offset, bytes: len }.encode(geometry);
        entry.inspect(|entry| self.set(slot, *entry, 0)).is_some()
    }

    fn write_to(&self, plan: &mut WritePlan) {
        plan.write_metadata(self.host, self.words.iter().flat_map(|word| word.to_be_bytes()).collect());
    }
}

/// The tables that map guest clusters.
#[derive(Debug)]
pub(super) struct L2Tables {
    geometry: ImageGeometry,
    /// The offset of each L2 table, 0 if there is none.
    l1: Vec<HostOffset>,
    /// The tables in memory.
    open: BTreeMap<u64, L2Table>,
    budget: Budget,
}

impl L2Tables {
    /// An L1 table without L2 tables.
    pub(super) fn new(geometry: ImageGeometry) -> Result<Self> {
        let mut l1 = Vec::new();
        let entries = usize::try_from(geometry.l1_entries()).unwrap_or(usize::MAX);
        l1.try_reserve_exact(entries)
            .map_err(|_| limit("L1 table").because("no memory for it").with_fault(Fault::Machine))?;
        l1.resize(entries, HostOffset(0));
        let budget = Budget::new("open L2 tables", OPEN_TABLES);
        Ok(Self { geometry, l1, open: BTreeMap::new(), budget })
    }

    /// Returns L2 table `index`, and allocates it if there is none.
    pub(super) fn table(
        &mut self,
        index: u64,
        allocator: &mut ClusterAllocator,
        plan: &mut WritePlan,
    ) -> Result<&mut L2Table> {
        if !self.open.contains_key(&index) {
            ensure(self.l1_entry(index) == Some(HostOffset(0)), || self.already_closed(index))?;
            let bytes = self.geometry.clusters.cluster_size();
            if self.budget.take(bytes).is_err() {
                self.close_full(plan);
                self.budget.take(bytes).map_err(|error| {
                    error.format(FORMAT).with_remedy(Remedy::WriteAscending { unit_option: "cluster_size" })
                })?;
            }
            let host = allocator.allocate_l2_table(plan)?;
            if let Some(entry) = usize::try_from(index).ok().and_then(|index| self.l1.get_mut(index)) {
                *entry = host;
            }
            let clusters = self.geometry.clusters;
            let words = vec![0; usize::try_from(bytes / 8).unwrap_or(0)];
            let entry_words = if clusters.extended_l2() { 2 } else { 1 };
            self.open.insert(index, L2Table { host, words, entry_words, missing: clusters.l2_entries() });
        }
        self.open.get_mut(&index).ok_or_else(|| internal("L2 table"))
    }

    /// Returns the state of a guest cluster without allocating anything.
    pub(super) fn state(&self, cluster: u64) -> Result<ClusterState> {
        let (index, slot) = self.geometry.clusters.l2_slot(cluster);
        match (self.open.get(&index), self.l1_entry(index)) {
            (Some(table), _) => Ok(table.state(slot)),
            (None, Some(HostOffset(0))) => Ok(ClusterState::Unallocated),
            (None, _) => Err(self.already_closed(index)),
        }
    }

    /// The guest clusters in a range that are not unallocated, with their states.
    pub(super) fn recorded(
        &self,
        clusters: Range<u64>,
    ) -> Result<impl Iterator<Item = (u64, ClusterState)> + '_> {
        let entries = self.geometry.clusters.l2_entries();
        let tables = clusters.start / entries..clusters.end.div_ceil(entries);
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.l1.len());
        let l1 = self.l1.get(within(tables.start)..within(tables.end)).unwrap_or_default();
        for (index, host) in (tables.start..).zip(l1) {
            if *host != HostOffset(0) && !self.open.contains_key(&index) {
                return Err(self.already_closed(index));
            }
        }
        let open = if tables.is_empty() { None } else { Some(self.open.range(tables)) };
        Ok(open.into_iter().flatten().flat_map(move |(index, table)| {
            let first = index.saturating_mul(entries);
            let start = clusters.start.max(first);
            let end = clusters.end.min(first.saturating_add(entries));
            (start..end).filter_map(move |cluster| {
                let slot = usize::try_from(cluster.saturating_sub(first)).ok()?;
                Some((cluster, table.state(slot))).filter(|(_, state)| *state != ClusterState::Unallocated)
            })
        }))
    }

    fn l1_entry(&self, index: u64) -> Option<HostOffset> {
        self.l1.get(usize::try_from(index).ok()?).copied()
    }

    fn already_closed(&self, index: u64) -> Error {
        let because = "it is complete and in the file: this range of the disk cannot be written again";
        misuse("L2 table").guest(index.saturating_mul(self.geometry.clusters.l1_span())).because(because)
    }

    /// Returns true if L2 table `index` is in the file.
    pub(super) fn is_closed(&self, index: u64) -> bool {
        self.l1_entry(index) != Some(HostOffset(0)) && !self.open.contains_key(&index)
    }

    /// Plans to write all tables below `index`, up to which the disk is complete.
    pub(super) fn close_below(&mut self, index: u64, plan: &mut WritePlan) {
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() < index) {
            self.budget.give_back(self.geometry.clusters.cluster_size());
            first.remove().write_to(plan);
        }
    }

    /// Plans to write the tables of which every entry is set.
    fn close_full(&mut self, plan: &mut WritePlan) {
        let (budget, bytes) = (&self.budget, self.geometry.clusters.cluster_size());
        self.open.retain(|_, table| {
            if table.missing != 0 {
                return true;
            }
            budget.give_back(bytes);
            table.write_to(plan);
            false
        });
    }

    /// The L1 table as stored in the file.
    pub(super) fn l1_bytes(&self) -> Vec<u8> {
        let entry = |host: &HostOffset| if host.0 == 0 { 0 } else { host.0 | COPIED };
        self.l1.iter().flat_map(|host| entry(host).to_be_bytes()).collect()
    }
}
