//! Grain directories, and where they say the grain tables are.

use std::ops::Range;

use diskimg_core::Result;

use super::Checked;
use crate::errors::{FORMAT, corrupt, truncated};

/// Bytes that one grain table takes: in the list, in its copy while it is sorted, and as a range of the file.
const TABLE_COST: u64 = 2 * size_of::<Table>() as u64 + size_of::<Range<u64>>() as u64;

/// A grain table, by its entry in a directory.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// Its number: which entry it is.
    pub(super) index: u64,
    /// Byte offset of the table.
    pub(super) host: u64,
    /// Whether the redundant directory names it.
    pub(super) redundant: bool,
}

/// What a directory names, both in the order of the directory.
#[derive(Default)]
struct Directory {
    tables: Vec<Table>,
    /// Which entries were told to be damaged.
    damaged: Vec<u64>,
}

impl Directory {
    /// Whether entry `index` names anything.
    fn has(&self, index: u64) -> bool {
        self.host(index).is_some() || self.damaged.binary_search(&index).is_ok()
    }

    fn host(&self, index: u64) -> Option<u64> {
        let found = self.tables.binary_search_by_key(&index, |table| table.index).ok()?;
        self.tables.get(found).map(|table| table.host)
    }
}

impl Checked<'_> {
    /// Looks through the directories, and compares the tables of the redundant one with the others.
    pub(super) fn tables(&mut self) -> Result<()> {
        let extent = self.extent;
        let mut all = self.directory(extent.directory, false)?;
        // One directory that is named twice is no copy.
        if let Some(redundant) = extent.redundant.filter(|redundant| *redundant != extent.directory) {
            let copies = self.directory(redundant, true)?;
            let copies = self.paired(&all, copies);
            all.tables.extend(copies);
        }
        let mut apart = self.apart(all.tables);
        self.merge_metadata();
        apart.sort_unstable_by_key(|table| (table.index, table.redundant));
        for pair in apart.windows(2) {
            if let [table, copy] = pair
                && table.index == copy.index
            {
                self.compare(table, copy)?;
            }
        }
        apart.retain(|table| !table.redundant);
        self.tables = apart;
        Ok(())
    }

    /// Those tables that do not begin inside another one; they become metadata.
    fn apart(&mut self, mut all: Vec<Table>) -> Vec<Table> {
        let len = self.extent.entries_per_table.saturating_mul(self.extent.tables.entry_bytes());
        all.sort_unstable_by_key(|table| (table.host, table.redundant, table.index));
        let mut end = 0;
        let mut apart = Vec::with_capacity(all.len());
        for table in all {
            if table.host < end {
                let at = self.entry_at(&table);
                let error = corrupt("grain directory entry").at(at);
                let error = error.found(format_args!("a grain table at {:#x}", table.host));
                self.tell(at, error.expected("no overlap with another grain table"));
                continue;
            }
            end = table.host.saturating_add(len);
            self.metadata.push(table.host..end);
            apart.push(table);
        }
        self.end = self.end.max(end);
        apart
    }

    /// Puts all metadata in the order of the file, telling of what overlaps.
    fn merge_metadata(&mut self) {
        let mut all = std::mem::take(&mut self.metadata);
        all.extend(self.extent.reserved.iter().map(|part| part.range.clone()));
        all.retain(|range| !range.is_empty());
        all.sort_unstable_by_key(|range| (range.start, range.end));
        all.dedup();
        for range in all {
            match self.metadata.last_mut() {
                Some(last) if range.start < last.end => {
                    last.end = last.end.max(range.end);
                    let error = corrupt("header, descriptor and directories").at(range.start);
                    self.tell(range.start, error.expected("not to overlap"));
                }
                _ => self.metadata.push(range),
            }
        }
    }

    /// Takes `bytes` from the budget of what is kept.
    fn charge(&self, bytes: u64) -> Result<()> {
        self.budget.take(bytes).map_err(|error| error.format(FORMAT))
    }

    /// Where the entry of a table is.
    fn entry_at(&self, table: &Table) -> u64 {
        let directory =
            if table.redundant { self.extent.redundant.unwrap_or_default() } else { self.extent.directory };
        directory.saturating_add(table.index.saturating_mul(self.extent.tables.entry_bytes()))
    }

    /// The tables that the directory at byte `directory` names, in its order.
    fn directory(&mut self, directory: u64, redundant: bool) -> Result<Directory> {
        let extent = self.extent;
        let entries = extent.capacity.div_ceil(extent.table_span().max(1));
        let width = extent.tables.entry_bytes();
        let len = extent.entries_per_table.saturating_mul(width);
        let mut found = Directory::default();
        let mut index = 0;
        while index < entries {
            let start = directory.saturating_add(index.saturating_mul(width));
            let page = extent.tables.page(start)?;
            let here = page.left().min(entries.saturating_sub(index));
            if here == 0 {
                let error = truncated("grain directory").at(start).because("the file ends before it does");
                self.tell(start, error);
                break;
            }
            for (slot, number) in (0..here).zip(0_usize..) {
                let entry = page.entry(number).unwrap_or_default();
                if entry == 0 {
                    continue;
                }
                let at = start.saturating_add(slot.saturating_mul(width));
                let index = index.saturating_add(slot);
                let table = extent.table(entry, at, index).and_then(|host| {
                    let guest = index.saturating_mul(extent.table_span());
                    let whole = host.saturating_add(len) <= extent.tables.file_size();
                    if whole { Ok(host) } else { Err(extent.cut("grain table", host, guest)) }
                });
                match table {
                    Ok(host) => {
                        self.charge(TABLE_COST)?;
                        found.tables.push(Table { index, host, redundant });
                    }
                    Err(error) => {
                        self.charge(size_of::<u64>() as u64)?;
                        found.damaged.push(index);
                        self.tell(at, error);
                    }
                }
            }
            index = index.saturating_add(here);
        }
        Ok(found)
    }

    /// The copies that are not the tables themselves; tells of tables that only one of the directories names.
    fn paired(&mut self, first: &Directory, mut second: Directory) -> Vec<Table> {
        for table in &first.tables {
            if !second.has(table.index) {
                self.single(table);
            }
        }
        for copy in second.tables.iter().filter(|copy| !first.has(copy.index)) {
            self.single(copy);
        }
        second.tables.retain(|copy| first.host(copy.index) != Some(copy.host));
        second.tables
    }

    /// Tells of a table that the other directory does not name.
    fn single(&mut self, table: &Table) {
        let other = Table { redundant: !table.redundant, ..*table };
        let at = self.entry_at(&other);
        let guest = self.extent.of_disk(table.index.saturating_mul(self.extent.table_span()));
        let error = corrupt("grain directory entry").at(at).guest(guest).found(0);
        self.tell(at, error.expected("a grain table, as in the other directory"));
    }

    /// Tells of the first entry that differs between a table and its copy.
    fn compare(&mut self, table: &Table, copy: &Table) -> Result<()> {
        let extent = self.extent;
        let width = extent.tables.entry_bytes();
        let mut slot = 0;
        while slot < extent.entries_per_table {
            let place = |table: &Table| table.host.saturating_add(slot.saturating_mul(width));
            let (a, b) = (extent.tables.page(place(table))?, extent.tables.page(place(copy))?);
            let here = a.left().min(b.left()).min(extent.entries_per_table.saturating_sub(slot)).max(1);
            for (next, number) in (0..here).zip(0_usize..) {
                let (a, b) = (a.entry(number), b.entry(number));
                if a != b {
                    let at = place(copy).saturating_add(next.saturating_mul(width));
                    let grain = slot.saturating_add(next).saturating_mul(extent.grain_bytes);
                    let guest = copy.index.saturating_mul(extent.table_span()).saturating_add(grain);
                    let error = corrupt("redundant grain table entry").at(at).guest(extent.of_disk(guest));
                    let expected = format_args!("{:#x}, as in the other table", a.unwrap_or_default());
                    self.tell(at, error.found_hex(b.unwrap_or_default()).expected(expected));
                    return Ok(());
                }
            }
            slot = slot.saturating_add(here);
        }
        Ok(())
    }
}
