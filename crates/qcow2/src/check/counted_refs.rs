//! References to host clusters, counted for a range of clusters.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use diskimg_core::{CheckReport, Fault, Result, range};

use crate::addr::{Geometry, HostOffset};
use crate::errors::limit;

/// The number of host clusters that are counted together.
const CHUNK: u64 = 4096;

/// The reference counts of host clusters from one on, and the problems found while counting.
///
/// Only chunks with references are stored. If they exceed the limit, those with the highest clusters are dropped, and
/// counted by another walk.
pub(super) struct CountedRefs<'a> {
    first: u64,
    /// The first cluster that is not counted.
    end: u64,
    /// The counts, by the number of the chunk.
    chunks: BTreeMap<u64, Vec<u32>>,
    most_chunks: usize,
    geometry: Geometry,
    file_size: u64,
    /// The report to add problems to; `None` after the first walk, because every walk finds the same problems.
    report: Option<&'a mut CheckReport>,
    /// The offset of the next guest cluster if the disk is not fragmented.
    next: Option<HostOffset>,
}

/// The counts of one walk.
pub(super) struct RefCounts {
    /// The host clusters that were counted.
    pub(super) counted: Range<u64>,
    chunks: BTreeMap<u64, Vec<u32>>,
}

impl RefCounts {
    /// Returns the number of references to a cluster.
    pub(super) fn get(&self, cluster: u64) -> u64 {
        let index = usize::try_from(cluster % CHUNK).unwrap_or(usize::MAX);
        self.chunks.get(&(cluster / CHUNK)).and_then(|counts| counts.get(index)).copied().unwrap_or(0).into()
    }

    /// Returns the first cluster from `cluster` on that is in a chunk with references.
    pub(super) fn next_referenced(&self, cluster: u64) -> Option<u64> {
        let (chunk, _) = self.chunks.range(cluster / CHUNK..).next()?;
        Some(chunk.saturating_mul(CHUNK).max(cluster))
    }
}

impl<'a> CountedRefs<'a> {
    /// Creates counts of zero for the host clusters of `window`, in memory for at most `most` of them. Problems are added
    /// to `report` if there is one.
    pub(super) fn new(
        window: Range<u64>,
        most: u64,
        geometry: Geometry,
        file_size: u64,
        report: Option<&'a mut CheckReport>,
    ) -> Self {
        let most_chunks = usize::try_from(most / CHUNK).unwrap_or(usize::MAX).max(1);
        let (first, end) = (window.start, window.end);
        Self { first, end, chunks: BTreeMap::new(), most_chunks, geometry, file_size, report, next: None }
    }

    pub(super) fn into_counts(self) -> RefCounts {
        RefCounts { counted: self.first..self.end, chunks: self.chunks }
    }

    /// Returns true if problems are reported, so that flags must be compared with the stored refcounts.
    pub(super) fn is_reporting(&self) -> bool {
        self.report.is_some()
    }

    /// Reports a corruption; `message` is called only if it is listed.
    pub(super) fn corruption_with(&mut self, offset: u64, message: impl FnOnce() -> String) {
        if let Some(report) = &mut self.report {
            report.corruption_with(Some(offset), message);
        }
    }

    pub(super) fn corruption(&mut self, offset: u64, message: impl Into<String>) {
        if let Some(report) = &mut self.report {
            report.corruption(Some(offset), message);
        }
    }

    /// Returns the value, or reports the error of the entry at `offset` as a corruption.
    pub(super) fn valid<T>(&mut self, offset: u64, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.corruption(offset, error.to_string())).ok()
    }

    /// Counts one reference to each cluster that `range` touches. `by` names the structure that refers to it.
    /// Returns false if the range starts past the end of the file.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] if there is not enough memory.
    pub(super) fn reference(&mut self, range: &Range<HostOffset>, by: &str) -> Result<bool> {
        if range.start.0 >= self.file_size {
            let size = self.file_size;
            self.corruption_with(range.start.0, || format!("{by} is past the end of the file, {size}"));
            return Ok(false);
        }
        let bits = self.geometry.cluster_bits();
        let last = range.end.0.min(self.file_size).saturating_sub(1) >> bits;
        let clusters = (range.start.0 >> bits).max(self.first)..last.saturating_add(1);
        let mut cluster = clusters.start;
        while cluster < clusters.end.min(self.end) {
            let chunk = cluster / CHUNK;
            let end = chunk.saturating_add(1).saturating_mul(CHUNK).min(clusters.end).min(self.end);
            let from = chunk.saturating_mul(CHUNK);
            if let Some(counts) = range::slice_mut(self.chunk(chunk)?, from, &(cluster..end)) {
                counts.iter_mut().for_each(|count| *count = count.saturating_add(1));
            }
            self.drop_highest();
            cluster = end;
        }
        Ok(true)
    }

    /// Returns the counts of a chunk.
    fn chunk(&mut self, chunk: u64) -> Result<&mut [u32]> {
        match self.chunks.entry(chunk) {
            Entry::Occupied(counts) => Ok(counts.into_mut()),
            Entry::Vacant(vacant) => {
                let len = usize::try_from(CHUNK).unwrap_or(usize::MAX);
                let mut counts = Vec::new();
                let no_memory =
                    |_| limit("memory").found(format_args!("{len} counts")).with_fault(Fault::Machine);
                counts.try_reserve_exact(len).map_err(no_memory)?;
                counts.resize(len, 0);
                Ok(vacant.insert(counts))
            }
        }
    }

    /// Drops the highest chunk if there are too many. Its clusters and those after it are counted by another walk.
    fn drop_highest(&mut self) {
        if self.chunks.len() > self.most_chunks {
            if let Some((chunk, _)) = self.chunks.pop_last() {
                self.end = self.end.min(chunk.saturating_mul(CHUNK));
            }
        }
    }

    /// Starts another table. QEMU counts fragments within each table.
    pub(super) fn new_table(&mut self) {
        self.next = None;
    }

    /// Counts an allocated cluster of the active disk.
    pub(super) fn allocated(&mut self, host: HostOffset) {
        let next = self.next.replace(host.plus(self.geometry.cluster_size()));
        if let Some(report) = &mut self.report {
            *report.allocated_units.get_or_insert(0) += 1;
            if next.is_some_and(|next| next != host) {
                report.fragmented_units += 1;
            }
        }
    }

    /// Counts a compressed cluster of the active disk. QEMU counts every compressed cluster as fragmented.
    pub(super) fn compressed(&mut self) {
        if let Some(report) = &mut self.report {
            *report.allocated_units.get_or_insert(0) += 1;
            report.compressed_units += 1;
            report.fragmented_units += 1;
        }
    }
}
