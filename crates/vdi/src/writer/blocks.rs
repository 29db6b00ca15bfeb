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

    /// The blocks in `range` that have a place, each with it. Pages that are not there cost nothing.
    pub(super) fn placed_in(&self, range: Range<u32>) -> impl Iterator<Item = (u32, u32)> {
        let first = split(range.start).0;
        let end = split(range.end.saturating_sub(1)).0.saturating_add(1);
        let pages = (first..end).zip(self.pages.get(first..).unwrap_or_default());
        pages.filter_map(|(at, page)| page.as_deref().map(|entries| (at, entries))).flat_map(
            move |(at, entries)| {
                let start = u32::try_from(at.saturating_mul(PAGE)).unwrap_or(u32::MAX);
                let inside = |block: u32| {
                    usize::try_from(block.saturating_sub(start)).unwrap_or(PAGE).min(entries.len())
                };
                let part = entries.get(inside(range.start)..inside(range.end)).unwrap_or_default();
                (start.max(range.start)..).zip(part.iter().copied()).filter(|(_, index)| *index != ZERO)
            },
        )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::WriterOptions;

    fn blocks(allocation: Allocation) -> Blocks {
        let options = WriterOptions {
            virtual_size: 50_000 * 512,
            block_size: 512,
            allocation,
            ..WriterOptions::default()
        };
        Blocks::new(&Shape::new(&options).unwrap()).unwrap()
    }

    #[test]
    fn a_place_is_given_out_once() {
        let mut blocks = blocks(Allocation::Dynamic);
        assert_eq!(blocks.place(40_000).unwrap(), Place { index: 0, fresh: true });
        assert_eq!(blocks.place(3).unwrap(), Place { index: 1, fresh: true });
        assert_eq!(blocks.place(40_000).unwrap(), Place { index: 0, fresh: false });
        assert_eq!(blocks.placed(), 2);
    }

    #[test]
    fn what_has_a_place_is_found_in_any_range() {
        let mut blocks = blocks(Allocation::Fixed);
        // Around the edges of the pages of 16384, the second of which is not there.
        let all = [0, 5, 16_383, 32_768, 32_769, 49_999];
        for block in all {
            blocks.place(block).unwrap();
        }
        for start in [0, 1, 5, 6, 16_383, 16_384, 32_767, 32_769, 49_999] {
            for end in [start, start + 1, 16_384, 32_768, 32_769, 50_000] {
                let found: Vec<u32> = blocks.placed_in(start..end).map(|(block, _)| block).collect();
                let want: Vec<u32> = all.into_iter().filter(|block| (start..end).contains(block)).collect();
                assert_eq!(found, want, "{start}..{end}");
            }
        }
    }
}
