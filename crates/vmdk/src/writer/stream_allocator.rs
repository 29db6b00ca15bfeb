//! Allocates the records of a stream-optimised extent, and plans its tables.

use std::ops::Range;

use diskimg_core::writer::WritePlan;
use diskimg_core::{Fault, HostOffset, Result};

use super::extent_layout::{GRAIN_TABLE_ENTRIES, SECTOR_BYTES, sector_number, table_and_slot};
use super::grain_encoder::{marked_table, marker};
use crate::addr::{ExtentOffset, SECTOR, sector_offset};
use crate::errors::{internal, limit};
use crate::geometry::Geometry;
use crate::marker::Metadata;

/// The next free offset, the grain directory, and the grain table of the last grain.
#[derive(Debug)]
pub(super) struct StreamAllocator {
    geometry: Geometry,
    /// The first free byte, at a sector.
    next: HostOffset,
    /// The sector of each grain table, 0 if there is none.
    directory: Vec<u32>,
    /// The index and the entries of the table of the last grain.
    table: Option<(u64, Vec<u32>)>,
}

impl StreamAllocator {
    /// An allocator whose first record is at `first_sector`.
    pub(super) fn new(geometry: Geometry, first_sector: u64) -> Result<Self> {
        let tables = usize::try_from(geometry.tables()).unwrap_or(usize::MAX);
        let mut directory = Vec::new();
        let no_memory = |_| limit("grain directory").because("no memory for it").with_fault(Fault::Machine);
        directory.try_reserve_exact(tables).map_err(no_memory)?;
        directory.resize(tables, 0);
        Ok(Self { geometry, next: sector_offset(first_sector), directory, table: None })
    }

    /// Allocates the record of the grain at `start`, whose bytes are at `record` in the job's buffer. Grains must come
    /// in ascending order. A complete table is placed before the first grain of the next.
    pub(super) fn allocate(
        &mut self,
        start: ExtentOffset,
        record: Range<usize>,
        plan: &mut WritePlan,
    ) -> Result<()> {
        let (table, slot) = table_and_slot(self.geometry, start);
        if self.table.as_ref().is_none_or(|(open, _)| *open != table) {
            self.close_table(plan)?;
            self.table = Some((table, vec![0; usize::try_from(GRAIN_TABLE_ENTRIES).unwrap_or_default()]));
        }
        let sector = sector_number(self.next.0 / SECTOR)?;
        let entry = self.table.as_mut().and_then(|(_, entries)| entries.get_mut(slot));
        *entry.ok_or_else(|| internal("grain table"))? = sector;
        let host = self.next;
        self.next = host.plus(record.len() as u64);
        plan.write_encoded(record, host);
        Ok(())
    }

    /// Appends metadata and returns the sector after its marker.
    fn append(&mut self, bytes: Vec<u8>, plan: &mut WritePlan) -> Result<u32> {
        let host = self.next;
        self.next = host.plus(bytes.len() as u64);
        plan.write_metadata(host, bytes);
        sector_number((host.0 / SECTOR).saturating_add(1))
    }

    fn close_table(&mut self, plan: &mut WritePlan) -> Result<()> {
        let Some((index, entries)) = self.table.take() else { return Ok(()) };
        let sector = self.append(marked_table(Metadata::GrainTable, &entries), plan)?;
        let entry = usize::try_from(index).ok().and_then(|index| self.directory.get_mut(index));
        *entry.ok_or_else(|| internal("grain directory"))? = sector;
        Ok(())
    }

    /// Appends the last table, the directory, and the footer, which `footer` makes from the directory's sector.
    pub(super) fn finish(&mut self, footer: impl FnOnce(u64) -> Vec<u8>, plan: &mut WritePlan) -> Result<()> {
        self.close_table(plan)?;
        let directory = std::mem::take(&mut self.directory);
        let directory = self.append(marked_table(Metadata::GrainDirectory, &directory), plan)?;
        let mut end = marker(Metadata::Footer, 1);
        end.extend(footer(directory.into()));
        // The end-of-stream marker is all zeros.
        end.resize(end.len().saturating_add(SECTOR_BYTES), 0);
        self.append(end, plan)?;
        Ok(())
    }
}
