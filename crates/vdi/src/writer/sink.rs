//! The writer as a sink.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use diskimg_core::{Batch, BlockSink, Error, ErrorKind, Result, Segment, WriteOrder};

use super::blocks::Blocks;
use super::header::{self, Uuids};
use super::job::Job;
use super::layout::Shape;
use super::options::{Allocation, WriterOptions};
use crate::addr::GuestOffset;
use crate::errors::{FORMAT, invalid};
use crate::header::SECTOR;

/// Entries of the map that are written at once, 1 MiB of them. A bound of ours.
const MAP_STEP: u32 = 262_144;

/// A VDI image being written over a sink that grows and takes any order.
///
/// Ranges may be written in any order and in any pieces, and again. Blocks of zeros take no place in a dynamic
/// image; their map entries say zero, as VirtualBox has it. The file depends on the bytes, the options and the
/// order of the calls, and with [`BlockSink::batch`] on the bytes and options alone, whatever the number of
/// threads; UUIDs that are not given are random.
///
/// In memory are four bytes for each block of those parts of the disk (16384 blocks each) that hold data.
///
/// Nothing is a valid image before [`BlockSink::finish`]: the header is written last. The file then ends with
/// a whole block. After an error the writer is good for nothing but dropping.
///
/// ```
/// use diskimg_core::{BlockSink, MemorySink};
/// use diskimg_vdi::{Writer, WriterOptions};
/// let file = MemorySink::new(16 << 20);
/// let options = WriterOptions { virtual_size: 1 << 40, ..WriterOptions::default() };
/// let image = Writer::new(Box::new(file.clone()), &options)?;
/// image.write_at(3 << 30, &[7; 65_536])?;
/// Box::new(image).finish()?;
/// // Header, map, and one block.
/// assert_eq!(file.bytes().len(), (1 + 4 + 1) << 20);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct Writer {
    lower: Box<dyn BlockSink>,
    shape: Shape,
    uuids: Uuids,
    blocks: Mutex<Blocks>,
    /// Where in the file the last bytes of data end that were written.
    data_end: AtomicU64,
    /// Segments that have a place and are not written.
    unwritten: AtomicU64,
    failed: AtomicBool,
}

impl Writer {
    /// Begins an image in `sink`, which must be empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for options that cannot be meant, [`ErrorKind::NeedsSeek`] when `sink` takes
    /// only ascending offsets: the map and the header stand in front and are known last.
    pub fn new(sink: Box<dyn BlockSink>, options: &WriterOptions) -> Result<Self> {
        let shape = Shape::new(options)?;
        let uuids = Uuids::new(options)?;
        if sink.order() == WriteOrder::Ascending {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .format(FORMAT)
                .field("target")
                .because("the block map stands in front of the blocks and is known last"));
        }
        Ok(Self {
            lower: sink,
            shape,
            uuids,
            blocks: Mutex::new(Blocks::new(&shape)?),
            data_end: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        })
    }

    /// An error from here on leaves places without their bytes: it is remembered, so that `finish` fails.
    fn remember<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn place(&self, job: &mut Job) -> Result<()> {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        let placed = job.place(&mut lock(&self.blocks), &self.shape);
        self.remember(placed)
    }

    fn write(&self, job: &mut Job, segment: &Segment<'_>) -> Result<()> {
        let end = self.remember(job.write(segment, self.lower.as_ref()))?;
        self.data_end.fetch_max(end, Ordering::AcqRel);
        self.unwritten.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }

    fn whole(&self, segment: &Segment<'_>) -> Result<()> {
        if segment.len == 0 {
            return diskimg_core::check_range(segment.offset, 0, self.shape.size);
        }
        let mut job = Job::default();
        job.prepare(&self.shape, segment)?;
        self.place(&mut job)?;
        self.write(&mut job, segment)
    }

    fn complete(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) || self.unwritten.load(Ordering::Acquire) != 0 {
            return Err(invalid("image").because("a write into it failed or was not completed"));
        }
        let blocks = lock(&self.blocks);
        let allocated = match self.shape.allocation {
            Allocation::Dynamic => blocks.placed(),
            Allocation::Fixed => self.shape.geometry.blocks,
        };
        if self.shape.allocation == Allocation::Fixed {
            self.zero_untouched(&blocks)?;
        }
        self.write_map(&blocks)?;
        self.extend(allocated)?;
        self.lower.write_at(0, &header::encode(&self.shape, &self.uuids, allocated))
    }

    /// Zeros the blocks of a fixed image that were not written.
    fn zero_untouched(&self, blocks: &Blocks) -> Result<()> {
        let geometry = &self.shape.geometry;
        let all = 0..geometry.blocks;
        let mut next = 0;
        let places = blocks.placed_in(all.clone()).map(|(block, _)| block);
        for block in places.chain(std::iter::once(all.end)) {
            if next < block {
                self.lower.zero(geometry.host(next).0..geometry.host(block).0)?;
                self.data_end.fetch_max(geometry.host(block).0, Ordering::AcqRel);
            }
            next = block.saturating_add(1);
        }
        Ok(())
    }

    fn write_map(&self, blocks: &Blocks) -> Result<()> {
        let geometry = &self.shape.geometry;
        let mut bytes = Vec::new();
        let mut first = 0;
        while first < geometry.blocks {
            let end = first.saturating_add(MAP_STEP).min(geometry.blocks);
            bytes.clear();
            blocks.encode(first..end, &mut bytes);
            self.lower.write_at(geometry.entry_at(first.into()).0, &bytes)?;
            first = end;
        }
        Ok(())
    }

    /// Makes the file end with a whole block, or where the first one would begin.
    fn extend(&self, allocated: u32) -> Result<()> {
        let geometry = &self.shape.geometry;
        let end = geometry.host(allocated).0;
        // An empty disk has no map: nothing is written behind the header.
        let front = if geometry.blocks > 0 { geometry.map_end().0 } else { SECTOR.into() };
        let written = self.data_end.load(Ordering::Acquire).max(front);
        if written < end { self.lower.zero(written..end) } else { Ok(()) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BlockSink for Writer {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.whole(&Segment { offset, len: data.len() as u64, bytes: data, zeros: &[] })
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        self.whole(&Segment { offset: range.start, len, bytes: &[], zeros: &[] })
    }

    fn granularity(&self) -> u64 {
        self.shape.geometry.block_bytes()
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        Some(Box::new(Worker { writer: self, job: Job::default() }))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?;
        self.lower.finish()
    }
}

/// One worker of [`BlockSink::batch`].
struct Worker<'a> {
    writer: &'a Writer,
    job: Job,
}

impl Batch for Worker<'_> {
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        let shape = &self.writer.shape;
        let cut = |at: u64| at != shape.size && shape.geometry.in_block(GuestOffset(at)) != 0;
        if segment.end() <= shape.size && (cut(segment.offset) || cut(segment.end())) {
            return Err(invalid("segment")
                .found(format_args!("{} bytes at {}", segment.len, segment.offset))
                .expected(format_args!("whole blocks of {} bytes", shape.geometry.block_bytes())));
        }
        self.job.prepare(shape, segment)
    }

    fn place(&mut self, _segment: &Segment<'_>) -> Result<()> {
        self.writer.place(&mut self.job)
    }

    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.writer.write(&mut self.job, segment)
    }
}
