//! The walk over all structures that refer to host clusters.

use std::ops::Range;

use diskimg_core::{Budget, OpenOptions, Result};

use super::counted_refs::CountedRefs;
use super::stored_refcounts::StoredRefcounts;
use crate::addr::{Geometry, HostOffset, span};
use crate::bitmap;
use crate::entry_bits::{COPIED, HOST_OFFSET, REFCOUNT_BLOCK_OFFSET};
use crate::features;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::header::MAX_REFCOUNT_TABLE_BYTES;
use crate::l1;
use crate::l2::{ClusterDescriptor, L2Rules};
use crate::snapshot::SnapshotTable;
use crate::table_words::TableWords;

/// The guest bytes after which the progress is reported, if nothing is allocated in them. Our choice.
const PROGRESS_STEP: u64 = 1 << 30;

/// An image, walked once for each window of clusters.
pub(super) struct ReferenceWalk<'w, 'a> {
    pub(super) parsed: &'w FirstCluster,
    pub(super) options: &'w OpenOptions<'w>,
    pub(super) tables: &'w TableWords,
    pub(super) stored: StoredRefcounts<'w>,
    pub(super) entries: &'w Budget,
    pub(super) file: &'w mut FileWindow<'a>,
}

/// An L1 table to walk.
struct WalkedL1 {
    range: Range<HostOffset>,
    /// True for the table of the active disk, false for that of a snapshot.
    active: bool,
}

impl ReferenceWalk<'_, '_> {
    fn geometry(&self) -> Geometry {
        self.parsed.header.geometry
    }

    fn rules(&self) -> L2Rules {
        L2Rules::new(&self.parsed.header, self.parsed.data_file.is_some())
    }

    /// Counts all references.
    pub(super) fn all(&mut self, refs: &mut CountedRefs<'_>) -> Result<()> {
        let header = &self.parsed.header;
        refs.reference(&span(HostOffset(0), self.geometry().cluster_size()), "the header")?;
        if let Some(crypto) = self.parsed.extensions.crypto_header {
            refs.reference(&span(HostOffset(crypto.offset), crypto.bytes), "the encryption header")?;
        }
        self.refcounts(refs)?;
        let range = span(HostOffset(header.l1_table_offset), header.l1_bytes());
        self.l1(refs, &WalkedL1 { range, active: true })?;
        self.snapshots(refs)?;
        self.bitmaps(refs)
    }

    fn refcounts(&mut self, refs: &mut CountedRefs<'_>) -> Result<()> {
        let header = &self.parsed.header;
        let bytes = header.refcount_table_bytes().min(MAX_REFCOUNT_TABLE_BYTES);
        let table = span(HostOffset(header.refcount_table_offset), bytes);
        refs.reference(&table, "the refcount table")?;
        let cluster_size = self.geometry().cluster_size();
        self.words(&table, |walk, at, entry| {
            if entry == 0 {
                return Ok(());
            }
            let block = entry & REFCOUNT_BLOCK_OFFSET;
            if entry != block || walk.geometry().in_cluster(block) != 0 {
                let message = format!("refcount table entry {entry:#x} is not the offset of a cluster");
                refs.corruption(at, message);
            } else {
                refs.reference(&span(HostOffset(block), cluster_size), "a refcount block")?;
            }
            Ok(())
        })
    }

    fn snapshots(&mut self, refs: &mut CountedRefs<'_>) -> Result<()> {
        let header = &self.parsed.header;
        if header.snapshots == 0 {
            return Ok(());
        }
        let mut l1_tables = Vec::new();
        let mut table = SnapshotTable::new(header, &self.options.limits, self.file);
        for entry in table.by_ref() {
            let entry = refs.valid(header.snapshots_offset, entry);
            l1_tables
                .extend(entry.map(|entry| span(HostOffset(entry.l1_table_offset), entry.l1_entries * 8)));
        }
        let table = HostOffset(header.snapshots_offset)..HostOffset(table.offset());
        refs.reference(&table, "the snapshot table")?;
        for range in l1_tables {
            self.l1(refs, &WalkedL1 { range, active: false })?;
        }
        Ok(())
    }

    fn bitmaps(&mut self, refs: &mut CountedRefs<'_>) -> Result<()> {
        let is_used = self.parsed.header.autoclear & features::BITMAPS != 0;
        let Some(Ok(extension)) = self.parsed.extensions.bitmaps.filter(|_| is_used) else { return Ok(()) };
        let directory = span(HostOffset(extension.directory_offset), extension.directory_bytes);
        refs.reference(&directory, "the bitmap directory")?;
        let budget = self.options.limits.header_budget();
        let bitmaps = refs.valid(directory.start.0, bitmap::list(extension, &budget, self.file));
        let cluster_size = self.geometry().cluster_size();
        for bitmap in bitmaps.unwrap_or_default() {
            refs.reference(&bitmap.table, "a bitmap table")?;
            self.words(&bitmap.table, |_, _, entry| {
                if entry & HOST_OFFSET != 0 {
                    refs.reference(
                        &span(HostOffset(entry & HOST_OFFSET), cluster_size),
                        "a cluster of a bitmap",
                    )?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Counts an L1 table, its L2 tables and the clusters that they map.
    fn l1(&mut self, refs: &mut CountedRefs<'_>, l1: &WalkedL1) -> Result<()> {
        if l1.range.is_empty() {
            return Ok(());
        }
        let name = if l1.active { "the active L1 table" } else { "the L1 table of a snapshot" };
        if self.geometry().in_cluster(l1.range.start.0) != 0 {
            refs.corruption(l1.range.start.0, format!("{name} does not start at a cluster"));
            return Ok(());
        }
        refs.reference(&l1.range, name)?;
        let cluster_size = self.geometry().cluster_size();
        // Tables do not overlap, so a file cannot have more L2 tables than clusters.
        let most = self.tables.file_size().div_ceil(cluster_size);
        let mut seen = 0_u64;
        // The walk that reports problems is the first, whose progress is that of the check.
        let span_each = if l1.active && refs.is_reporting() { self.geometry().l1_span() } else { 0 };
        let mut unreported = 0_u64;
        self.words(&l1.range, |walk, at, entry| {
            unreported = unreported.saturating_add(span_each);
            if entry != 0 || unreported >= PROGRESS_STEP {
                walk.options.advance(std::mem::take(&mut unreported))?;
            }
            let Some(Some(host)) = refs.valid(at, l1::decode(entry, walk.geometry())) else { return Ok(()) };
            seen += 1;
            if seen > most {
                return Ok(());
            }
            let l2 = span(host, cluster_size);
            if refs.reference(&l2, "an L2 table")? {
                walk.check_copied(refs, l1, at, entry, host)?;
                walk.l2(refs, l1, &l2)?;
            }
            Ok(())
        })?;
        self.options.advance(unreported)?;
        if seen > most {
            let message = format!("{name} has {seen} L2 tables in a file of {most} clusters");
            refs.corruption(l1.range.start.0, message);
        }
        Ok(())
    }

    fn l2(&mut self, refs: &mut CountedRefs<'_>, l1: &WalkedL1, l2: &Range<HostOffset>) -> Result<()> {
        refs.new_table();
        let step = self.geometry().l2_entry_bytes() / 8;
        let mut entry = 0;
        self.words(l2, |walk, at, word| {
            if step == 1 {
                return walk.cluster(refs, l1, at, word, 0);
            }
            // An entry has two words, the descriptor and the bitmap.
            if (at / 8) % 2 == 0 {
                entry = word;
                return Ok(());
            }
            walk.cluster(refs, l1, at - 8, entry, word)
        })
    }

    fn cluster(
        &mut self,
        refs: &mut CountedRefs<'_>,
        l1: &WalkedL1,
        at: u64,
        entry: u64,
        bitmap: u64,
    ) -> Result<()> {
        if entry == 0 && bitmap == 0 {
            return Ok(());
        }
        let Some(cluster) = refs.valid(at, self.rules().decode(entry, bitmap)) else { return Ok(()) };
        if let ClusterDescriptor::Compressed(range) = cluster {
            if l1.active {
                refs.compressed();
            }
            refs.reference(&span(range.offset, range.bytes), "a compressed cluster")?;
            if entry & COPIED != 0 {
                refs.corruption(at, "a compressed cluster is marked as having one reference");
            }
            return Ok(());
        }
        let host = HostOffset(entry & HOST_OFFSET);
        let is_allocated = host.0 != 0 || (self.parsed.data_file.is_some() && entry & COPIED != 0);
        if !is_allocated {
            return Ok(());
        }
        if l1.active {
            refs.allocated(host);
        }
        if self.parsed.data_file.is_some() {
            return Ok(());
        }
        if refs.reference(&span(host, self.geometry().cluster_size()), "a cluster")? {
            self.check_copied(refs, l1, at, entry, host)?;
        }
        Ok(())
    }

    /// Compares the mark "one reference" of an entry in the active tables with the stored refcount.
    fn check_copied(
        &mut self,
        refs: &mut CountedRefs<'_>,
        l1: &WalkedL1,
        at: u64,
        entry: u64,
        host: HostOffset,
    ) -> Result<()> {
        if !l1.active || !refs.is_reporting() {
            return Ok(());
        }
        let cluster = host.0 >> self.geometry().cluster_bits();
        let count = self.stored.get(cluster)?;
        let copied = entry & COPIED != 0;
        if copied != (count == 1) {
            let marked = if copied { "marked" } else { "not marked" };
            let found = format!("the cluster at {:#x} has a reference count of {count}", host.0);
            refs.corruption(at, format!("{found} and is {marked} as having one"));
        }
        Ok(())
    }

    /// Calls `visit` with the offset and the value of each word of a table, up to the end of the file.
    fn words(
        &mut self,
        table: &Range<HostOffset>,
        mut visit: impl FnMut(&mut Self, u64, u64) -> Result<()>,
    ) -> Result<()> {
        let end = table.end.0.min(self.tables.file_size());
        let mut at = table.start.0;
        while at < end {
            let page = self.tables.page(HostOffset(at))?;
            let words = ((end - at) / 8).min(page.left() as u64);
            if words == 0 {
                break;
            }
            self.entries.take(words)?;
            self.options.advance(0)?;
            for index in 0..words {
                let word = usize::try_from(index).ok().and_then(|index| page.word(index)).unwrap_or(0);
                visit(self, at + index * 8, word)?;
            }
            at += words * 8;
        }
        Ok(())
    }
}
