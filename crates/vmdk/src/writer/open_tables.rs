//! The grain tables that are not complete, and the allocation of grains.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use diskimg_core::writer::WritePlan;
use diskimg_core::{Budget, Error, HostOffset, Remedy, Result};

use super::extent_layout::{
    GRAIN_TABLE_BYTES, GRAIN_TABLE_ENTRIES, MetadataLayout, sector_number, table_and_slot, table_bytes,
};
use crate::addr::{ExtentOffset, sector_offset};
use crate::errors::{FORMAT, internal, misuse};
use crate::geometry::Geometry;

/// The maximum number of bytes of grain tables in memory. Our limit, reached only if a disk is not written in order:
/// 256 MiB map 4 TiB at grains of 64 KiB, twice the capacity of the file.
const OPEN_TABLES: u64 = 256 << 20;

/// A grain table in memory.
#[derive(Debug)]
struct OpenTable {
    sectors: Vec<u32>,
    /// Entries never set.
    missing: u32,
}

/// The grain tables of a sparse extent, and the next free sector. Grains are allocated in ascending order.
#[derive(Debug)]
pub(super) struct OpenTables {
    geometry: Geometry,
    metadata: MetadataLayout,
    open: BTreeMap<u64, OpenTable>,
    /// All tables below this index are complete and in the file.
    closed_below: u64,
    /// Other tables in the file: every entry of them is set.
    full: BTreeSet<u64>,
    budget: Budget,
    next_sector: u64,
}

impl OpenTables {
    /// Tables without grains.
    pub(super) fn new(geometry: Geometry, metadata: MetadataLayout) -> Self {
        Self {
            geometry,
            metadata,
            open: BTreeMap::new(),
            closed_below: 0,
            full: BTreeSet::new(),
            budget: Budget::new("open grain tables", OPEN_TABLES),
            next_sector: metadata.overhead_sectors,
        }
    }

    /// The end of the last allocated grain.
    pub(super) fn end(&self) -> HostOffset {
        sector_offset(self.next_sector)
    }

    /// Returns the host offset for guest byte `guest`, and true if its grain is newly allocated.
    pub(super) fn allocate(
        &mut self,
        guest: ExtentOffset,
        plan: &mut WritePlan,
    ) -> Result<(HostOffset, bool)> {
        let (index, slot) = table_and_slot(self.geometry, guest);
        let in_grain = self.geometry.in_grain(guest);
        let (next, grain_sectors) = (self.next_sector, self.geometry.grain_sectors());
        let table = self.table(index, plan)?;
        let entry = table.sectors.get_mut(slot).ok_or_else(|| internal("grain table"))?;
        if *entry != 0 {
            return Ok((sector_offset(u64::from(*entry)).plus(in_grain), false));
        }
        *entry = sector_number(next)?;
        table.missing = table.missing.saturating_sub(1);
        self.next_sector = next.saturating_add(grain_sectors);
        Ok((sector_offset(next).plus(in_grain), true))
    }

    fn table(&mut self, index: u64, plan: &mut WritePlan) -> Result<&mut OpenTable> {
        if !self.open.contains_key(&index) {
            self.check_open(&(index..index.saturating_add(1)))?;
            if self.budget.take(GRAIN_TABLE_BYTES).is_err() {
                self.close_full(plan);
                self.budget.take(GRAIN_TABLE_BYTES).map_err(|error| {
                    error.format(FORMAT).with_remedy(Remedy::WriteAscending { unit_option: "grain_size" })
                })?;
            }
            let sectors = vec![0; usize::try_from(GRAIN_TABLE_ENTRIES).unwrap_or_default()];
            self.open.insert(index, OpenTable { sectors, missing: GRAIN_TABLE_ENTRIES });
        }
        self.open.get_mut(&index).ok_or_else(|| internal("grain table"))
    }

    /// The host ranges of the allocated grains in a guest range.
    pub(super) fn allocated(
        &self,
        range: Range<ExtentOffset>,
    ) -> Result<impl Iterator<Item = Range<HostOffset>> + '_> {
        let span = self.geometry.table_span().get();
        let tables = range.start.0 / span..range.end.0.div_ceil(span);
        self.check_open(&tables)?;
        let geometry = self.geometry;
        let open = if tables.is_empty() { None } else { Some(self.open.range(tables)) };
        Ok(open.into_iter().flatten().flat_map(move |(index, table)| {
            let range = range.clone();
            (0..).zip(&table.sectors).filter_map(move |(slot, sector)| {
                let grain = geometry.grain_at(*index, slot);
                let start = grain.max(range.start);
                let end = grain.plus(geometry.grain_bytes()).min(range.end);
                let host = sector_offset(u64::from(*sector)).plus(start.since(grain));
                (*sector != 0 && start < end).then(|| host..host.plus(end.since(start)))
            })
        }))
    }

    fn check_open(&self, tables: &Range<u64>) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let closed = tables.start < self.closed_below || self.full.range(tables.clone()).next().is_some();
        if closed { Err(self.already_closed(tables.start)) } else { Ok(()) }
    }

    fn already_closed(&self, index: u64) -> Error {
        let because = "it is complete and in the file: this range of the disk cannot be written again";
        misuse("grain table").guest(self.geometry.table_start(index).0).because(because)
    }

    /// Plans to write the tables below guest offset `end`, up to which the extent is complete.
    pub(super) fn complete_below(&mut self, end: ExtentOffset, plan: &mut WritePlan) {
        let at_end = end.0 >= self.geometry.capacity();
        let index = if at_end { u64::MAX } else { self.geometry.table_index(end) };
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() < index) {
            let (index, table) = first.remove_entry();
            self.budget.give_back(GRAIN_TABLE_BYTES);
            write_table(&self.metadata, index, &table, plan);
        }
        self.closed_below = self.closed_below.max(index);
    }

    /// Plans to write the tables of which every entry is set.
    fn close_full(&mut self, plan: &mut WritePlan) {
        let (budget, full, metadata) = (&self.budget, &mut self.full, &self.metadata);
        self.open.retain(|index, table| {
            if table.missing != 0 {
                return true;
            }
            budget.give_back(GRAIN_TABLE_BYTES);
            full.insert(*index);
            write_table(metadata, *index, table, plan);
            false
        });
    }
}

fn write_table(metadata: &MetadataLayout, index: u64, table: &OpenTable, plan: &mut WritePlan) {
    for host in metadata.table_offsets(index) {
        plan.write_metadata(host, table_bytes(&table.sectors));
    }
}

#[cfg(test)]
mod tests {
    use diskimg_core::ErrorKind;
    use diskimg_core::writer::PlannedWrite;

    use super::*;
    use crate::writer::extent_layout::checked_geometry;

    /// Tables of grains of 4 KiB, which map 2 MiB each. The first grain is at sector `first`.
    fn tables(first: u64) -> OpenTables {
        let geometry = checked_geometry(1 << 30, 4096).unwrap();
        let metadata =
            MetadataLayout { overhead_sectors: first, ..MetadataLayout::new(geometry, 0).unwrap() };
        OpenTables::new(geometry, metadata)
    }

    fn place(tables: &mut OpenTables, grain: u64, plan: &mut WritePlan) -> Result<u64> {
        tables.allocate(ExtentOffset(grain * 4096), plan).map(|(host, _)| host.0)
    }

    /// The indices of the tables in a plan, which has both copies of each.
    fn written(tables: &OpenTables, plan: &WritePlan) -> Vec<u64> {
        let hosts: Vec<HostOffset> = plan
            .writes()
            .iter()
            .map(|write| match write {
                PlannedWrite::Metadata { host, .. } => *host,
                other => panic!("{other:?}"),
            })
            .collect();
        let find = |pair: &[HostOffset]| (0..512).find(|index| tables.metadata.table_offsets(*index) == pair);
        hosts.chunks(2).map(|pair| find(pair).unwrap()).collect()
    }

    #[test]
    fn file_past_two_tebibytes_is_rejected() {
        let (mut tables, mut plan) = (tables((1 << 32) - 9), WritePlan::default());
        assert_eq!(place(&mut tables, 0, &mut plan).unwrap(), (1 << 41) - 9 * 512);
        assert_eq!(place(&mut tables, 1, &mut plan).unwrap(), (1 << 41) - 512);
        assert_eq!(place(&mut tables, 2, &mut plan).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(place(&mut tables, 1, &mut plan).unwrap(), (1 << 41) - 512, "allocated before");
    }

    #[test]
    fn full_tables_leave_memory_at_the_limit() {
        let (mut tables, mut plan) = (tables(8), WritePlan::default());
        tables.budget = Budget::new("open grain tables", 2 * GRAIN_TABLE_BYTES);
        for grain in 512..1024 {
            place(&mut tables, grain, &mut plan).unwrap();
        }
        place(&mut tables, 0, &mut plan).unwrap();
        assert!(plan.writes().is_empty());
        place(&mut tables, 1024, &mut plan).unwrap();
        let sectors: Vec<u32> = (0..512).map(|grain| 8 + grain * 8).collect();
        assert_eq!(written(&tables, &plan), [1]);
        for write in plan.writes() {
            assert!(matches!(write, PlannedWrite::Metadata { bytes, .. } if *bytes == table_bytes(&sectors)));
        }
        let error = place(&mut tables, 2048, &mut plan).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.remedy(), Some(Remedy::WriteAscending { unit_option: "grain_size" }));
        for range in [(2 << 20)..(2 << 20) + 1, 0..4 << 20] {
            let range = ExtentOffset(range.start)..ExtentOffset(range.end);
            assert_eq!(tables.allocated(range).err().unwrap().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(place(&mut tables, 600, &mut plan).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn complete_tables_leave_memory() {
        let (mut tables, mut plan) = (tables(8), WritePlan::default());
        for grain in (0..4096).step_by(512) {
            place(&mut tables, grain, &mut plan).unwrap();
            // Up to the last byte but one of the next table.
            tables.complete_below(ExtentOffset((grain + 1024) * 4096 - 1), &mut plan);
            assert!(tables.open.is_empty());
            assert_eq!(tables.budget.left(), OPEN_TABLES);
        }
        assert_eq!(written(&tables, &plan), (0..8).collect::<Vec<_>>());
        place(&mut tables, 8191, &mut plan).unwrap();
        tables.complete_below(ExtentOffset(1 << 30), &mut plan);
        assert_eq!(place(&mut tables, 100_000, &mut plan).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn allocated_grains_are_found_in_any_range() {
        let mut tables = tables(8);
        for grain in [3, 1, 600] {
            place(&mut tables, grain, &mut WritePlan::default()).unwrap();
        }
        let found = |range: Range<u64>| -> Vec<Range<u64>> {
            let range = ExtentOffset(range.start)..ExtentOffset(range.end);
            tables.allocated(range).unwrap().map(|host| host.start.0..host.end.0).collect()
        };
        let second = 600 * 4096;
        let expected = [8192 + 904..8192 + 4096, 4096..8192, 3 * 4096..4 * 4096 - 1];
        assert_eq!(found(5000..601 * 4096 - 1), expected);
        assert_eq!(found(16_384..second), []);
        assert_eq!(found(0..0), []);
        let one = 8192..8193;
        assert_eq!(found(4096..4097), [one]);
    }
}
