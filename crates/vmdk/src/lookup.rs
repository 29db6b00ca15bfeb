//! The lookup of a guest offset in grain directory and grain table.
//!
//! Sources: VMware, "Virtual Disk Format 5.0", "Grain Directory" and "Grain Table"; for seSparse QEMU's
//! `block/vmdk.c`. Guest offsets are those of the extent; errors name those of the disk.

use diskimg_core::{HostOffset, Result, ensure};

use crate::addr::ExtentOffset;
use crate::entry_format::GrainEntry;
use crate::errors::corrupt;
use crate::sparse_extent::SparseExtent;
use crate::table_file::{EntryPage, TableEntry};

/// The content of a run of guest bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GrainContent {
    Unallocated,
    Zero,
    /// Stored uncompressed at this offset, all of it inside the file.
    Data(HostOffset),
    /// Stored in compressed grains.
    Compressed,
}

impl GrainContent {
    /// Returns true if `next`, `len` bytes further on, continues this run.
    fn continues_with(self, len: u64, next: Self) -> bool {
        match (self, next) {
            (Self::Data(a), Self::Data(b)) => a.plus(len) == b,
            (a, b) => a == b,
        }
    }
}

/// The guest bytes that one page of a grain table maps.
pub(crate) struct Mapping<'a> {
    extent: &'a SparseExtent,
    /// The page from the entry of the first grain on, and its offset; `None` if nothing is allocated.
    page: Option<(EntryPage, HostOffset)>,
    /// The start of the first grain.
    start: ExtentOffset,
    end: ExtentOffset,
}

impl SparseExtent {
    /// Returns the mapping of `guest` and the bytes after it, up to `end` at most.
    ///
    /// If the directory entry is damaged, the redundant directory is used.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] or [`diskimg_core::ErrorKind::Truncated`] if the table is damaged.
    pub(crate) fn mapping(&self, guest: ExtentOffset, end: ExtentOffset) -> Result<Mapping<'_>> {
        let (tables, geometry) = (self.tables(), self.geometry());
        let file = tables.file();
        let index = geometry.table_index(guest);
        let at = file.entry_at(tables.layout().directories.primary, index);
        let page = file.page(at)?;
        let value = page.entry(0).ok_or_else(|| tables.ends_before("grain directory", at, guest))?;
        if value == 0 {
            let end = unallocated_end(self, &page, index, end);
            return Ok(Mapping { extent: self, page: None, start: guest, end });
        }
        let table = tables.table(TableEntry { index, at, value });
        let table = table.or_else(|error| tables.redundant_table(index).ok_or(error))?;
        let slot = geometry.slot(guest);
        let at = file.entry_at(table, slot);
        let page = file.page(at)?;
        let grains = page.left().min(geometry.entries_per_table().saturating_sub(slot));
        ensure(grains != 0, || tables.ends_before("grain table", at, guest))?;
        let start = geometry.grain_start(guest);
        let end = start.plus(grains.saturating_mul(geometry.grain_bytes())).min(end);
        Ok(Mapping { extent: self, page: Some((page, at)), start, end })
    }
}

/// The end, `end` at most, of the bytes for which `page` has no tables from entry `index` on.
fn unallocated_end(extent: &SparseExtent, page: &EntryPage, index: u64, end: ExtentOffset) -> ExtentOffset {
    let geometry = extent.geometry();
    let mut next = index.saturating_add(1);
    for in_page in 1.. {
        if geometry.table_start(next) >= end || page.entry(in_page) != Some(0) {
            break;
        }
        next = next.saturating_add(1);
    }
    geometry.table_start(next).min(end)
}

impl Mapping<'_> {
    /// The end of the mapped bytes.
    pub(crate) const fn end(&self) -> ExtentOffset {
        self.end
    }

    /// Returns the content at `guest` and its length: at least one byte, none past `end` or the mapping.
    ///
    /// # Errors
    /// If the grain of `guest` is damaged. A damaged grain after it ends the run.
    pub(crate) fn run(&self, guest: ExtentOffset, end: ExtentOffset) -> Result<(GrainContent, u64)> {
        let max = self.end.min(end).since(guest);
        if self.page.is_none() {
            return Ok((GrainContent::Unallocated, max));
        }
        let (content, mut len) = self.rest_of_grain(guest)?;
        while len < max {
            match self.rest_of_grain(guest.plus(len)) {
                Ok((next, more)) if content.continues_with(len, next) => len = len.saturating_add(more),
                _ => break,
            }
        }
        Ok((content, len.min(max)))
    }

    /// Returns the offset of the compressed grain that contains `guest`.
    ///
    /// # Errors
    /// If it is not allocated, or cannot be where its entry states.
    pub(crate) fn compressed(&self, guest: ExtentOffset) -> Result<HostOffset> {
        match self.entry(guest)? {
            GrainEntry::At(host) => self.extent.check_compressed(host, guest).map(|()| host),
            _ => Err(corrupt("grain table entry")
                .guest(self.extent.in_disk(guest).0)
                .expected("a compressed grain")),
        }
    }

    /// Returns the content from `guest` to the end of its grain, or of the file.
    fn rest_of_grain(&self, guest: ExtentOffset) -> Result<(GrainContent, u64)> {
        let geometry = self.extent.geometry();
        let skip = geometry.in_grain(guest);
        let rest = geometry.grain_len(geometry.grain_start(guest)).saturating_sub(skip).max(1);
        match self.entry(guest)? {
            GrainEntry::Unallocated => Ok((GrainContent::Unallocated, rest)),
            GrainEntry::Zero => Ok((GrainContent::Zero, rest)),
            GrainEntry::At(host) if self.extent.is_compressed() => {
                self.extent.check_compressed(host, guest).map(|()| (GrainContent::Compressed, rest))
            }
            GrainEntry::At(host) => {
                let len = self.extent.check_data(host, skip, rest, guest)?;
                Ok((GrainContent::Data(host.plus(skip)), len))
            }
        }
    }

    fn entry(&self, guest: ExtentOffset) -> Result<GrainEntry> {
        let Some((page, start)) = &self.page else { return Ok(GrainEntry::Unallocated) };
        let tables = self.extent.tables();
        let index = guest.since(self.start).checked_div(tables.geometry().grain_bytes()).unwrap_or(0);
        let at = tables.file().entry_at(*start, index);
        let value = page
            .entry(usize::try_from(index).unwrap_or(usize::MAX))
            .ok_or_else(|| tables.ends_before("grain table", at, guest))?;
        tables.grain(value, at, guest)
    }
}
