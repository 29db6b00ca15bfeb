//! Grain tables, and where they say the grains are.

use std::ops::Range;

use diskimg_core::{CheckReport, Error, Result};

use super::Checked;
use super::tables::Table;
use crate::errors::corrupt;
use crate::grain_codec::compressed_len;
use crate::lookup::Grain;
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH};
use crate::sparse_header::SECTOR;

/// A grain that lies where a grain can lie.
pub(super) struct Placed {
    /// Byte offset of its entry.
    pub(super) at: u64,
    /// Offset in the disk.
    pub(super) guest: u64,
    /// The bytes of the file that are its own; of a compressed one, whole sectors.
    pub(super) host: Range<u64>,
}

/// What an entry of a grain table says.
enum Entry {
    /// Nothing is stored for it.
    Empty,
    Grain(Placed),
    /// Something is wrong, at this byte of the file.
    Damaged(u64, Error),
}

/// What the grains of an extent have in common.
#[derive(Default)]
pub(super) struct Lie {
    /// The offsets of all, in one word: its lowest bit is what they are all multiples of.
    pub(super) offsets: u64,
    /// The byte at which the first one begins.
    pub(super) first: Option<u64>,
    /// Whether one begins before the end of the one before it in the disk.
    pub(super) disordered: bool,
    /// The end of the one before.
    last: u64,
}

impl Lie {
    fn add(&mut self, host: &Range<u64>, report: &mut CheckReport) {
        self.offsets |= host.start;
        let behind = self.first.is_none() || host.start == self.last;
        report.fragmented_units = report.fragmented_units.saturating_add(u64::from(!behind));
        self.disordered |= host.start < self.last;
        self.first = Some(self.first.map_or(host.start, |first| first.min(host.start)));
        self.last = host.end;
    }
}

impl Checked<'_> {
    /// Looks at each entry of each table by itself, and counts.
    pub(super) fn grains(&mut self) -> Result<()> {
        let units = self.extent.capacity.div_ceil(self.extent.grain_bytes.max(1));
        self.report.total_units = Some(self.report.total_units.unwrap_or_default().saturating_add(units));
        let allocated = self.report.allocated_units.unwrap_or_default();
        self.report.allocated_units = Some(allocated);
        let compressed = u64::from(self.extent.is_compressed());
        self.each_grain(true, |checked, grain| {
            let report = &mut *checked.report;
            report.allocated_units = report.allocated_units.map(|units| units.saturating_add(1));
            report.compressed_units = report.compressed_units.saturating_add(compressed);
            checked.lie.add(&grain.host, report);
            checked.end = checked.end.max(grain.host.end);
        })
    }

    /// Gives every grain that lies where it can to `visit`, in the order of the disk. With `told`, tells of the
    /// others.
    pub(super) fn each_grain(&mut self, told: bool, mut visit: impl FnMut(&mut Self, Placed)) -> Result<()> {
        for number in 0..self.tables.len() {
            if let Some(table) = self.tables.get(number).copied() {
                self.table(&table, told, &mut visit)?;
            }
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, told: bool, visit: &mut impl FnMut(&mut Self, Placed)) -> Result<()> {
        let extent = self.extent;
        let width = extent.tables.entry_bytes();
        let first = table.index.saturating_mul(extent.table_span());
        let mut slot = 0;
        while slot < extent.entries_per_table {
            let start = table.host.saturating_add(slot.saturating_mul(width));
            let page = extent.tables.page(start)?;
            let here = page.left().min(extent.entries_per_table.saturating_sub(slot)).max(1);
            for (next, number) in (0..here).zip(0_usize..) {
                let entry = page.entry(number).unwrap_or_default();
                if entry == 0 {
                    continue;
                }
                let at = start.saturating_add(next.saturating_mul(width));
                let grain = slot.saturating_add(next).saturating_mul(extent.grain_bytes);
                let guest = first.saturating_add(grain);
                match self.placed(entry, at, guest)? {
                    Entry::Grain(placed) => visit(self, placed),
                    Entry::Damaged(at, error) if told => self.tell(at, error),
                    Entry::Empty | Entry::Damaged(..) => {}
                }
            }
            slot = slot.saturating_add(here);
        }
        Ok(())
    }

    /// What the entry at byte `at` says of the grain at offset `guest` of the extent.
    ///
    /// # Errors
    /// What reading the file gives.
    fn placed(&self, entry: u64, at: u64, guest: u64) -> Result<Entry> {
        let extent = self.extent;
        let host = match extent.grain(entry, at, guest) {
            Ok(Grain::At(host)) => host.0,
            Ok(Grain::Unallocated | Grain::Zero) => return Ok(Entry::Empty),
            Err(error) => return Ok(Entry::Damaged(at, error)),
        };
        let of_disk = extent.of_disk(guest);
        if guest >= extent.capacity {
            let error = corrupt("grain table entry").at(at).found_hex(entry);
            return Ok(Entry::Damaged(at, error.expected("0: the disk ends before this grain")));
        }
        let size = extent.tables.file_size();
        let len = if extent.is_compressed() { MARKER_LENGTH as u64 } else { extent.grain_len(guest) };
        let mut range = host..host.saturating_add(len);
        if range.end > size {
            return Ok(Entry::Damaged(at, extent.cut("grain", host, guest)));
        }
        if extent.is_compressed() && !self.is_on_metadata(&range) {
            let mut head = [0; MARKER_LENGTH];
            extent.tables.source.read_at(host, &mut head)?;
            match compressed_len(extent, host, guest, &head) {
                Ok(bytes) => {
                    let end = range.start.saturating_add(GRAIN_HEADER as u64).saturating_add(bytes);
                    range.end = end.div_ceil(SECTOR).saturating_mul(SECTOR);
                }
                Err(error) => return Ok(Entry::Damaged(error.offset().unwrap_or(host), error)),
            }
        }
        if self.is_on_metadata(&range) {
            let error = corrupt("grain table entry")
                .at(at)
                .guest(of_disk)
                .found(format_args!("a grain at {host:#x}"));
            return Ok(Entry::Damaged(at, error.expected("no overlap with header, descriptor and tables")));
        }
        Ok(Entry::Grain(Placed { at, guest: of_disk, host: range }))
    }

    /// Where the metadata ends that has bytes of the sector at byte `at`.
    pub(super) fn metadata_at(&self, at: u64) -> Option<u64> {
        let first = self.metadata.partition_point(|part| part.end <= at);
        let part = self.metadata.get(first)?;
        (part.start < at.saturating_add(SECTOR)).then_some(part.end)
    }

    /// Whether any metadata lies in a range of the file.
    fn is_on_metadata(&self, range: &Range<u64>) -> bool {
        let first = self.metadata.partition_point(|part| part.end <= range.start);
        self.metadata.get(first).is_some_and(|part| part.start < range.end)
    }
}
