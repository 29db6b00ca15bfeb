//! The check of the grain directories, and of the places of the grain tables.

use std::ops::{ControlFlow, Range};

use diskimg_core::{HostOffset, Result};

use super::extent_check::{CheckedTable, ExtentCheck};
use crate::addr::span;
use crate::errors::{corrupt, truncated};
use crate::table_file::TableEntry;

/// The memory for one grain table: in the list, in its copy during the sort, and as a range of metadata.
const TABLE_COST: u64 = 2 * size_of::<CheckedTable>() as u64 + size_of::<Range<HostOffset>>() as u64;

/// The entries of a directory other than 0, by their indices, both lists sorted.
#[derive(Default)]
struct DirectoryTables {
    tables: Vec<CheckedTable>,
    /// Damaged entries, which were reported.
    damaged: Vec<u64>,
}

impl DirectoryTables {
    /// Returns true if entry `index` is not 0.
    fn has(&self, index: u64) -> bool {
        self.host(index).is_some() || self.damaged.binary_search(&index).is_ok()
    }

    fn host(&self, index: u64) -> Option<HostOffset> {
        let found = self.tables.binary_search_by_key(&index, |table| table.index).ok()?;
        self.tables.get(found).map(|table| table.host)
    }
}

impl ExtentCheck<'_> {
    /// Checks the directories, and compares the redundant tables with the primary ones.
    pub(super) fn check_tables(&mut self) -> Result<()> {
        let directories = self.sparse.tables().layout().directories;
        let mut all = self.directory_tables(directories.primary, false)?;
        // If both offsets are equal, there is only one directory.
        if let Some(redundant) = directories.redundant.filter(|redundant| *redundant != directories.primary) {
            let copies = self.directory_tables(redundant, true)?;
            let copies = self.separate_copies(&all, copies);
            all.tables.extend(copies);
        }
        let mut tables = self.drop_overlapping(all.tables);
        self.merge_metadata();
        tables.sort_unstable_by_key(|table| (table.index, table.redundant));
        for pair in tables.windows(2) {
            if let [table, copy] = pair {
                if table.index == copy.index {
                    self.compare(*table, *copy)?;
                }
            }
        }
        tables.retain(|table| !table.redundant);
        self.tables = tables;
        Ok(())
    }

    /// Reports tables that begin inside another one. Returns the others, and adds them to the metadata.
    fn drop_overlapping(&mut self, mut all: Vec<CheckedTable>) -> Vec<CheckedTable> {
        let len = self.sparse.tables().table_bytes();
        all.sort_unstable_by_key(|table| (table.host, table.redundant, table.index));
        let mut end = HostOffset(0);
        let mut separate = Vec::with_capacity(all.len());
        for table in all {
            if table.host < end {
                let at = self.entry_at(table).0;
                let error = corrupt("grain directory entry").at(at);
                let error = error.found(format_args!("a grain table at {:#x}", table.host.0));
                self.corruption(at, error.expected("no overlap with another grain table"));
                continue;
            }
            let range = span(table.host, len);
            end = range.end;
            self.metadata.push(range);
            separate.push(table);
        }
        self.end = self.end.max(end);
        separate
    }

    /// Sorts all metadata, and reports overlaps.
    fn merge_metadata(&mut self) {
        let mut all = std::mem::take(&mut self.metadata);
        all.extend(self.sparse.tables().layout().areas.ranges().cloned());
        all.retain(|range| !range.is_empty());
        all.sort_unstable_by_key(|range| (range.start, range.end));
        all.dedup();
        for range in all {
            match self.metadata.last_mut() {
                Some(last) if range.start < last.end => {
                    last.end = last.end.max(range.end);
                    let error = corrupt("header, descriptor and directories").at(range.start.0);
                    self.corruption(range.start.0, error.expected("no overlap with each other"));
                }
                _ => self.metadata.push(range),
            }
        }
    }

    /// The offset of the directory entry of a table.
    fn entry_at(&self, table: CheckedTable) -> HostOffset {
        let tables = self.sparse.tables();
        let directories = tables.layout().directories;
        let directory =
            if table.redundant { directories.redundant.unwrap_or_default() } else { directories.primary };
        tables.file().entry_at(directory, table.index)
    }

    /// Returns the tables of the directory at `directory`, and reports damaged entries.
    fn directory_tables(&mut self, directory: HostOffset, redundant: bool) -> Result<DirectoryTables> {
        let tables = self.sparse.tables();
        let count = tables.geometry().tables();
        let mut found = DirectoryTables::default();
        let read = tables.file().scan(directory, count, |entry: TableEntry| {
            let index = entry.index;
            let table = tables.table(entry).and_then(|host| {
                let whole = span(host, tables.table_bytes()).end.0 <= tables.file_size();
                let guest = tables.geometry().table_start(index);
                if whole { Ok(host) } else { Err(tables.ends_before("grain table", host, guest)) }
            });
            match table {
                Ok(host) => {
                    self.charge(TABLE_COST)?;
                    found.tables.push(CheckedTable { index, host, redundant });
                }
                Err(error) => {
                    self.charge(size_of::<u64>() as u64)?;
                    found.damaged.push(index);
                    self.corruption(entry.at.0, error);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if read < count {
            let at = tables.file().entry_at(directory, read).0;
            let error = truncated("grain directory").at(at).because("the file ends before it does");
            self.corruption(at, error);
        }
        Ok(found)
    }

    /// Returns the copies that are not the primary tables themselves. Reports tables that only one of the
    /// directories names.
    fn separate_copies(
        &mut self,
        primary: &DirectoryTables,
        mut redundant: DirectoryTables,
    ) -> Vec<CheckedTable> {
        for table in &primary.tables {
            if !redundant.has(table.index) {
                self.report_single(*table);
            }
        }
        for copy in redundant.tables.iter().filter(|copy| !primary.has(copy.index)) {
            self.report_single(*copy);
        }
        redundant.tables.retain(|copy| primary.host(copy.index) != Some(copy.host));
        redundant.tables
    }

    /// Reports a table that the other directory does not name.
    fn report_single(&mut self, table: CheckedTable) {
        let at = self.entry_at(CheckedTable { redundant: !table.redundant, ..table }).0;
        let guest = self.sparse.geometry().table_start(table.index);
        let error = corrupt("grain directory entry").at(at).guest(self.sparse.in_disk(guest).0).found(0);
        self.corruption(at, error.expected("a grain table, as in the other directory"));
    }

    /// Reports the first entry that differs between a table and its copy.
    fn compare(&mut self, table: CheckedTable, copy: CheckedTable) -> Result<()> {
        let (tables, geometry) = (self.sparse.tables(), self.sparse.geometry());
        let (file, entries) = (tables.file(), geometry.entries_per_table());
        let mut slot = 0;
        while slot < entries {
            let copy_at = file.entry_at(copy.host, slot);
            let (a, b) = (file.page(file.entry_at(table.host, slot))?, file.page(copy_at)?);
            let here = a.left().min(b.left()).min(entries.saturating_sub(slot)).max(1);
            for (next, in_page) in (0..here).zip(0_usize..) {
                let (a, b) = (a.entry(in_page), b.entry(in_page));
                if a != b {
                    let at = file.entry_at(copy_at, next).0;
                    let guest = geometry.grain_at(copy.index, slot.saturating_add(next));
                    let error = corrupt("redundant grain table entry")
                        .at(at)
                        .guest(self.sparse.in_disk(guest).0)
                        .found_hex(b.unwrap_or_default())
                        .expected(format_args!("{:#x}, as in the other table", a.unwrap_or_default()));
                    self.corruption(at, error);
                    return Ok(());
                }
            }
            slot = slot.saturating_add(here);
        }
        Ok(())
    }
}
