//! Compressed grains that no table names.

use diskimg_core::Result;

use super::Checked;
use super::bitmap::Bitmap;
use crate::errors::{FORMAT, corrupt};
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH, Marker, most_compressed};
use crate::sparse_header::SECTOR;

impl Checked<'_> {
    /// Tells of compressed grains that no table names, as far as markers lead from one to the next: the tables
    /// say that the disk has zeros there, and whoever decodes the stream finds the grain.
    ///
    /// Only where nothing else is wrong: a damaged entry makes what it should name look lost.
    pub(super) fn orphans(&mut self) -> Result<()> {
        if !self.extent.is_compressed() || self.report.corruptions > 0 {
            return Ok(());
        }
        let front = self.extent.overhead.max(SECTOR);
        let units = front / SECTOR..self.extent.tables.file_size() / SECTOR;
        let most = self.most_units(&units)?;
        let mut at = front;
        while at / SECTOR < units.end {
            let start = at / SECTOR;
            let part = start..start.saturating_add(most).min(units.end);
            let end = part.end.saturating_mul(SECTOR);
            let mut named = Bitmap::new(part, &self.budget).map_err(|error| error.format(FORMAT))?;
            self.mark(&mut named, SECTOR)?;
            let next = self.walk(at, end, &named)?;
            named.free(&self.budget);
            let Some(next) = next else { break };
            at = next;
        }
        Ok(())
    }

    /// Goes from marker to marker, from byte `at` to `end`, and tells of grains that are not `named`. The byte
    /// of the next marker, if the stream goes on.
    fn walk(&mut self, mut at: u64, end: u64, named: &Bitmap) -> Result<Option<u64>> {
        let extent = self.extent;
        while at < end {
            if let Some(behind) = self.metadata_at(at) {
                at = sectors_up(behind);
                continue;
            }
            let mut head = [0; MARKER_LENGTH];
            extent.tables.source.read_at(at, &mut head)?;
            let len = match Marker::parse(&head, at) {
                Ok(Marker::Metadata { sectors, .. }) => sectors.saturating_add(1).saturating_mul(SECTOR),
                Ok(Marker::Grain { lba, bytes }) if self.is_grain(lba, bytes) => {
                    if !named.is_marked(at / SECTOR) {
                        self.orphan(at, lba.saturating_mul(SECTOR));
                    }
                    sectors_up(u64::from(bytes).saturating_add(GRAIN_HEADER as u64))
                }
                _ => return Ok(None),
            };
            at = at.saturating_add(len);
        }
        Ok(Some(at))
    }

    /// Whether a marker can be that of a grain of this disk.
    fn is_grain(&self, lba: u64, bytes: u32) -> bool {
        let guest = lba.saturating_mul(SECTOR);
        let starts = guest < self.extent.capacity && self.extent.in_grain(guest) == 0;
        starts && u64::from(bytes) <= most_compressed(self.extent.grain_bytes)
    }

    /// Tells of the grain at byte `at`, which holds offset `guest` of the extent.
    fn orphan(&mut self, at: u64, guest: u64) {
        let extent = self.extent;
        let other = extent.mapping(guest, guest.saturating_add(1)).and_then(|found| found.compressed(guest));
        let error = corrupt("compressed grain").at(at).guest(extent.of_disk(guest));
        match other {
            Ok(host) => {
                let error = error.because(format_args!("the tables name the one at byte {host} instead"));
                self.report.leak(1, Some(at), self.part.named(error).to_string());
            }
            Err(_) => self.tell(at, error.because("no grain table names it")),
        }
    }
}

/// The length in bytes of the sectors that `bytes` take.
const fn sectors_up(bytes: u64) -> u64 {
    bytes.div_ceil(SECTOR).saturating_mul(SECTOR)
}
