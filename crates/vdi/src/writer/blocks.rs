//! Which block of the disk has which place in the file: what changes under the writer's lock.

use std::ops::Range;

use diskimg_core::Result;

use super::layout::Shape;
use super::options::Allocation;
use crate::block_map::ZERO;
use crate::errors::limit;

/// Entries of a page of the map in memory. A bound of ours: 64 KiB, that map 16 GiB of disk at 1 MiB blocks.
/// Pages of which no block was written are not there.
const PAGE: usize = 16_384;

/// The block map as it grows.
#[derive(Debug)]
pub(super) struct Blocks {
    pages: Vec<Option<Box<[u32]>>>,
    allocation: Allocation,
    /// Blocks given out.
    placed: u32,
}

/// The place of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) index: u32,
    /// Whether it reads as zeros until it is written.
    pub(super) fresh: bool,
}

impl Blocks {
    pub(super) fn new(shape: &Shape) -> Result<Self> {
        let count = usize::try_from(shape.geometry.blocks).unwrap_or(usize::MAX).div_ceil(PAGE);
        let mut pages = Vec::new();
        pages.try_reserve_exact(count).map_err(|_| no_memory())?;
        pages.resize_with(count, || None);
        Ok(Self { pages, allocation: shape.allocation, placed: 0 })
    }

    /// Blocks that have a place and data.
    pub(super) fn placed(&self) -> u32 {
        self.placed
    }

    /// The place of a block, given out now if it has none.
    pub(super) fn place(&mut self, block: u32) -> Result<Place> {
        let (page, slot) = split(block);
        let page = self.pages.get_mut(page).ok_or_else(no_memory)?;
        let entries = match page {
            Some(entries) => entries,
            None => page.insert(empty_page()?),
        };
        let entry = entries.get_mut(slot).ok_or_else(no_memory)?;
        let fresh = *entry == ZERO;
        if fresh {
            *entry = match self.allocation {
                Allocation::Dynamic => self.placed,
                Allocation::Fixed => block,
            };
            self.placed = self.placed.saturating_add(1);
        }
        Ok(Place { index: *entry, fresh })
    }

    /// The blocks in `range` that have a place, each with it.
    pub(super) fn placed_in(&self, range: Range<u32>) -> impl Iterator<Item = (u32, u32)> {
        let (first, last) = (split(range.start).0, split(range.end.saturating_sub(1)).0);
        let pages = self.pages.iter().enumerate().skip(first);
        let pages = pages.take(last.saturating_sub(first).saturating_add(1));
        pages
            .filter_map(|(at, page)| page.as_ref().map(|entries| (at, entries)))
            .flat_map(|(at, entries)| {
                let start = u32::try_from(at.saturating_mul(PAGE)).unwrap_or(u32::MAX);
                (start..).zip(entries.iter().copied())
            })
            .filter(move |(block, index)| range.contains(block) && *index != ZERO)
    }

    /// The map's entries for `range`, appended to `bytes` as they stand in the file.
    ///
    /// Blocks without data read as zeros, and say so: that is what VirtualBox makes of them, and holds over
    /// any parent. In a fixed image all blocks are there.
    pub(super) fn encode(&self, range: Range<u32>, bytes: &mut Vec<u8>) {
        for block in range {
            let (page, slot) = split(block);
            let entry = match self.allocation {
                Allocation::Fixed => block,
                Allocation::Dynamic => {
                    let entries = self.pages.get(page).and_then(Option::as_ref);
                    entries.and_then(|entries| entries.get(slot)).copied().unwrap_or(ZERO)
                }
            };
            bytes.extend(entry.to_le_bytes());
        }
    }
}

fn split(block: u32) -> (usize, usize) {
    let block = usize::try_from(block).unwrap_or(usize::MAX);
    (block / PAGE, block % PAGE)
}

fn empty_page() -> Result<Box<[u32]>> {
    let mut page = Vec::new();
    page.try_reserve_exact(PAGE).map_err(|_| no_memory())?;
    page.resize(PAGE, ZERO);
    Ok(page.into())
}

fn no_memory() -> diskimg_core::Error {
    limit("block map").because("no memory for it")
}
