//! References to host clusters, counted for one window of clusters.

use std::ops::Range;

use diskimg_core::{CheckReport, Result, range};

use crate::addr::{Geometry, HostOffset};
use crate::errors::limit;

/// The reference counts of a window of host clusters, and the problems found while counting.
pub(super) struct CountedRefs<'a> {
    window: Range<u64>,
    counts: Vec<u32>,
    geometry: Geometry,
    file_size: u64,
    /// The report to add problems to; `None` after the first window, because every walk finds the same problems.
    report: Option<&'a mut CheckReport>,
    /// The offset of the next guest cluster if the disk is not fragmented.
    next: Option<HostOffset>,
}

impl<'a> CountedRefs<'a> {
    /// Creates counts of zero for the host clusters of `window`. Problems are added to `report` if there is one.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] if there is not enough memory.
    pub(super) fn new(
        window: Range<u64>,
        geometry: Geometry,
        file_size: u64,
        report: Option<&'a mut CheckReport>,
    ) -> Result<Self> {
        let len = range::buffer_len(&window);
        let mut counts = Vec::new();
        counts.try_reserve_exact(len).map_err(|_| limit("memory").found(format_args!("{len} counts")))?;
        counts.resize(len, 0);
        Ok(Self { window, counts, geometry, file_size, report, next: None })
    }

    pub(super) fn into_counts(self) -> Vec<u32> {
        self.counts
    }

    /// Returns true if problems are reported, so that flags must be compared with the stored refcounts.
    pub(super) fn is_reporting(&self) -> bool {
        self.report.is_some()
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
    pub(super) fn reference(&mut self, range: &Range<HostOffset>, by: &str) -> bool {
        if range.start.0 >= self.file_size {
            self.corruption(range.start.0, format!("{by} is past the end of the file, {}", self.file_size));
            return false;
        }
        let bits = self.geometry.cluster_bits();
        let last = range.end.0.min(self.file_size).saturating_sub(1) >> bits;
        let clusters = range.start.0 >> bits..last + 1;
        if let Some(counted) = range::intersect(&clusters, &self.window)
            && let Some(counts) = range::slice_mut(&mut self.counts, self.window.start, &counted)
        {
            counts.iter_mut().for_each(|count| *count = count.saturating_add(1));
        }
        true
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
