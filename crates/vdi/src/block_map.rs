//! The block map: the state and location of each guest block. Read in pages.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h` (`VDIIMAGEBLOCKPOINTER`, `VDI_IMAGE_BLOCK_FREE`,
//! `VDI_IMAGE_BLOCK_ZERO`).

use std::sync::Arc;

use byteorder::{ByteOrder, LittleEndian};
use diskimg_core::{BlockSource, Error, MetadataCache, Result};

use crate::addr::{ENTRY_BYTES, Geometry, GuestOffset, HostOffset};
use crate::errors::{corrupt, truncated};

/// Entries of a page. Our limit: reading 16 KiB takes as long as any single I/O, and they map 4 GiB with the usual
/// blocks of 1 MiB.
pub(crate) const PAGE_ENTRIES: u64 = 4096;

/// The entry of a block that was never written.
pub(crate) const FREE: u32 = u32::MAX;
/// The entry of a block of zeros.
pub(crate) const ZERO: u32 = u32::MAX - 1;

/// A decoded entry of the block map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MapEntry {
    /// Never written: reads from the parent, or as zeros without one.
    Free,
    /// Reads as zeros, even with a parent.
    Zero,
    /// Stored in the file block of this index.
    Block(u32),
}

impl MapEntry {
    pub(crate) const fn decode(entry: u32) -> Self {
        match entry {
            FREE => Self::Free,
            ZERO => Self::Zero,
            index => Self::Block(index),
        }
    }
}

/// The state of a run of guest bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StoredRun {
    Free,
    Zero,
    /// Stored verbatim from this offset on, all within the file.
    Data(HostOffset),
}

impl StoredRun {
    /// Returns true if `next`, `len` bytes further on, continues this run.
    fn continues_in(self, len: u64, next: Self) -> bool {
        match (self, next) {
            (Self::Data(a), Self::Data(b)) => a.plus(len) == b,
            (a, b) => a == b,
        }
    }
}

/// The block map of an image. All of it is within the file.
pub(crate) struct BlockMap {
    source: Arc<dyn BlockSource>,
    cache: MetadataCache<[u32]>,
    geometry: Geometry,
}

/// The part of a guest range that one page of the map covers.
pub(crate) struct Mapping<'a> {
    map: &'a BlockMap,
    page: Arc<[u32]>,
    /// The guest block of the page's first entry.
    first: u64,
    end: GuestOffset,
}

impl BlockMap {
    pub(crate) fn new(source: Arc<dyn BlockSource>, geometry: Geometry, cache: MetadataCache<[u32]>) -> Self {
        Self { source, cache, geometry }
    }

    /// Returns the page with the entry of guest block `block`, and the guest block of the page's first entry.
    pub(crate) fn page(&self, block: u64) -> Result<(Arc<[u32]>, u64)> {
        let first = block.saturating_sub(block % PAGE_ENTRIES);
        let at = self.geometry.entry_at(first);
        let page = self.cache.get_or_load(at.0, || {
            let entries = u64::from(self.geometry.blocks).saturating_sub(first).min(PAGE_ENTRIES);
            let len = usize::try_from(entries.saturating_mul(ENTRY_BYTES)).unwrap_or_default();
            let mut bytes = vec![0; len];
            self.source.read_at(at.0, &mut bytes)?;
            let mut page = vec![0; usize::try_from(entries).unwrap_or_default()];
            LittleEndian::read_u32_into(&bytes, &mut page);
            Ok(page.into())
        })?;
        Ok((page, first))
    }

    /// Returns the mapping of the range from `guest` to `end`, or of its beginning.
    pub(crate) fn mapping(&self, guest: GuestOffset, end: GuestOffset) -> Result<Mapping<'_>> {
        let (page, first) = self.page(self.geometry.block_of(guest))?;
        let page_end = self.geometry.guest_start(first.saturating_add(page.len() as u64));
        Ok(Mapping { map: self, page, first, end: page_end.min(end) })
    }

    /// Returns the run of `len` guest bytes from byte `from` of a file block on, truncated at the end of the file.
    fn data(&self, index: u32, from: u64, len: u64, guest: GuestOffset) -> Result<(StoredRun, u64)> {
        if index >= self.geometry.blocks {
            let at = self.geometry.entry_at(self.geometry.block_of(guest));
            let expected = format!("less than the number of blocks, {}", self.geometry.blocks);
            return Err(corrupt("block map entry").at(at.0).guest(guest.0).found(index).expected(expected));
        }
        let host = self.geometry.host(index).plus(from);
        let file_size = self.source.size();
        match file_size.checked_sub(host.0) {
            None | Some(0) => Err(past_end(host, guest, file_size)),
            Some(present) => Ok((StoredRun::Data(host), len.min(present))),
        }
    }
}

fn past_end(host: HostOffset, guest: GuestOffset, file_size: u64) -> Error {
    truncated("block").at(host.0).guest(guest.0).because(format_args!("the file ends at byte {file_size}"))
}

impl Mapping<'_> {
    /// The guest offset at which this mapping ends.
    pub(crate) fn end(&self) -> GuestOffset {
        self.end
    }

    /// Returns the run that starts at `guest`, and its length: at least one byte, none past `end` or the mapping.
    ///
    /// # Errors
    /// If the block of `guest` is damaged. A later damaged block only ends the run.
    pub(crate) fn run(&self, guest: GuestOffset, end: GuestOffset) -> Result<(StoredRun, u64)> {
        let most = self.end.min(end).since(guest);
        let (stored, mut len) = self.block_run(guest)?;
        while len < most {
            match self.block_run(guest.plus(len)) {
                Ok((next, more)) if stored.continues_in(len, next) => len = len.saturating_add(more),
                _ => break,
            }
        }
        Ok((stored, len.min(most)))
    }

    /// Returns the run from `guest` to the end of its block or of the file.
    fn block_run(&self, guest: GuestOffset) -> Result<(StoredRun, u64)> {
        let geometry = &self.map.geometry;
        let (block, from) = (geometry.block_of(guest), geometry.in_block(guest));
        let rest = geometry.block_bytes().saturating_sub(from);
        let entry = usize::try_from(block.saturating_sub(self.first))
            .ok()
            .and_then(|index| self.page.get(index))
            .ok_or_else(|| past_end(geometry.entry_at(block), guest, self.map.source.size()))?;
        match MapEntry::decode(*entry) {
            MapEntry::Free => Ok((StoredRun::Free, rest)),
            MapEntry::Zero => Ok((StoredRun::Zero, rest)),
            MapEntry::Block(index) => self.map.data(index, from, rest, guest),
        }
    }
}
