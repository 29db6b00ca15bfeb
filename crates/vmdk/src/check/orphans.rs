//! Compressed grains that no table names.

use std::ops::Range;

use diskimg_core::{HostOffset, Result};

use super::extent_check::ExtentCheck;
use super::unit_bitmap::UnitBitmap;
use crate::addr::{ExtentOffset, SECTOR, round_up_to_sector, sector_offset, sectors};
use crate::errors::{FORMAT, corrupt};
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH, Marker, most_compressed};

impl ExtentCheck<'_> {
    /// Reports compressed grains that no table names, as far as markers lead from one to the next. By the tables
    /// the disk has zeros there, but a decoder of the stream finds the grain.
    ///
    /// Does nothing after a corruption: a damaged entry makes the grain that it should name look orphaned.
    pub(super) fn check_orphans(&mut self) -> Result<()> {
        if !self.sparse.is_compressed() || self.report.corruptions > 0 {
            return Ok(());
        }
        let first = self.sparse.overhead().max(HostOffset(SECTOR));
        let units = first.0 / SECTOR..self.sparse.tables().file_size() / SECTOR;
        let max = self.units_per_pass(&units)?;
        let mut at = first;
        while at.0 / SECTOR < units.end {
            let start = at.0 / SECTOR;
            let pass = start..start.saturating_add(max).min(units.end);
            let end = sector_offset(pass.end);
            let mut named = UnitBitmap::new(pass, &self.budget).map_err(|error| error.format(FORMAT))?;
            self.mark_used(&mut named, SECTOR)?;
            let next = self.follow_markers(at..end, &named)?;
            named.free(&self.budget);
            let Some(next) = next else { break };
            at = next;
        }
        Ok(())
    }

    /// Follows the markers of a part of the file, and reports grains that are not marked in `named`.
    ///
    /// Returns the offset of the next marker; `None` at the end of the stream.
    fn follow_markers(&mut self, part: Range<HostOffset>, named: &UnitBitmap) -> Result<Option<HostOffset>> {
        let (sparse, mut at) = (self.sparse, part.start);
        while at < part.end {
            if let Some(metadata_end) = self.metadata_end(at) {
                at = HostOffset(round_up_to_sector(metadata_end.0));
                continue;
            }
            let mut head = [0; MARKER_LENGTH];
            sparse.tables().source().read_at(at.0, &mut head)?;
            let len = match Marker::parse(&head, at) {
                Ok(Marker::Metadata { sectors: count, .. }) => sectors(count.saturating_add(1)),
                Ok(Marker::Grain { lba, bytes }) if self.is_grain(lba, bytes) => {
                    if !named.is_marked(at.0 / SECTOR) {
                        self.report_orphan(at, ExtentOffset(sectors(lba)));
                    }
                    round_up_to_sector(u64::from(bytes).saturating_add(GRAIN_HEADER as u64))
                }
                _ => return Ok(None),
            };
            at = at.plus(len);
        }
        Ok(Some(at))
    }

    /// Returns true if a marker can be that of a grain of this disk.
    fn is_grain(&self, lba: u64, bytes: u32) -> bool {
        let (geometry, guest) = (self.sparse.geometry(), ExtentOffset(sectors(lba)));
        guest.0 < geometry.capacity()
            && geometry.in_grain(guest) == 0
            && u64::from(bytes) <= most_compressed(geometry.grain_bytes())
    }

    /// Reports the grain at `host`, whose marker gives `guest`.
    fn report_orphan(&mut self, host: HostOffset, guest: ExtentOffset) {
        let sparse = self.sparse;
        let named = sparse.mapping(guest, guest.plus(1)).and_then(|mapping| mapping.compressed(guest));
        let error = corrupt("compressed grain").at(host.0).guest(sparse.in_disk(guest).0);
        match named {
            Ok(other) => {
                let because = format!("the tables name the one at byte {} instead", other.0);
                self.leaked_grain(host.0, error.because(because));
            }
            Err(_) => self.corruption(host.0, error.because("no grain table names it")),
        }
    }
}
