//! Maps blocks of the disk to blocks of the file.

use std::ops::Range;

use diskimg_core::{Fault, Result};

use super::layout::ImageLayout;
use super::options::Allocation;
use crate::block_map::ZERO;
use crate::errors::{internal, limit};

/// Entries of a page of the map. Our choice: 64 KiB, which map 16 GiB of disk at 1 MiB blocks. A page is allocated
/// with the first of its blocks.
const PAGE: usize = 16_384;

/// The block map while blocks are allocated.
#[derive(Debug)]
pub(super) struct BlockAllocator {
    pages: Vec<Option<Box<[u32]>>>,
    allocation: Allocation,
    /// Allocated blocks.
    allocated: u32,
}

/// A block of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BlockSlot {
    pub(super) index: u32,
    /// True if it reads as zeros until it is written.
    pub(super) fresh: bool,
}

impl BlockAllocator {
    /// An allocator without blocks.
    pub(super) fn new(layout: &ImageLayout) -> Result<Self> {
        let count = usize::try_from(layout.geometry.blocks).unwrap_or(usize::MAX).div_ceil(PAGE);
        let mut pages = Vec::new();
        pages.try_reserve_exact(count).map_err(|_| no_memory())?;
        pages.resize_with(count, || None);
        Ok(Self { pages, allocation: layout.allocation, allocated: 0 })
    }

    /// The number of allocated blocks.
    pub(super) fn allocated(&self) -> u32 {
        self.allocated
    }

    /// Returns the slot of a block, and allocates it if there is none.
    pub(super) fn allocate(&mut self, block: u32) -> Result<BlockSlot> {
        let (page, slot) = split(block);
        let page = self.pages.get_mut(page).ok_or_else(|| internal("block map"))?;
        let entries = match page {
            Some(entries) => entries,
            None => page.insert(empty_page()?),
        };
        let entry = entries.get_mut(slot).ok_or_else(|| internal("block map"))?;
        let fresh = *entry == ZERO;
        if fresh {
            *entry = match self.allocation {
                Allocation::Dynamic => self.allocated,
                Allocation::Fixed => block,
            };
            self.allocated = self.allocated.saturating_add(1);
        }
        Ok(BlockSlot { index: *entry, fresh })
    }

    /// The allocated blocks in `range`, with their file blocks. Missing pages cost nothing.
    pub(super) fn allocated_in(&self, range: Range<u32>) -> impl Iterator<Item = (u32, u32)> {
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

    /// Appends the map entries for `range` to `bytes`, as stored in the file.
    ///
    /// The entry of an unallocated block marks it as zeros, as VirtualBox does: it then reads as zeros over any parent.
    /// In a fixed image all blocks are allocated.
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
    limit("block map").because("no memory for it").with_fault(Fault::Machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::WriterOptions;

    fn blocks(allocation: Allocation) -> BlockAllocator {
        let options = WriterOptions {
            virtual_size: 50_000 * 512,
            block_size: 512,
            allocation,
            ..WriterOptions::default()
        };
        BlockAllocator::new(&ImageLayout::new(&options).unwrap()).unwrap()
    }

    #[test]
    fn block_is_allocated_once() {
        let mut blocks = blocks(Allocation::Dynamic);
        assert_eq!(blocks.allocate(40_000).unwrap(), BlockSlot { index: 0, fresh: true });
        assert_eq!(blocks.allocate(3).unwrap(), BlockSlot { index: 1, fresh: true });
        assert_eq!(blocks.allocate(40_000).unwrap(), BlockSlot { index: 0, fresh: false });
        assert_eq!(blocks.allocated(), 2);
    }

    #[test]
    fn allocated_blocks_are_found_in_any_range() {
        let mut blocks = blocks(Allocation::Fixed);
        // Around the edges of pages of 16384 entries; the second page is missing.
        let all = [0, 5, 16_383, 32_768, 32_769, 49_999];
        for block in all {
            blocks.allocate(block).unwrap();
        }
        for start in [0, 1, 5, 6, 16_383, 16_384, 32_767, 32_769, 49_999] {
            for end in [start, start + 1, 16_384, 32_768, 32_769, 50_000] {
                let found: Vec<u32> = blocks.allocated_in(start..end).map(|(block, _)| block).collect();
                let want: Vec<u32> = all.into_iter().filter(|block| (start..end).contains(block)).collect();
                assert_eq!(found, want, "{start}..{end}");
            }
        }
    }
}
