//! From a guest offset to what is stored there: the walk over grain directory and grain table.
//!
//! Sources: VMware, "Virtual Disk Format 5.0", "Grain Directory" and "Grain Table"; for seSparse QEMU's
//! `block/vmdk.c`. Guest offsets are those of the extent; errors name those of the disk.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use diskimg_core::{Budget, Error, Result};

use crate::addr::{ExtentOffset, GuestOffset, HostOffset};
use crate::errors::{corrupt, truncated};
use crate::marker::GRAIN_HEADER;
use crate::sesparse::{self, Areas};
use crate::sparse_header::SECTOR;
use crate::table_ranges::TablePlaces;
use crate::tables::{Page, Tables};

/// A part of the file that holds metadata, where neither a table nor a grain can be.
pub(crate) struct Reserved {
    pub(crate) what: &'static str,
    pub(crate) range: Range<u64>,
}

/// Which reserved part a range of the file shares bytes with.
pub(crate) fn overlapped(reserved: &[Reserved], range: &Range<u64>) -> Option<&'static str> {
    reserved
        .iter()
        .find(|part| part.range.start < range.end && range.start < part.range.end)
        .map(|part| part.what)
}

/// What entries of the tables mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entries {
    /// Sectors; a grain table entry of 1 is a grain of zeros.
    ///
    /// Not every writer sets the flag that says so. Without it such a grain would lie in the descriptor.
    Hosted { compressed: bool },
    /// Sectors.
    Cowd,
    /// Numbers of tables and grains, and four bits that say what an entry is.
    SeSparse(Areas),
}

/// The tables of one sparse extent.
pub(crate) struct SparseExtent {
    pub(crate) tables: Tables,
    pub(crate) entries: Entries,
    /// Bytes of a grain; at least a sector.
    pub(crate) grain_bytes: u64,
    pub(crate) entries_per_table: u64,
    /// Where the grain directory is; it has an entry for every byte of the extent.
    pub(crate) directory: u64,
    /// A second one, for where the first is damaged.
    pub(crate) redundant: Option<u64>,
    /// Bytes that the extent holds; the last grain may go beyond.
    pub(crate) capacity: u64,
    /// Where the extent begins in the disk.
    pub(crate) guest_start: u64,
    pub(crate) reserved: Vec<Reserved>,
    /// The byte by which header, descriptor and tables in front of the grains end; 0 where no header says.
    pub(crate) overhead: u64,
    /// Where its tables are, once a grain that is stored as it is has to lie elsewhere.
    pub(crate) places: OnceLock<TablePlaces>,
    /// What may be kept of such places, in all files of the image.
    pub(crate) budget: Arc<Budget>,
}

/// What is stored at a run of guest bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    Unallocated,
    Zero,
    /// Verbatim, the first byte at this offset, all of it inside the file.
    Data(HostOffset),
    /// In grains that are compressed each by itself.
    Compressed,
}

impl Stored {
    /// Whether `next`, `len` bytes further on, is more of the same.
    fn goes_on(self, len: u64, next: Self) -> bool {
        match (self, next) {
            (Self::Data(a), Self::Data(b)) => a.plus(len) == b,
            (a, b) => a == b,
        }
    }
}

/// One grain, by its entry.
pub(crate) enum Grain {
    Unallocated,
    Zero,
    At(HostOffset),
}

/// The guest bytes that one page of a table maps.
pub(crate) struct Mapping<'a> {
    extent: &'a SparseExtent,
    /// The page from the entry of the first grain on, and where it is; `None` when nothing is allocated.
    page: Option<(Page, u64)>,
    /// The first grain.
    start: u64,
    end: u64,
}

impl SparseExtent {
    /// Guest bytes that one grain table maps.
    pub(crate) const fn table_span(&self) -> u64 {
        self.grain_bytes.saturating_mul(self.entries_per_table)
    }

    /// Bytes of the sectors that one grain table takes.
    pub(crate) const fn table_sectors_bytes(&self) -> u64 {
        let bytes = self.entries_per_table.saturating_mul(self.tables.entry_bytes());
        bytes.div_ceil(SECTOR).saturating_mul(SECTOR)
    }

    /// Whether grains are compressed.
    pub(crate) const fn is_compressed(&self) -> bool {
        matches!(self.entries, Entries::Hosted { compressed: true })
    }

    /// Bytes of the extent in the grain that begins at `start`.
    pub(crate) fn grain_len(&self, start: u64) -> u64 {
        self.grain_bytes.min(self.capacity.saturating_sub(start))
    }

    /// How far into its grain an offset lies.
    pub(crate) fn in_grain(&self, offset: u64) -> u64 {
        offset.checked_rem(self.grain_bytes).unwrap_or(0)
    }

    /// The offset in the disk of an offset in the extent.
    pub(crate) const fn of_disk(&self, guest: u64) -> u64 {
        ExtentOffset(guest).in_disk(GuestOffset(self.guest_start)).0
    }

    /// What maps `guest` and the bytes behind it, up to `end` at most.
    pub(crate) fn mapping(&self, guest: u64, end: u64) -> Result<Mapping<'_>> {
        let (span, width) = (self.table_span().max(1), self.tables.entry_bytes());
        let index = guest / span;
        let at = self.directory.saturating_add(index.saturating_mul(width));
        let page = self.tables.page(at)?;
        let entry = page.entry(0).ok_or_else(|| self.cut("grain directory", at, guest))?;
        if entry == 0 {
            let zeros = (1..).take_while(|next| {
                index.saturating_add(*next as u64).saturating_mul(span) < end && page.entry(*next) == Some(0)
            });
            let entries = index.saturating_add(1).saturating_add(zeros.count() as u64);
            let end = entries.saturating_mul(span).min(end);
            return Ok(Mapping { extent: self, page: None, start: guest, end });
        }
        let table = self.table(entry, at, index).or_else(|error| self.second_table(index).ok_or(error))?;
        let first = (guest % span).checked_div(self.grain_bytes).unwrap_or(0);
        let at = table.saturating_add(first.saturating_mul(width));
        let page = self.tables.page(at)?;
        let grains = page.left().min(self.entries_per_table.saturating_sub(first));
        if grains == 0 {
            return Err(self.cut("grain table", at, guest));
        }
        let start = guest.saturating_sub(self.in_grain(guest));
        let end = start.saturating_add(grains.saturating_mul(self.grain_bytes)).min(end);
        Ok(Mapping { extent: self, page: Some((page, at)), start, end })
    }

    /// Where a grain table is, by its entry, number `index`, at byte `at` of the file: inside the file, and
    /// not on other metadata.
    pub(crate) fn table(&self, entry: u64, at: u64, index: u64) -> Result<u64> {
        let guest = index.saturating_mul(self.table_span());
        let table = match &self.entries {
            Entries::Hosted { .. } | Entries::Cowd => entry.saturating_mul(SECTOR),
            Entries::SeSparse(areas) => {
                areas.table(entry).map_err(|error| error.at(at).guest(self.of_disk(guest)))?
            }
        };
        let len = self.entries_per_table.saturating_mul(self.tables.entry_bytes());
        if let Some(what) = self.overlapped(&(table..table.saturating_add(len))) {
            return Err(corrupt("grain directory entry")
                .at(at)
                .guest(self.of_disk(guest))
                .found(format_args!("a grain table at {table:#x}"))
                .expected(format_args!("no overlap with the {what}")));
        }
        if table >= self.tables.file_size() {
            return Err(self.cut("grain table", table, guest));
        }
        Ok(table)
    }

    /// The same by the redundant directory, if there is one and its entry is sound.
    fn second_table(&self, index: u64) -> Option<u64> {
        let at = self.redundant?.checked_add(index.checked_mul(self.tables.entry_bytes())?)?;
        let entry = self.tables.page(at).ok()?.entry(0).filter(|entry| *entry != 0)?;
        self.table(entry, at, index).ok()
    }

    /// Where the tables are. Two threads may look at once, and one answer stays.
    fn places(&self) -> Result<&TablePlaces> {
        match self.places.get() {
            Some(places) => Ok(places),
            None => {
                let places = TablePlaces::of(self)?;
                Ok(self.places.get_or_init(|| places))
            }
        }
    }

    fn overlapped(&self, range: &Range<u64>) -> Option<&'static str> {
        overlapped(&self.reserved, range)
    }

    /// The file ends before this structure.
    pub(crate) fn cut(&self, what: &str, at: u64, guest: u64) -> Error {
        let size = self.tables.file_size();
        truncated(what)
            .at(at)
            .guest(self.of_disk(guest))
            .because(format_args!("the file ends at byte {size}"))
    }

    pub(crate) fn grain(&self, entry: u64, at: u64, guest: u64) -> Result<Grain> {
        match &self.entries {
            _ if entry == 0 => Ok(Grain::Unallocated),
            Entries::Hosted { .. } if entry == 1 => Ok(Grain::Zero),
            Entries::Hosted { .. } | Entries::Cowd => Ok(Grain::At(HostOffset::of_sector(entry))),
            Entries::SeSparse(areas) => {
                let grain = areas
                    .grain(entry, self.grain_bytes)
                    .map_err(|error| error.at(at).guest(self.of_disk(guest)))?;
                Ok(match grain {
                    sesparse::Grain::Unallocated => Grain::Unallocated,
                    sesparse::Grain::Zero => Grain::Zero,
                    sesparse::Grain::At(host) => Grain::At(host),
                })
            }
        }
    }

    /// `len` guest bytes that lie `from` bytes into the grain at `host`: as far as the file has them.
    fn data(&self, host: HostOffset, from: u64, len: u64, guest: u64) -> Result<(Stored, u64)> {
        let first = host.plus(from);
        let range = host.span(from.saturating_add(len));
        if let Some(what) = self.overlapped(&range) {
            return Err(self.misplaced("grain", host.0, guest, what));
        }
        if self.places()?.overlap(&range) {
            return Err(self.misplaced("grain", host.0, guest, "grain tables"));
        }
        let held = self.tables.file_size().saturating_sub(first.0);
        if held == 0 {
            return Err(self.cut("grain", first.0, guest));
        }
        Ok((Stored::Data(first), len.min(held)))
    }

    fn check_compressed(&self, host: u64, guest: u64) -> Result<()> {
        let head = host..host.saturating_add(GRAIN_HEADER as u64);
        if let Some(what) = self.overlapped(&head) {
            return Err(self.misplaced("compressed grain", host, guest, what));
        }
        if head.end > self.tables.file_size() {
            return Err(self.cut("compressed grain", host, guest));
        }
        Ok(())
    }

    fn misplaced(&self, field: &str, host: u64, guest: u64, what: &str) -> Error {
        corrupt(field)
            .at(host)
            .guest(self.of_disk(guest))
            .expected(format_args!("no overlap with the {what}"))
    }
}

impl Mapping<'_> {
    /// The guest offset up to which this mapping answers.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// What is stored from `guest` on, and for how many bytes: at least one, none past `end` or the mapping.
    ///
    /// # Errors
    /// When the grain of `guest` is damaged; a damaged one behind it only ends the run.
    pub(crate) fn run(&self, guest: u64, end: u64) -> Result<(Stored, u64)> {
        let most = self.end.min(end).saturating_sub(guest);
        if self.page.is_none() {
            return Ok((Stored::Unallocated, most));
        }
        let (stored, mut len) = self.piece(guest)?;
        while len < most {
            match self.piece(guest.saturating_add(len)) {
                Ok((next, more)) if stored.goes_on(len, next) => len = len.saturating_add(more),
                _ => break,
            }
        }
        Ok((stored, len.min(most)))
    }

    /// The host offset of the compressed grain with `guest` in it.
    ///
    /// # Errors
    /// When it is not allocated, or lies where it cannot.
    pub(crate) fn compressed(&self, guest: u64) -> Result<u64> {
        match self.grain(guest)? {
            Grain::At(host) => self.extent.check_compressed(host.0, guest).map(|()| host.0),
            _ => Err(corrupt("grain table entry")
                .guest(self.extent.of_disk(guest))
                .expected("a compressed grain")),
        }
    }

    /// What is stored from `guest` to the end of its grain.
    fn piece(&self, guest: u64) -> Result<(Stored, u64)> {
        let from = self.extent.in_grain(guest);
        let rest = self.extent.grain_len(guest.saturating_sub(from)).saturating_sub(from).max(1);
        match self.grain(guest)? {
            Grain::Unallocated => Ok((Stored::Unallocated, rest)),
            Grain::Zero => Ok((Stored::Zero, rest)),
            Grain::At(host) if self.extent.is_compressed() => {
                self.extent.check_compressed(host.0, guest).map(|()| (Stored::Compressed, rest))
            }
            Grain::At(host) => self.extent.data(host, from, rest, guest),
        }
    }

    fn grain(&self, guest: u64) -> Result<Grain> {
        let Some((page, at)) = &self.page else { return Ok(Grain::Unallocated) };
        let index = guest.saturating_sub(self.start).checked_div(self.extent.grain_bytes).unwrap_or(0);
        let at = at.saturating_add(index.saturating_mul(self.extent.tables.entry_bytes()));
        let entry = page
            .entry(usize::try_from(index).unwrap_or(usize::MAX))
            .ok_or_else(|| self.extent.cut("grain table", at, guest))?;
        self.extent.grain(entry, at, guest)
    }
}
