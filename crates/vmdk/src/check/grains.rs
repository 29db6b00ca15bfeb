//! The check of each grain table entry by itself.

use std::ops::{ControlFlow, Range};

use diskimg_core::{Error, GuestOffset, HostOffset, Result};

use super::extent_check::{CheckedTable, ExtentCheck};
use crate::addr::{ExtentOffset, round_up_to_sector, span};
use crate::entry_format::GrainEntry;
use crate::errors::corrupt;
use crate::grain_codec::compressed_len;
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH};
use crate::table_file::TableEntry;

/// A grain at a valid place of the file.
pub(super) struct PlacedGrain {
    /// The offset of its entry.
    pub(super) entry_at: HostOffset,
    pub(super) guest: GuestOffset,
    /// The bytes that it occupies; whole sectors if it is compressed.
    pub(super) host: Range<HostOffset>,
}

/// The result of the check of one entry.
enum CheckedEntry {
    /// No grain is stored.
    Empty,
    Grain(PlacedGrain),
    /// The entry or the grain at this byte of the file is damaged.
    Damaged(u64, Error),
}

/// The treatment of damaged entries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DamagedEntries {
    Report,
    Skip,
}

impl ExtentCheck<'_> {
    /// Checks every entry and counts the grains.
    pub(super) fn check_grains(&mut self) -> Result<()> {
        let units = self.sparse.geometry().grains();
        self.report.total_units = Some(self.report.total_units.unwrap_or_default().saturating_add(units));
        self.report.allocated_units = Some(self.report.allocated_units.unwrap_or_default());
        let compressed = u64::from(self.sparse.is_compressed());
        self.each_grain(DamagedEntries::Report, |check, grain| {
            let fragmented = u64::from(check.order.add(&grain.host));
            let report = &mut *check.report;
            report.allocated_units = report.allocated_units.map(|units| units.saturating_add(1));
            report.compressed_units = report.compressed_units.saturating_add(compressed);
            report.fragmented_units = report.fragmented_units.saturating_add(fragmented);
            check.end = check.end.max(grain.host.end);
        })
    }

    /// Calls `visit` with every grain at a valid place, in the order of the disk.
    pub(super) fn each_grain(
        &mut self,
        damaged: DamagedEntries,
        mut visit: impl FnMut(&mut Self, PlacedGrain),
    ) -> Result<()> {
        // The walk that reports damage is the first, whose progress is that of the check.
        let span = self.sparse.geometry().table_span().get();
        let done = if damaged == DamagedEntries::Report { span } else { 0 };
        for index in 0..self.tables.len() {
            self.options.advance(done)?;
            if let Some(table) = self.tables.get(index).copied() {
                self.each_grain_of(table, damaged, &mut visit)?;
            }
        }
        Ok(())
    }

    fn each_grain_of(
        &mut self,
        table: CheckedTable,
        damaged: DamagedEntries,
        visit: &mut impl FnMut(&mut Self, PlacedGrain),
    ) -> Result<()> {
        let (tables, geometry) = (self.sparse.tables(), self.sparse.geometry());
        let check_entry = |entry: TableEntry| {
            match self.check_entry(entry, geometry.grain_at(table.index, entry.index))? {
                CheckedEntry::Grain(grain) => visit(self, grain),
                CheckedEntry::Damaged(at, error) if damaged == DamagedEntries::Report => {
                    self.corruption(at, error);
                }
                CheckedEntry::Empty | CheckedEntry::Damaged(..) => {}
            }
            Ok(ControlFlow::Continue(()))
        };
        tables.file().scan(table.host, geometry.entries_per_table(), check_entry).map(|_| ())
    }

    /// Checks the entry that maps `guest`.
    ///
    /// # Errors
    /// Errors of reading the file.
    fn check_entry(&self, entry: TableEntry, guest: ExtentOffset) -> Result<CheckedEntry> {
        let (sparse, at) = (self.sparse, entry.at.0);
        let host = match sparse.tables().grain(entry.value, entry.at, guest) {
            Ok(GrainEntry::At(host)) => host,
            Ok(GrainEntry::Unallocated | GrainEntry::Zero) => return Ok(CheckedEntry::Empty),
            Err(error) => return Ok(CheckedEntry::Damaged(at, error)),
        };
        let geometry = sparse.geometry();
        if guest.0 >= geometry.capacity() {
            let error = corrupt("grain table entry").at(at).found_hex(entry.value);
            return Ok(CheckedEntry::Damaged(at, error.expected("0: the disk ends before this grain")));
        }
        let len = if sparse.is_compressed() { MARKER_LENGTH as u64 } else { geometry.grain_len(guest) };
        let mut range = span(host, len);
        if range.end.0 > sparse.tables().file_size() {
            return Ok(CheckedEntry::Damaged(at, sparse.tables().ends_before("grain", host, guest)));
        }
        if sparse.is_compressed() && !self.is_on_metadata(&range) {
            let mut head = [0; MARKER_LENGTH];
            sparse.tables().source().read_at(host.0, &mut head)?;
            match compressed_len(sparse, host, guest, &head) {
                Ok(bytes) => {
                    let stored = round_up_to_sector(bytes.saturating_add(GRAIN_HEADER as u64));
                    range = span(host, stored);
                }
                Err(error) => return Ok(CheckedEntry::Damaged(error.offset().unwrap_or(host.0), error)),
            }
        }
        let in_disk = sparse.in_disk(guest);
        if self.is_on_metadata(&range) {
            let error = corrupt("grain table entry")
                .at(at)
                .guest(in_disk.0)
                .found(format_args!("a grain at {:#x}", host.0))
                .expected("no overlap with header, descriptor and tables");
            return Ok(CheckedEntry::Damaged(at, error));
        }
        Ok(CheckedEntry::Grain(PlacedGrain { entry_at: entry.at, guest: in_disk, host: range }))
    }
}
