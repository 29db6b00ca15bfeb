//! The L1 table and the L2 tables that may still change.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Cluster mapping" and "Extended L2 entries".

use std::collections::BTreeMap;
use std::ops::Range;

use diskimg_core::{Budget, Error, Remedy, Result};

use super::allocator::Allocator;
use super::encoded_cluster::Piece;
use super::error::misuse;
use super::layout::Shape;
use crate::addr::{Geometry, HostOffset};
use crate::compressed::CompressedRange;
use crate::entry_bits::{COMPRESSED, COPIED, HOST_OFFSET, ZERO};
use crate::errors::{FORMAT, limit};

/// Second word of an extended entry: bits of allocated subclusters; above them those of zero subclusters.
const LOW_HALF: u64 = 0xFFFF_FFFF;

/// Bytes of L2 tables in memory. A bound of ours, only reached when a disk is not written in order: 256 MiB
/// map 2 TiB at 64 KiB clusters.
const OPEN_TABLES: u64 = 256 << 20;

/// What an L2 entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// Never written.
    Unallocated,
    /// Zeros, without a place.
    Zero,
    /// As it is, at this host offset; a bit for each subcluster that has been written.
    Plain(u64, u32),
    /// Compressed: cannot be changed any more.
    Packed,
}

/// One L2 table in memory.
#[derive(Debug)]
pub(super) struct Table {
    host: u64,
    words: Vec<u64>,
    entry_words: usize,
    /// Entries never set.
    missing: u64,
}

impl Table {
    pub(super) fn entry(&self, index: usize) -> Entry {
        let at = index.saturating_mul(self.entry_words);
        let first = self.words.get(at).copied().unwrap_or(0);
        let second = if self.entry_words == 2 { self.words.get(at.saturating_add(1)) } else { None };
        let second = second.copied().unwrap_or(0);
        match first {
            0 if second == 0 => Entry::Unallocated,
            0 | ZERO => Entry::Zero,
            packed if packed & COMPRESSED != 0 => Entry::Packed,
            plain => Entry::Plain(plain & HOST_OFFSET, u32::try_from(second & LOW_HALF).unwrap_or(0)),
        }
    }

    fn set(&mut self, index: usize, first: u64, second: u64) {
        let at = index.saturating_mul(self.entry_words);
        if self.entry(index) == Entry::Unallocated {
            self.missing = self.missing.saturating_sub(1);
        }
        let words = self.words.get_mut(at..at.saturating_add(self.entry_words)).unwrap_or_default();
        for (word, value) in words.iter_mut().zip([first, second]) {
            *word = value;
        }
    }

    /// Points an entry at a cluster as it is, of which the subclusters in `written` hold data and the others
    /// read as zeros.
    pub(super) fn set_plain(&mut self, index: usize, host: u64, written: u32) {
        self.set(index, host | COPIED, u64::from(written) | u64::from(!written) << 32);
    }

    pub(super) fn set_zero(&mut self, index: usize) {
        if self.entry_words == 2 {
            self.set(index, 0, LOW_HALF << 32);
        } else {
            self.set(index, ZERO, 0);
        }
    }

    /// Points an entry at `len` compressed bytes; `false` when the entry cannot hold that offset.
    #[must_use]
    pub(super) fn set_packed(&mut self, index: usize, geometry: Geometry, host: u64, len: u64) -> bool {
        let range = CompressedRange { offset: HostOffset(host), bytes: len };
        match range.encode(geometry) {
            Some(entry) => {
                self.set(index, entry, 0);
                true
            }
            None => false,
        }
    }

    fn as_piece(&self) -> Piece {
        Piece::Table {
            host: self.host,
            bytes: self.words.iter().flat_map(|word| word.to_be_bytes()).collect(),
        }
    }
}

/// All tables that map the guest's clusters.
#[derive(Debug)]
pub(super) struct Tables {
    shape: Shape,
    /// Host offset of each L2 table, 0 for none.
    l1: Vec<u64>,
    open: BTreeMap<u64, Table>,
    budget: Budget,
}

impl Tables {
    pub(super) fn new(shape: Shape) -> Result<Self> {
        let mut l1 = Vec::new();
        let entries = usize::try_from(shape.l1_entries()).unwrap_or(usize::MAX);
        l1.try_reserve_exact(entries).map_err(|_| limit("L1 table").because("no memory for it"))?;
        l1.resize(entries, 0);
        Ok(Self { shape, l1, open: BTreeMap::new(), budget: Budget::new("open L2 tables", OPEN_TABLES) })
    }

    /// L2 table `index` in memory; it is made, with a place of its own, if there is none yet.
    pub(super) fn table(
        &mut self,
        index: u64,
        allocator: &mut Allocator,
        out: &mut Vec<Piece>,
    ) -> Result<&mut Table> {
        if !self.open.contains_key(&index) {
            let host = self.l1_entry(index);
            if host.is_none_or(|host| host != 0) {
                return Err(self.passed(index));
            }
            let words = self.shape.cluster() / 8;
            if self.budget.take(words.saturating_mul(8)).is_err() {
                self.close_complete(out);
                self.budget.take(words.saturating_mul(8)).map_err(|error| {
                    error.format(FORMAT).with_remedy(Remedy::WriteAscending { unit_option: "cluster_size" })
                })?;
            }
            let host = allocator.l2_table(out)?;
            if let Some(entry) = usize::try_from(index).ok().and_then(|index| self.l1.get_mut(index)) {
                *entry = host;
            }
            let words = vec![0; usize::try_from(words).unwrap_or(0)];
            let missing = self.shape.table_entries();
            let entry_words = self.shape.entry_words();
            self.open.insert(index, Table { host, words, entry_words, missing });
        }
        self.open.get_mut(&index).ok_or_else(|| misuse("L2 table"))
    }

    /// The table's entry for a guest cluster, making nothing.
    pub(super) fn entry(&self, cluster: u64) -> Result<Entry> {
        let (index, slot) = self.shape.slot(cluster);
        match (self.open.get(&index), self.l1_entry(index)) {
            (Some(table), _) => Ok(table.entry(slot)),
            (None, Some(0)) => Ok(Entry::Unallocated),
            (None, _) => Err(self.passed(index)),
        }
    }

    /// The entries that are set for a range of guest clusters, by table.
    pub(super) fn touched(&self, clusters: Range<u64>) -> Result<impl Iterator<Item = (u64, Entry)> + '_> {
        let entries = self.shape.table_entries();
        let tables = clusters.start / entries..clusters.end.div_ceil(entries);
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.l1.len());
        let l1 = self.l1.get(within(tables.start)..within(tables.end)).unwrap_or_default();
        for (index, host) in (tables.start..).zip(l1) {
            if *host != 0 && !self.open.contains_key(&index) {
                return Err(self.passed(index));
            }
        }
        let open = if tables.is_empty() { None } else { Some(self.open.range(tables)) };
        Ok(open.into_iter().flatten().flat_map(move |(index, table)| {
            let first = index.saturating_mul(entries);
            let start = clusters.start.max(first);
            let end = clusters.end.min(first.saturating_add(entries));
            (start..end).filter_map(move |cluster| {
                let slot = usize::try_from(cluster.saturating_sub(first)).ok()?;
                Some((cluster, table.entry(slot))).filter(|(_, entry)| *entry != Entry::Unallocated)
            })
        }))
    }

    fn l1_entry(&self, index: u64) -> Option<u64> {
        self.l1.get(usize::try_from(index).ok()?).copied()
    }

    fn passed(&self, index: u64) -> Error {
        misuse("L2 table")
            .guest(index.saturating_mul(self.shape.table_reach()))
            .because("it is complete and in the file: this range of the disk cannot be written again")
    }

    /// Whether L2 table `index` has been given out.
    pub(super) fn is_closed(&self, index: u64) -> bool {
        self.l1_entry(index) != Some(0) && !self.open.contains_key(&index)
    }

    /// Gives out all tables below `index`: the disk below them is complete.
    pub(super) fn close_below(&mut self, index: u64, out: &mut Vec<Piece>) {
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() < index) {
            let table = first.remove();
            self.budget.give_back((table.words.len() as u64).saturating_mul(8));
            out.push(table.as_piece());
        }
    }

    /// Gives out the tables of which every entry is set.
    fn close_complete(&mut self, out: &mut Vec<Piece>) {
        let budget = &self.budget;
        self.open.retain(|_, table| {
            if table.missing != 0 {
                return true;
            }
            budget.give_back((table.words.len() as u64).saturating_mul(8));
            out.push(table.as_piece());
            false
        });
    }

    /// The L1 table as it stands in the file.
    pub(super) fn l1_bytes(&self) -> Vec<u8> {
        self.l1.iter().flat_map(|host| if *host == 0 { *host } else { host | COPIED }.to_be_bytes()).collect()
    }
}
