//! Where the grain tables of an extent are: places in its file that can hold no grain.
//!
//! Every known writer lays hosted tables side by side, so that a run of bytes stands for all of them; those of
//! ESX stand alone between the grains.

use std::ops::Range;

use diskimg_core::Result;

use crate::lookup::SparseExtent;

/// Entries of a directory that are looked through. A bound of ours: 64 TiB in the usual grains of 64 KiB.
const LOOKED_THROUGH: u64 = 2 << 20;
/// Bytes that one run of tables takes.
const RUN_COST: u64 = size_of::<Range<u64>>() as u64;

/// Runs of bytes that hold grain tables, in the order of the file, none touching another.
///
/// Tables past the first two million of a directory are not among them, nor those for which the budget of the
/// image has no room.
#[derive(Default)]
pub(crate) struct TablePlaces(Vec<Range<u64>>);

impl TablePlaces {
    /// The places of all tables by which `extent` is read, and of their copies where these lie in front of the
    /// grains, as they have to: damage to the redundant directory alone must not keep a disk from being read.
    ///
    /// # Errors
    /// What reading the file gives.
    pub(crate) fn of(extent: &SparseExtent) -> Result<Self> {
        let mut places = Self::default();
        places.add(extent, extent.directory, u64::MAX)?;
        if let Some(redundant) = extent.redundant {
            places.add(extent, redundant, extent.overhead)?;
        }
        places.0.sort_unstable_by_key(|run| run.start);
        places.0.dedup_by(|next, run| {
            let touching = next.start <= run.end;
            if touching {
                run.end = run.end.max(next.end);
            }
            touching
        });
        Ok(places)
    }

    /// Whether a table lies in a range of the file.
    pub(crate) fn overlap(&self, range: &Range<u64>) -> bool {
        let next = self.0.partition_point(|run| run.end <= range.start);
        self.0.get(next).is_some_and(|run| run.start < range.end)
    }

    /// Adds the tables that the directory at byte `directory` names and that end by byte `most` of the file.
    fn add(&mut self, extent: &SparseExtent, directory: u64, most: u64) -> Result<()> {
        let entries = extent.capacity.div_ceil(extent.table_span().max(1)).min(LOOKED_THROUGH);
        let len = extent.table_sectors_bytes();
        let mut index = 0;
        while index < entries {
            let at = directory.saturating_add(index.saturating_mul(extent.tables.entry_bytes()));
            let page = extent.tables.page(at)?;
            let here = page.left().min(entries.saturating_sub(index));
            if here == 0 {
                break;
            }
            for (next, number) in (index..index.saturating_add(here)).zip(0_usize..) {
                let entry = page.entry(number).unwrap_or_default();
                let table = (entry != 0).then(|| extent.table(entry, at, next).ok()).flatten();
                let table = table.map(|start| start..start.saturating_add(len));
                if let Some(table) = table.filter(|table| table.end <= most)
                    && !self.push(table, extent)
                {
                    return Ok(());
                }
            }
            index = index.saturating_add(here);
        }
        Ok(())
    }

    /// Adds a table, to the run before it if it follows that; `false` when there is no room.
    fn push(&mut self, table: Range<u64>, extent: &SparseExtent) -> bool {
        match self.0.last_mut() {
            Some(last) if last.end == table.start => last.end = table.end,
            _ if extent.budget.take(RUN_COST).is_ok() => self.0.push(table),
            _ => return false,
        }
        true
    }
}
