//! References to host clusters, counted for one window of them.

use std::ops::Range;

use diskimg_core::{CheckReport, Error, Result};

use crate::addr::Geometry;
use crate::errors::limit;

/// The counts of a window of host clusters, and what else is noticed on the way.
pub(super) struct CountedRefs<'a> {
    window: Range<u64>,
    counts: Vec<u32>,
    geometry: Geometry,
    file_size: u64,
    /// Told to only while the first window is counted: every walk sees the same.
    report: Option<&'a mut CheckReport>,
    /// Where the next cluster of the guest would lie if nothing is fragmented.
    next: Option<u64>,
}

impl<'a> CountedRefs<'a> {
    pub(super) fn new(
        window: Range<u64>,
        geometry: Geometry,
        file_size: u64,
        report: &'a mut CheckReport,
        tells: bool,
    ) -> Result<Self> {
        let len = usize::try_from(window.end.saturating_sub(window.start)).unwrap_or(usize::MAX);
        let mut counts = Vec::new();
        counts.try_reserve_exact(len).map_err(|_| limit("memory").found(format_args!("{len} counts")))?;
        counts.resize(len, 0);
        Ok(Self { window, counts, geometry, file_size, report: tells.then_some(report), next: None })
    }

    pub(super) fn into_counts(self) -> Vec<u32> {
        self.counts
    }

    /// Whether what is wrong is still to be told, and flags to be compared with the stored counts.
    pub(super) fn tells(&self) -> bool {
        self.report.is_some()
    }

    pub(super) fn corruption(&mut self, offset: u64, message: impl Into<String>) {
        if let Some(report) = &mut self.report {
            report.corruption(Some(offset), message);
        }
    }

    /// An error about an entry at `offset` is a corruption, and the check goes on.
    pub(super) fn wrong(&mut self, offset: u64, error: &Error) {
        self.corruption(offset, error.to_string());
    }

    /// Counts one reference to each cluster that `range` touches; `by` says who refers to it. Whether the range
    /// begins within the file.
    pub(super) fn reference(&mut self, range: &Range<u64>, by: &str) -> bool {
        if range.start >= self.file_size {
            self.corruption(range.start, format!("{by} lies behind the end of the file, {}", self.file_size));
            return false;
        }
        let bits = self.geometry.cluster_bits();
        let last = range.end.min(self.file_size).saturating_sub(1) >> bits;
        let from = (range.start >> bits).max(self.window.start);
        let to = last.saturating_add(1).min(self.window.end);
        let index = |cluster: u64| usize::try_from(cluster.saturating_sub(self.window.start)).ok();
        if let (Some(from), Some(to)) = (index(from), index(to))
            && let Some(counts) = self.counts.get_mut(from..to.max(from))
        {
            counts.iter_mut().for_each(|count| *count = count.saturating_add(1));
        }
        true
    }

    /// What follows is in another table: QEMU counts fragments within each.
    pub(super) fn new_table(&mut self) {
        self.next = None;
    }

    /// Notes a cluster of the active disk that has a place of its own.
    pub(super) fn allocated(&mut self, host: u64) {
        let next = self.next.replace(host.saturating_add(self.geometry.cluster_size()));
        if let Some(report) = &mut self.report {
            *report.allocated_units.get_or_insert(0) += 1;
            if next.is_some_and(|next| next != host) {
                report.fragmented_units = report.fragmented_units.saturating_add(1);
            }
        }
    }

    /// Notes a compressed cluster of the active disk: fragmented by its nature, as QEMU counts it.
    pub(super) fn compressed(&mut self) {
        if let Some(report) = &mut self.report {
            *report.allocated_units.get_or_insert(0) += 1;
            report.compressed_units = report.compressed_units.saturating_add(1);
            report.fragmented_units = report.fragmented_units.saturating_add(1);
        }
    }
}
