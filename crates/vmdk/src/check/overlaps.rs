//! Grains on each other, and places that nothing uses.

use std::ops::Range;

use diskimg_core::Result;

use super::Checked;
use super::bitmap::Bitmap;
use crate::errors::{FORMAT, corrupt, limit};
use crate::lookup::Entries;
use crate::sparse_header::SECTOR;

/// How often the tables are read at most, each time for another part of the file. A bound of ours: with the
/// default limits, a file of 4 TiB in which grains begin at any sector.
const PASSES: u64 = 64;
/// Bytes of a bitmap that is worth a pass. A bound of ours.
const LEAST: u64 = 4096;

/// Units that are not in use, in a row.
#[derive(Default)]
struct Run(Range<u64>);

impl Checked<'_> {
    /// Tells of grains that share bytes of the file, and then of places that were lost.
    pub(super) fn overlaps(&mut self) -> Result<()> {
        let Some(first) = self.lie.first else { return Ok(()) };
        let unit = self.unit();
        let units = first / unit..self.end.div_ceil(unit);
        let most = self.most_units(&units)?;
        let parts = units.end.saturating_sub(units.start).div_ceil(most);
        // Where each grain begins behind the end of the one before, no two of them can meet. Where some may,
        // all parts of the file are looked at for that before one is told to be lost.
        let separately = self.lie.disordered && parts > 1;
        if separately {
            self.look_through(units.clone(), most, unit, false)?;
        }
        let leaks = self.tells_of_leaks();
        if leaks || self.lie.disordered && !separately {
            self.look_through(units, most, unit, leaks)?;
        }
        Ok(())
    }

    /// How many units of a part of the file can be looked at at a time.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] when the tables would have to be read too often.
    pub(super) fn most_units(&self, units: &Range<u64>) -> Result<u64> {
        let most = self.budget.left().max(LEAST).saturating_mul(8);
        if units.end.saturating_sub(units.start).div_ceil(most) <= PASSES {
            return Ok(most);
        }
        Err(limit("memory for tables")
            .found(self.budget.left())
            .expected(format_args!("a bit for each {PASSES} of {} units of the file", units.end)))
    }

    /// Looks at `units` of the file, `most` of them at a time.
    fn look_through(&mut self, units: Range<u64>, most: u64, unit: u64, leaks: bool) -> Result<()> {
        let mut run = Run::default();
        let mut start = units.start;
        while start < units.end {
            let part = start..start.saturating_add(most).min(units.end);
            start = part.end;
            let mut bitmap = Bitmap::new(part, &self.budget).map_err(|error| error.format(FORMAT))?;
            self.mark(&mut bitmap, unit)?;
            if leaks {
                self.unused(&bitmap, unit, &mut run);
            }
            bitmap.free(&self.budget);
        }
        self.lost(&run.0, unit);
        Ok(())
    }

    /// Marks the units of grains, telling of those that were marked before, and of metadata.
    pub(super) fn mark(&mut self, bitmap: &mut Bitmap, unit: u64) -> Result<()> {
        let units = |range: &Range<u64>| range.start / unit..range.end.div_ceil(unit);
        self.each_grain(false, |checked, grain| {
            if bitmap.mark(&units(&grain.host)) {
                let error = corrupt("grain table entry")
                    .at(grain.at)
                    .guest(grain.guest)
                    .found(format_args!("a grain at {:#x}", grain.host.start))
                    .expected("no overlap with another grain");
                checked.tell(grain.at, error);
            }
        })?;
        for range in &self.metadata {
            bitmap.mark(&units(range));
        }
        Ok(())
    }

    /// Adds the unused units of a bitmap to the run that the one before ended with.
    fn unused(&mut self, bitmap: &Bitmap, unit: u64, run: &mut Run) {
        for units in bitmap.unused() {
            if run.0.end == units.start && !run.0.is_empty() {
                run.0.end = units.end;
            } else {
                self.lost(&run.0, unit);
                run.0 = units;
            }
        }
    }

    /// Tells of unused units in which a grain would fit.
    fn lost(&mut self, units: &Range<u64>, unit: u64) {
        let bytes = units.end.saturating_sub(units.start).saturating_mul(unit);
        let grains = bytes / self.extent.grain_bytes.max(1);
        if grains > 0 && self.report.corruptions == 0 {
            let at = units.start.saturating_mul(unit);
            self.report.leak(grains, Some(at), format!("vmdk: {bytes} bytes at byte {at} are in no grain"));
        }
    }

    /// Whether places that nothing uses are lost. ESXi keeps a list of those in seSparse extents, and between
    /// compressed grains there are markers.
    fn tells_of_leaks(&self) -> bool {
        let plain = match self.extent.entries {
            Entries::Hosted { compressed } => !compressed,
            Entries::Cowd => true,
            Entries::SeSparse(_) => false,
        };
        plain && self.report.corruptions == 0
    }

    /// The largest power of two that all grains begin at multiples of, and that a grain is a multiple of: at
    /// least a sector. Rounded to it, no two grains meet that did not before.
    fn unit(&self) -> u64 {
        let bits = (self.lie.offsets | self.extent.grain_bytes).trailing_zeros().min(62);
        (1_u64 << bits).max(SECTOR)
    }
}
