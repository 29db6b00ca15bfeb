//! The state of the check of one sparse extent.

use std::ops::Range;

use diskimg_core::{Budget, CheckReport, Error, HostOffset, OpenOptions, Result, range};

use super::grain_order::GrainOrder;
use crate::addr::{SECTOR, span};
use crate::errors::FORMAT;
use crate::extents::DescriptorExtent;
use crate::sparse_extent::SparseExtent;

/// A sparse extent that is being checked.
pub(super) struct ExtentCheck<'a> {
    pub(super) options: &'a OpenOptions<'a>,
    extent: &'a DescriptorExtent,
    pub(super) sparse: &'a SparseExtent,
    pub(super) report: &'a mut CheckReport,
    /// The memory for lists and bitmaps.
    pub(super) budget: Budget,
    /// The grain tables, sorted by index; no two overlap.
    pub(super) tables: Vec<CheckedTable>,
    /// The metadata of the file, sorted.
    pub(super) metadata: Vec<Range<HostOffset>>,
    /// The first byte after the last grain or structure.
    pub(super) end: HostOffset,
    pub(super) order: GrainOrder,
}

/// A grain table, by its entry in a directory.
#[derive(Clone, Copy)]
pub(super) struct CheckedTable {
    /// The index of its entry.
    pub(super) index: u64,
    pub(super) host: HostOffset,
    /// True if the redundant directory names it.
    pub(super) redundant: bool,
}

impl<'a> ExtentCheck<'a> {
    pub(super) fn new(
        extent: &'a DescriptorExtent,
        sparse: &'a SparseExtent,
        report: &'a mut CheckReport,
        options: &'a OpenOptions<'a>,
    ) -> Self {
        Self {
            options,
            extent,
            sparse,
            report,
            budget: options.limits.table_budget("the check of grain tables"),
            tables: Vec::new(),
            metadata: Vec::new(),
            end: sparse.tables().layout().areas.end(),
            order: GrainOrder::default(),
        }
    }

    /// The first byte after the last grain or structure found so far.
    pub(super) const fn end(&self) -> HostOffset {
        self.end
    }

    /// Reports a corruption at byte `at` of the file.
    pub(super) fn corruption(&mut self, at: u64, error: Error) {
        self.report.corruption(Some(at), self.extent.name_error(error).to_string());
    }

    /// Reports one leaked grain at byte `at` of the file.
    pub(super) fn leaked_grain(&mut self, at: u64, error: Error) {
        self.report.leak(1, Some(at), self.extent.name_error(error).to_string());
    }

    /// Takes `bytes` from the budget.
    pub(super) fn charge(&self, bytes: u64) -> Result<()> {
        self.budget.take(bytes).map_err(|error| error.format(FORMAT))
    }

    /// Returns true if metadata shares bytes with `host`.
    pub(super) fn is_on_metadata(&self, host: &Range<HostOffset>) -> bool {
        self.metadata_in(host).is_some()
    }

    /// Returns the end of the metadata that has bytes of the sector at `at`.
    pub(super) fn metadata_end(&self, at: HostOffset) -> Option<HostOffset> {
        self.metadata_in(&span(at, SECTOR)).map(|area| area.end)
    }

    fn metadata_in(&self, host: &Range<HostOffset>) -> Option<&Range<HostOffset>> {
        let first = self.metadata.partition_point(|area| area.end <= host.start);
        self.metadata.get(first).filter(|area| range::overlaps(area, host))
    }
}
