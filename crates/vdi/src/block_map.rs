//! The block map: what each block of the disk is and where it lies, read in pages.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h` (`VDIIMAGEBLOCKPOINTER`, `VDI_IMAGE_BLOCK_FREE`,
//! `VDI_IMAGE_BLOCK_ZERO`).

use std::sync::Arc;

use byteorder::{ByteOrder, LittleEndian};
use diskimg_core::{BlockSource, Error, Limits, MetadataCache, Result};

use crate::addr::{ENTRY_BYTES, Geometry, GuestOffset, HostOffset};
use crate::errors::{corrupt, truncated};

/// Entries of a page. A bound of ours: 16 KiB cost no more than one I/O does anyway, and map 4 GiB at the
/// usual 1 MiB blocks.
pub(crate) const PAGE_ENTRIES: u64 = 4096;

/// The entry of a block that was never written.
pub(crate) const FREE: u32 = u32::MAX;
/// The entry of a block of zeros.
pub(crate) const ZERO: u32 = u32::MAX - 1;

/// What the map says of a block of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// Never written: the parent decides, and without one it reads as zeros.
    Free,
    /// Reads as zeros, whatever a parent holds.
    Zero,
    /// So many blocks into the data.
    Block(u32),
}

impl Entry {
    pub(crate) const fn decode(entry: u32) -> Self {
        match entry {
            FREE => Self::Free,
            ZERO => Self::Zero,
            index => Self::Block(index),
        }
    }
}

/// What is stored at a run of guest bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    Free,
    Zero,
    /// Verbatim, the first byte at this offset, all of it inside the file.
    Data(HostOffset),
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

/// The block map of an image, which lies inside its file.
pub(crate) struct BlockMap {
    source: Arc<dyn BlockSource>,
    cache: MetadataCache<[u32]>,
    geometry: Geometry,
}

/// The guest bytes that one page of the map maps.
pub(crate) struct Mapping<'a> {
    map: &'a BlockMap,
    page: Arc<[u32]>,
    /// The block of the page's first entry.
    first: u64,
    end: u64,
}

impl BlockMap {
    pub(crate) fn new(source: Arc<dyn BlockSource>, geometry: Geometry, limits: &Limits) -> Self {
        Self { source, cache: MetadataCache::new(limits.metadata_cache), geometry }
    }

    /// The page of the map that `block` is in, and the block of its first entry.
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

    /// What maps `guest` and the bytes behind it, up to `end` at most.
    pub(crate) fn mapping(&self, guest: GuestOffset, end: u64) -> Result<Mapping<'_>> {
        let (page, first) = self.page(self.geometry.block_of(guest))?;
        let behind = self.geometry.guest_start(first.saturating_add(page.len() as u64));
        Ok(Mapping { map: self, page, first, end: behind.0.min(end) })
    }

    /// `len` guest bytes that lie `from` bytes into a block of the file, as far as the file has them.
    fn data(&self, index: u32, from: u64, len: u64, guest: GuestOffset) -> Result<(Stored, u64)> {
        if index >= self.geometry.blocks {
            let at = self.geometry.entry_at(self.geometry.block_of(guest));
            return Err(corrupt("block map entry")
                .at(at.0)
                .guest(guest.0)
                .found(index)
                .expected(format_args!("less than the number of blocks, {}", self.geometry.blocks)));
        }
        let host = self.geometry.host(index).plus(from);
        let file_size = self.source.size();
        match file_size.checked_sub(host.0) {
            None | Some(0) => Err(past_end(host, guest, file_size)),
            Some(held) => Ok((Stored::Data(host), len.min(held))),
        }
    }
}

fn past_end(host: HostOffset, guest: GuestOffset, file_size: u64) -> Error {
    truncated("block").at(host.0).guest(guest.0).because(format_args!("the file ends at byte {file_size}"))
}

impl Mapping<'_> {
    /// The guest offset up to which this mapping answers.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// What is stored from `guest` on, and for how many bytes: at least one, none past `end` or the mapping.
    ///
    /// # Errors
    /// When the block of `guest` is damaged; a damaged one behind it only ends the run.
    pub(crate) fn run(&self, guest: GuestOffset, end: u64) -> Result<(Stored, u64)> {
        let most = self.end.min(end).saturating_sub(guest.0);
        let (stored, mut len) = self.piece(guest)?;
        while len < most {
            match self.piece(GuestOffset(guest.0.saturating_add(len))) {
                Ok((next, more)) if stored.goes_on(len, next) => len = len.saturating_add(more),
                _ => break,
            }
        }
        Ok((stored, len.min(most)))
    }

    /// What is stored from `guest` to the end of its block, or of the file.
    fn piece(&self, guest: GuestOffset) -> Result<(Stored, u64)> {
        let geometry = &self.map.geometry;
        let (block, from) = (geometry.block_of(guest), geometry.in_block(guest));
        let rest = geometry.block_bytes().saturating_sub(from);
        let entry = usize::try_from(block.saturating_sub(self.first))
            .ok()
            .and_then(|index| self.page.get(index))
            .ok_or_else(|| past_end(geometry.entry_at(block), guest, self.map.source.size()))?;
        match Entry::decode(*entry) {
            Entry::Free => Ok((Stored::Free, rest)),
            Entry::Zero => Ok((Stored::Zero, rest)),
            Entry::Block(index) => self.map.data(index, from, rest, guest),
        }
    }
}
