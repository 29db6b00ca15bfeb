//! The bytes of a file that grain tables occupy, where no grain can be.
//!
//! Every known writer stores hosted tables contiguously, so that one range covers all of them. Those of ESX are
//! spread between the grains.

use std::ops::{ControlFlow, Range};

use diskimg_core::{Budget, HostOffset, Result, range};

use crate::addr::span;
use crate::grain_tables::GrainTables;

/// Directory entries that are read. Our limit: 64 TiB in the usual grains of 64 KiB.
const MAX_ENTRIES: u64 = 2 << 20;
/// The memory for one range.
const RANGE_COST: u64 = size_of::<Range<HostOffset>>() as u64;

/// Ranges of grain tables, sorted and merged.
///
/// Tables past the first two million of a directory are missing, as are those for which the budget has no room.
#[derive(Default)]
pub(crate) struct TableRanges(Vec<Range<HostOffset>>);

impl TableRanges {
    /// Collects the tables of the primary directory, and those of the redundant one that end by byte
    /// `overhead`, in front of the grains, as the specification demands. Other redundant tables are ignored:
    /// damage to the redundant directory alone must not make a disk unreadable.
    ///
    /// # Errors
    /// Errors of reading the file.
    pub(crate) fn collect(tables: &GrainTables, overhead: HostOffset, budget: &Budget) -> Result<Self> {
        let mut ranges = Self::default();
        let directories = tables.layout().directories;
        ranges.add(tables, directories.primary, HostOffset(u64::MAX), budget)?;
        if let Some(redundant) = directories.redundant {
            ranges.add(tables, redundant, overhead, budget)?;
        }
        ranges.0.sort_unstable_by_key(|range| range.start);
        ranges.0.dedup_by(|next, range| {
            let touching = next.start <= range.end;
            if touching {
                range.end = range.end.max(next.end);
            }
            touching
        });
        Ok(ranges)
    }

    /// Returns true if a table shares bytes with `host`.
    pub(crate) fn overlap(&self, host: &Range<HostOffset>) -> bool {
        let next = self.0.partition_point(|range| range.end <= host.start);
        self.0.get(next).is_some_and(|table| range::overlaps(table, host))
    }

    /// Adds the tables of the directory at `at` that end by byte `end`.
    fn add(&mut self, tables: &GrainTables, at: HostOffset, end: HostOffset, budget: &Budget) -> Result<()> {
        let entries = tables.geometry().tables().min(MAX_ENTRIES);
        let len = tables.padded_table_bytes();
        let visit = |entry| {
            let table = tables.table(entry).ok().map(|start| span(start, len));
            let has_room =
                table.filter(|table| table.end <= end).is_none_or(|table| self.push(table, budget));
            Ok(if has_room { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        tables.file().scan(at, entries, visit).map(|_| ())
    }

    /// Adds a table, to the last range if it follows it. Returns false if the budget has no room.
    fn push(&mut self, table: Range<HostOffset>, budget: &Budget) -> bool {
        match self.0.last_mut() {
            Some(last) if last.end == table.start => last.end = table.end,
            _ if budget.take(RANGE_COST).is_ok() => self.0.push(table),
            _ => return false,
        }
        true
    }
}
