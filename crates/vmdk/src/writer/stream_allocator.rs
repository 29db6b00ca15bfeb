//! How far a stream-optimised extent has got: the next free byte, and the tables that are still to come.

use std::ops::Range;

use diskimg_core::Result;

use super::error::misuse;
use super::grain_encoder::{marked_table, marker};
use super::layout::{GRAIN_TABLE_ENTRIES, SECTOR_BYTES, Shape, sector_number};
use crate::errors::limit;
use crate::marker::Metadata;
use crate::sparse_header::SECTOR;

/// Bytes with a place in the file: markers and tables, or a row of compressed grains.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// As it is.
    Metadata { host: u64, bytes: Vec<u8> },
    /// Out of a worker's own memory.
    Packed { host: u64, arena: Range<usize> },
}

/// Places given out, and the tables that record them. One grain table is in memory, and the directory.
#[derive(Debug)]
pub(super) struct Places {
    shape: Shape,
    /// The first byte not given out; a multiple of a sector.
    cursor: u64,
    /// The sector of each grain table, 0 for none.
    directory: Vec<u32>,
    /// The table of the last grain that got a place.
    table: Option<(u64, Vec<u32>)>,
}

impl Places {
    /// The first grain will get the place at sector `first`.
    pub(super) fn new(shape: Shape, first: u64) -> Result<Self> {
        let tables = usize::try_from(shape.tables()).unwrap_or(usize::MAX);
        let mut directory = Vec::new();
        let no_memory = |_| limit("grain directory").because("no memory for it");
        directory.try_reserve_exact(tables).map_err(no_memory)?;
        directory.resize(tables, 0);
        Ok(Self { shape, cursor: first.saturating_mul(SECTOR), directory, table: None })
    }

    /// Gives grain `index` a place for its record, which lies at `arena` in memory. Grains have to come in
    /// ascending order; a table that is complete goes before the first grain of the next.
    pub(super) fn place(&mut self, index: u64, arena: Range<usize>, out: &mut Vec<Record>) -> Result<()> {
        let (table, slot) = self.shape.slot(index);
        if self.table.as_ref().is_none_or(|(open, _)| *open != table) {
            self.close_table(out)?;
            self.table = Some((table, vec![0; usize::try_from(GRAIN_TABLE_ENTRIES).unwrap_or_default()]));
        }
        let sector = sector_number(self.cursor / SECTOR)?;
        let entry = self.table.as_mut().and_then(|(_, entries)| entries.get_mut(slot));
        *entry.ok_or_else(|| misuse("grain table"))? = sector;
        let host = self.cursor;
        self.cursor = host.saturating_add(arena.len() as u64);
        match out.last_mut() {
            Some(Record::Packed { host: before, arena: row })
                if row.end == arena.start && before.checked_add(row.len() as u64) == Some(host) =>
            {
                row.end = arena.end;
            }
            _ => out.push(Record::Packed { host, arena }),
        }
        Ok(())
    }

    /// Appends metadata and returns the sector behind its marker.
    fn append(&mut self, bytes: Vec<u8>, out: &mut Vec<Record>) -> Result<u32> {
        let host = self.cursor;
        self.cursor = host.saturating_add(bytes.len() as u64);
        out.push(Record::Metadata { host, bytes });
        sector_number((host / SECTOR).saturating_add(1))
    }

    fn close_table(&mut self, out: &mut Vec<Record>) -> Result<()> {
        let Some((index, entries)) = self.table.take() else { return Ok(()) };
        let sector = self.append(marked_table(Metadata::GrainTable, &entries), out)?;
        let place = usize::try_from(index).ok().and_then(|index| self.directory.get_mut(index));
        *place.ok_or_else(|| misuse("grain directory"))? = sector;
        Ok(())
    }

    /// Appends what ends the extent: the last table, the directory, and a footer, made by `footer` from the
    /// directory's sector.
    pub(super) fn finish(
        &mut self,
        footer: impl FnOnce(u64) -> Vec<u8>,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        self.close_table(out)?;
        let directory = std::mem::take(&mut self.directory);
        let directory = self.append(marked_table(Metadata::GrainDirectory, &directory), out)?;
        let mut end = marker(Metadata::Footer, 1);
        end.extend(footer(directory.into()));
        // The end-of-stream marker is all zeros.
        end.resize(end.len().saturating_add(SECTOR_BYTES), 0);
        self.append(end, out)?;
        Ok(())
    }
}
