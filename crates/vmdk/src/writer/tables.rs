//! The grain tables that may still change, and the places of grains.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use diskimg_core::{Budget, Error, Remedy, Result};

use super::error::misuse;
use super::layout::{GRAIN_TABLE_BYTES, GRAIN_TABLE_ENTRIES, Shape, sector_number};
use crate::errors::FORMAT;
use crate::sparse_header::SECTOR;

/// Bytes of grain tables in memory. A bound of ours, only reached when a disk is not written in order: 256 MiB
/// map 4 TiB at grains of 64 KiB, twice what fits into the file.
const OPEN_TABLES: u64 = 256 << 20;

/// A finished grain table: which one, and its entries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) index: u64,
    pub(super) sectors: Vec<u32>,
}

/// One grain table in memory.
#[derive(Debug)]
struct Table {
    sectors: Vec<u32>,
    /// Entries never set.
    missing: u32,
}

/// The tables that map the guest's grains, and the next free place: a cursor that only goes up.
#[derive(Debug)]
pub(super) struct Tables {
    shape: Shape,
    open: BTreeMap<u64, Table>,
    /// All tables below are complete and given out.
    closed_below: u64,
    /// Others that were given out because every entry was set.
    full: BTreeSet<u64>,
    budget: Budget,
    /// The first sector not given out.
    cursor: u64,
}

impl Tables {
    /// No grain has a place; the first will get the one at sector `first`.
    pub(super) fn new(shape: Shape, first: u64) -> Self {
        let budget = Budget::new("open grain tables", OPEN_TABLES);
        Self { shape, open: BTreeMap::new(), closed_below: 0, full: BTreeSet::new(), budget, cursor: first }
    }

    /// Byte offset behind the last place given out.
    pub(super) fn end(&self) -> u64 {
        self.cursor.saturating_mul(SECTOR)
    }

    /// Byte offset of the place of grain `index`; it gets one if it has none.
    pub(super) fn place(&mut self, index: u64, out: &mut Vec<Closed>) -> Result<u64> {
        let (table, slot) = self.shape.slot(index);
        let (cursor, grain_sectors) = (self.cursor, self.shape.grain_sectors());
        let table = self.table(table, out)?;
        let entry = table.sectors.get_mut(slot).ok_or_else(|| misuse("grain table"))?;
        if *entry == 0 {
            *entry = sector_number(cursor)?;
            table.missing = table.missing.saturating_sub(1);
            self.cursor = cursor.saturating_add(grain_sectors);
            return Ok(cursor.saturating_mul(SECTOR));
        }
        Ok(u64::from(*entry).saturating_mul(SECTOR))
    }

    fn table(&mut self, index: u64, out: &mut Vec<Closed>) -> Result<&mut Table> {
        if !self.open.contains_key(&index) {
            self.check_open(index..index.saturating_add(1))?;
            if self.budget.take(GRAIN_TABLE_BYTES).is_err() {
                self.close_full(out);
                self.budget.take(GRAIN_TABLE_BYTES).map_err(|error| {
                    error.format(FORMAT).with_remedy(Remedy::WriteAscending { unit_option: "grain_size" })
                })?;
            }
            let sectors = vec![0; usize::try_from(GRAIN_TABLE_ENTRIES).unwrap_or_default()];
            self.open.insert(index, Table { sectors, missing: GRAIN_TABLE_ENTRIES });
        }
        self.open.get_mut(&index).ok_or_else(|| misuse("grain table"))
    }

    /// The parts of a guest range that have a place: the range, and the byte offset where it lies.
    pub(super) fn placed(&self, range: Range<u64>) -> Result<impl Iterator<Item = (Range<u64>, u64)> + '_> {
        let reach = self.shape.table_reach();
        let tables = range.start / reach..range.end.div_ceil(reach);
        self.check_open(tables.clone())?;
        let open = if tables.is_empty() { None } else { Some(self.open.range(tables)) };
        Ok(open.into_iter().flatten().flat_map(move |(index, table)| {
            let range = range.clone();
            let first = index.saturating_mul(GRAIN_TABLE_ENTRIES.into());
            (first..).zip(&table.sectors).filter_map(move |(grain, sector)| {
                let start = self.shape.start_of(grain).max(range.start);
                let end = self.shape.start_of(grain.saturating_add(1)).min(range.end);
                let host = u64::from(*sector).saturating_mul(SECTOR);
                let inside = *sector != 0 && start < end;
                inside.then(|| (start..end, host.saturating_add(self.shape.in_grain(start))))
            })
        }))
    }

    fn check_open(&self, tables: Range<u64>) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let closed = tables.start < self.closed_below || self.full.range(tables.clone()).next().is_some();
        if closed { Err(self.passed(tables.start)) } else { Ok(()) }
    }

    fn passed(&self, index: u64) -> Error {
        misuse("grain table")
            .guest(index.saturating_mul(self.shape.table_reach()))
            .because("it is complete and in the file: this range of the disk cannot be written again")
    }

    /// Gives out the tables of the disk below guest offset `end`: it is complete up to there.
    pub(super) fn complete_below(&mut self, end: u64, out: &mut Vec<Closed>) {
        let index = if end >= self.shape.size() { u64::MAX } else { end / self.shape.table_reach() };
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() < index) {
            let (index, table) = first.remove_entry();
            self.budget.give_back(GRAIN_TABLE_BYTES);
            out.push(Closed { index, sectors: table.sectors });
        }
        self.closed_below = self.closed_below.max(index);
    }

    /// Gives out the tables of which every entry is set.
    fn close_full(&mut self, out: &mut Vec<Closed>) {
        let (budget, full) = (&self.budget, &mut self.full);
        self.open.retain(|index, table| {
            if table.missing != 0 {
                return true;
            }
            budget.give_back(GRAIN_TABLE_BYTES);
            full.insert(*index);
            out.push(Closed { index: *index, sectors: std::mem::take(&mut table.sectors) });
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    /// Tables of grains of 4 KiB: 2 MiB of disk each.
    fn tables(first: u64) -> Tables {
        Tables::new(Shape::new(1 << 30, 4096).unwrap(), first)
    }

    #[test]
    fn a_file_past_two_tebibytes_is_refused() {
        let mut tables = tables((1 << 32) - 9);
        assert_eq!(tables.place(0, &mut Vec::new()).unwrap(), (1 << 41) - 9 * 512);
        assert_eq!(tables.place(1, &mut Vec::new()).unwrap(), (1 << 41) - 512);
        assert_eq!(tables.place(2, &mut Vec::new()).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(tables.place(1, &mut Vec::new()).unwrap(), (1 << 41) - 512, "a place once given");
    }

    #[test]
    fn out_of_memory_for_tables_the_full_ones_leave_and_then_none_is_made() {
        let mut tables = tables(8);
        tables.budget = Budget::new("open grain tables", 2 * GRAIN_TABLE_BYTES);
        let mut out = Vec::new();
        for grain in 512..1024 {
            tables.place(grain, &mut out).unwrap();
        }
        tables.place(0, &mut out).unwrap();
        assert!(out.is_empty());
        tables.place(1024, &mut out).unwrap();
        let expected: Vec<u32> = (0..512).map(|grain| 8 + grain * 8).collect();
        assert_eq!(out, [Closed { index: 1, sectors: expected }]);
        let error = tables.place(2048, &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.remedy(), Some(Remedy::WriteAscending { unit_option: "grain_size" }));
        for range in [(2 << 20)..(2 << 20) + 1, 0..4 << 20] {
            assert_eq!(tables.placed(range).err().unwrap().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(tables.place(600, &mut out).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn tables_leave_memory_as_they_are_passed() {
        let mut tables = tables(8);
        let mut out = Vec::new();
        for grain in (0..4096).step_by(512) {
            tables.place(grain, &mut out).unwrap();
            // To the last byte but one of the next table.
            tables.complete_below((grain + 1024) * 4096 - 1, &mut out);
            assert!(tables.open.is_empty());
            assert_eq!(tables.budget.left(), OPEN_TABLES);
        }
        let indices: Vec<u64> = out.iter().map(|closed| closed.index).collect();
        assert_eq!(indices, (0..8).collect::<Vec<_>>());
        tables.place(8191, &mut out).unwrap();
        tables.complete_below(1 << 30, &mut out);
        assert_eq!(tables.place(100_000, &mut out).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn what_has_a_place_is_found_inside_any_range() {
        let mut tables = tables(8);
        for grain in [3, 1, 600] {
            tables.place(grain, &mut Vec::new()).unwrap();
        }
        let found: Vec<_> = tables.placed(5000..601 * 4096 - 1).unwrap().collect();
        let second = 600 * 4096;
        let expected = [(5000..8192, 8192 + 904), (12_288..16_384, 4096), (second..second + 4095, 3 * 4096)];
        assert_eq!(found, expected);
        assert_eq!(tables.placed(16_384..second).unwrap().count(), 0);
        assert_eq!(tables.placed(0..0).unwrap().count(), 0);
        assert_eq!(tables.placed(4096..4097).unwrap().collect::<Vec<_>>(), [(4096..4097, 8192)]);
    }
}
