//! Stores segments of the disk in blocks of the file.

use std::ops::Range;
use std::sync::Mutex;

use diskimg_core::writer::{
    DiskUnits, EncodeBuffer, ImageFile, PreparedSegment, SegmentUnit, UnitImage, WritePlan, lock,
};
use diskimg_core::{BlockSink, Result};

use super::block_allocator::BlockAllocator;
use super::layout::ImageLayout;
use crate::addr::GuestOffset;
use crate::errors::{FORMAT, internal};

/// The blocks of an image being written.
pub(super) struct BlockStore {
    pub(super) layout: ImageLayout,
    pub(super) blocks: Mutex<BlockAllocator>,
    file: ImageFile,
}

impl BlockStore {
    /// A store without blocks over an empty sink.
    pub(super) fn new(layout: ImageLayout, sink: Box<dyn BlockSink>) -> Result<Self> {
        let blocks = Mutex::new(BlockAllocator::new(&layout)?);
        Ok(Self { layout, blocks, file: ImageFile::new(FORMAT, sink) })
    }

    pub(super) fn into_file(self) -> ImageFile {
        self.file
    }

    /// Plans to zero the allocated blocks in a guest range. The others read as zeros already.
    fn zero(&self, blocks: &BlockAllocator, range: &Range<GuestOffset>, plan: &mut WritePlan) -> Result<()> {
        let geometry = &self.layout.geometry;
        let first = number(geometry.block_of(range.start))?;
        let end = number(range.end.0.div_ceil(geometry.block_bytes()))?;
        for (block, index) in blocks.allocated_in(first..end) {
            let start = geometry.guest_start(block.into());
            let host = geometry.host(index);
            let from = range.start.since(start);
            let to = range.end.since(start).min(geometry.block_bytes());
            plan.zero(host.plus(from)..host.plus(to));
        }
        Ok(())
    }
}

impl UnitImage for BlockStore {
    type UnitEncoder = ();
    type EncodedUnit = ();

    fn units(&self) -> DiskUnits {
        let unit_bytes = self.layout.geometry.block_bytes();
        DiskUnits { format: FORMAT, disk_bytes: self.layout.size, unit_bytes, name: "block" }
    }

    fn file(&self) -> &ImageFile {
        &self.file
    }

    fn encode(&self, (): &mut (), _: GuestOffset, _: &[u8], _: &mut EncodeBuffer) -> Result<()> {
        Ok(())
    }

    fn place(&self, segment: &PreparedSegment<'_, ()>, plan: &mut WritePlan) -> Result<()> {
        let geometry = &self.layout.geometry;
        let mut blocks = lock(&self.blocks);
        for unit in segment.units {
            match unit {
                SegmentUnit::Zeros(range) => self.zero(&blocks, range, plan)?,
                SegmentUnit::Data { guest, .. } => {
                    let slot = blocks.allocate(number(geometry.block_of(guest.start))?)?;
                    let host = geometry.host(slot.index).plus(geometry.in_block(guest.start));
                    plan.write_guest(guest.clone(), host, slot.fresh);
                }
            }
        }
        Ok(())
    }
}

fn number(block: u64) -> Result<u32> {
    u32::try_from(block).map_err(|_| internal("block number"))
}
