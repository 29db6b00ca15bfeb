//! Grains that overlap each other, and unused places between grains.

use std::ops::Range;

use diskimg_core::{HostOffset, Result, range};

use super::extent_check::ExtentCheck;
use super::grains::DamagedEntries;
use super::unit_bitmap::UnitBitmap;
use crate::addr::SECTOR;
use crate::entry_format::EntryFormat;
use crate::errors::{FORMAT, corrupt, limit};

/// The maximum number of passes over the tables, each for another part of the file. Our limit: with the default limits,
/// a file of 4 TiB in which grains begin at any sector.
const MAX_PASSES: u64 = 64;
/// Bytes of the smallest bitmap of a pass. Our choice.
const MIN_BITMAP_BYTES: u64 = 4096;

/// The parameters of a scan for overlaps and unused units.
#[derive(Clone, Copy)]
struct UsageScan {
    /// Bytes of a unit.
    unit: u64,
    /// The maximum number of units of a pass.
    units_per_pass: u64,
    /// If set, unused units are reported.
    leaks: bool,
}

/// The units of `unit` bytes that have bytes of `host`.
const fn units_of(host: &Range<HostOffset>, unit: u64) -> Range<u64> {
    host.start.0 / unit..host.end.0.div_ceil(unit)
}

impl ExtentCheck<'_> {
    /// Reports grains that share bytes of the file, and then unused places.
    pub(super) fn check_overlaps(&mut self) -> Result<()> {
        let Some(first) = self.order.first() else { return Ok(()) };
        let unit = self.unit();
        let units = units_of(&(first..self.end), unit);
        let units_per_pass = self.units_per_pass(&units)?;
        let passes = range::len(&units).div_ceil(units_per_pass);
        // Grains in the order of the file cannot overlap. If grains are out of order and several passes are
        // needed, all overlaps are found before the first leak is reported.
        let separately = self.order.is_disordered() && passes > 1;
        if separately {
            self.scan_usage(units.clone(), UsageScan { unit, units_per_pass, leaks: false })?;
        }
        let leaks = self.reports_leaks();
        if leaks || self.order.is_disordered() && !separately {
            self.scan_usage(units, UsageScan { unit, units_per_pass, leaks })?;
        }
        Ok(())
    }

    /// Returns the number of units of the file for which one pass has memory.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] if more than [`MAX_PASSES`] would be needed.
    pub(super) fn units_per_pass(&self, units: &Range<u64>) -> Result<u64> {
        let max = self.budget.left().max(MIN_BITMAP_BYTES).saturating_mul(8);
        if range::len(units).div_ceil(max) <= MAX_PASSES {
            return Ok(max);
        }
        let expected = format!("a bit for each {MAX_PASSES} of {} units of the file", units.end);
        Err(limit("memory for tables").found(self.budget.left()).expected(expected))
    }

    /// Reports overlapping grains in `units` of the file.
    fn scan_usage(&mut self, units: Range<u64>, scan: UsageScan) -> Result<()> {
        let mut unused = 0..0;
        let mut start = units.start;
        while start < units.end {
            let pass = start..start.saturating_add(scan.units_per_pass).min(units.end);
            start = pass.end;
            let mut bitmap = UnitBitmap::new(pass, &self.budget).map_err(|error| error.format(FORMAT))?;
            self.mark_used(&mut bitmap, scan.unit)?;
            if scan.leaks {
                self.extend_unused(&bitmap, scan.unit, &mut unused);
            }
            bitmap.free(&self.budget);
        }
        self.report_unused(&unused, scan.unit);
        Ok(())
    }

    /// Marks the units of all grains and metadata. Reports grains on units that another grain marked.
    pub(super) fn mark_used(&mut self, bitmap: &mut UnitBitmap, unit: u64) -> Result<()> {
        self.each_grain(DamagedEntries::Skip, |check, grain| {
            if bitmap.mark(&units_of(&grain.host, unit)) {
                let error = corrupt("grain table entry")
                    .at(grain.entry_at.0)
                    .guest(grain.guest.0)
                    .found(format_args!("a grain at {:#x}", grain.host.start.0))
                    .expected("no overlap with another grain");
                check.corruption(grain.entry_at.0, error);
            }
        })?;
        for area in &self.metadata {
            bitmap.mark(&units_of(area, unit));
        }
        Ok(())
    }

    /// Extends `unused`, the run of unused units before this bitmap, and reports the runs that end in it.
    fn extend_unused(&mut self, bitmap: &UnitBitmap, unit: u64, unused: &mut Range<u64>) {
        for units in bitmap.unused() {
            if unused.end == units.start && !unused.is_empty() {
                unused.end = units.end;
            } else {
                self.report_unused(unused, unit);
                *unused = units;
            }
        }
    }

    /// Reports a run of unused units that has room for a grain.
    fn report_unused(&mut self, units: &Range<u64>, unit: u64) {
        let bytes = range::len(units).saturating_mul(unit);
        let grains = bytes / self.sparse.geometry().grain_bytes().max(1);
        if grains > 0 && self.report.corruptions == 0 {
            let at = units.start.saturating_mul(unit);
            self.report.leak(grains, Some(at), format!("vmdk: {bytes} bytes at byte {at} are in no grain"));
        }
    }

    /// Returns true if unused places are leaks. In seSparse extents ESXi keeps a list of free grains, and between
    /// compressed grains there are markers.
    fn reports_leaks(&self) -> bool {
        let plain = match self.sparse.tables().layout().format {
            EntryFormat::Hosted { compressed } => !compressed,
            EntryFormat::Cowd => true,
            EntryFormat::SeSparse(_) => false,
        };
        plain && self.report.corruptions == 0
    }

    /// The bytes of a unit: a sector, or the alignment of all grains if that is larger. Rounding to units makes
    /// no two grains overlap that did not before.
    fn unit(&self) -> u64 {
        self.order.alignment(self.sparse.geometry().grain_bytes()).max(SECTOR)
    }
}
