//! The writer as a sink.

use std::ops::Range;

use diskimg_core::writer::{SegmentBatch, SegmentJob, UnitImage, lock};
use diskimg_core::{Batch, BlockSink, Error, ErrorKind, Result, SinkProperties, WriteOrder};

use super::block_allocator::BlockAllocator;
use super::block_store::BlockStore;
use super::header::{self, ImageUuids};
use super::layout::ImageLayout;
use super::options::{Allocation, WriterOptions};
use crate::addr::HostOffset;
use crate::errors::FORMAT;
use crate::header::SECTOR;

/// Map entries per write: 1 MiB. Our limit.
const MAP_STEP: u32 = 262_144;

/// A VDI image being written over a sink that grows and accepts any order.
///
/// Ranges may be written in any order, split in any way, and rewritten. A dynamic image stores no blocks of
/// zeros; their map entries say zero, as VirtualBox writes them. The file depends on the bytes, the options and
/// the order of the calls; with [`BlockSink::batch`] it depends on the bytes and options alone, for any number of
/// threads. UUIDs that are not set are random.
///
/// The writer needs four bytes of memory per block for each group of 16384 blocks that contains data.
///
/// The file is not a valid image until [`BlockSink::finish`], which writes the header last. It then ends with a whole
/// block. After an error the writer can only be dropped.
///
/// ```
/// use diskimg_core::{BlockSink, MemorySink};
/// use diskimg_vdi::{ImageWriter, WriterOptions};
/// let file = MemorySink::new(16 << 20);
/// let options = WriterOptions { virtual_size: 1 << 40, ..WriterOptions::default() };
/// let image = ImageWriter::new(Box::new(file.clone()), &options)?;
/// image.write_at(3 << 30, &[7; 65_536])?;
/// Box::new(image).finish()?;
/// // Header, map, and one block.
/// assert_eq!(file.bytes().len(), (1 + 4 + 1) << 20);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct ImageWriter {
    store: BlockStore,
    uuids: ImageUuids,
}

impl ImageWriter {
    /// Begins an image in `sink`, which must be empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for invalid options; [`ErrorKind::NeedsSeek`] if `sink` accepts only ascending
    /// offsets, because map and header precede the blocks and are known last.
    pub fn new(sink: Box<dyn BlockSink>, options: &WriterOptions) -> Result<Self> {
        let layout = ImageLayout::new(options)?;
        let uuids = ImageUuids::new(options)?;
        if sink.properties().order == WriteOrder::Ascending {
            let because = "the block map precedes the blocks and is known last";
            return Err(Error::new(ErrorKind::NeedsSeek).format(FORMAT).field("target").because(because));
        }
        Ok(Self { store: BlockStore::new(layout, sink)?, uuids })
    }

    fn complete(&self) -> Result<()> {
        let (layout, file) = (&self.store.layout, self.store.file());
        file.ledger().check_complete()?;
        let blocks = lock(&self.store.blocks);
        let allocated = match layout.allocation {
            Allocation::Dynamic => blocks.allocated(),
            Allocation::Fixed => {
                self.zero_unwritten(&blocks)?;
                layout.geometry.blocks
            }
        };
        self.write_map(&blocks)?;
        self.extend(allocated)?;
        file.write_at(HostOffset(0), &header::encode(layout, &self.uuids, allocated)?)
    }

    /// Zeroes the unwritten blocks of a fixed image.
    fn zero_unwritten(&self, blocks: &BlockAllocator) -> Result<()> {
        let geometry = &self.store.layout.geometry;
        let all = 0..geometry.blocks;
        let mut next = 0;
        let written = blocks.allocated_in(all.clone()).map(|(block, _)| block);
        for block in written.chain(std::iter::once(all.end)) {
            if next < block {
                self.store.file().zero(geometry.host(next)..geometry.host(block))?;
            }
            next = block.saturating_add(1);
        }
        Ok(())
    }

    fn write_map(&self, blocks: &BlockAllocator) -> Result<()> {
        let geometry = &self.store.layout.geometry;
        let mut bytes = Vec::new();
        let mut first = 0;
        while first < geometry.blocks {
            let end = first.saturating_add(MAP_STEP).min(geometry.blocks);
            bytes.clear();
            blocks.encode(first..end, &mut bytes);
            self.store.file().write_at(geometry.entry_at(first.into()), &bytes)?;
            first = end;
        }
        Ok(())
    }

    /// Makes the file end with a whole block, or at the data offset if there are none.
    fn extend(&self, allocated: u32) -> Result<()> {
        let geometry = &self.store.layout.geometry;
        let (file, end) = (self.store.file(), geometry.host(allocated));
        if geometry.blocks == 0 {
            // There is no map. The header is written later, so its sector is not zeroed.
            return file.zero(HostOffset(SECTOR.into())..end);
        }
        file.extend_to(end)
    }
}

impl BlockSink for ImageWriter {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        SegmentJob::new(()).write_at(&self.store, offset, data)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        SegmentJob::new(()).zero(&self.store, &range)
    }

    fn properties(&self) -> SinkProperties {
        let granularity = self.store.layout.geometry.block_bytes();
        let stores_zeros = self.store.file().stores_zeros();
        SinkProperties { granularity, stores_zeros, ..SinkProperties::default() }
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        Some(Box::new(SegmentBatch::new(&self.store, ())))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?;
        self.store.into_file().finish()
    }
}
