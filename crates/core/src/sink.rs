//! The trait that everything writable implements.

use std::ops::Range;

use crate::{HostRange, Result};

/// A disk being written. Bytes never written read as zeros. All offsets and lengths are bytes.
///
/// A byte is written once; whether it may be written again is the sink's business, and one that cannot says
/// [`crate::ErrorKind::InvalidInput`]. Nothing is a valid image before [`BlockSink::finish`]: dropping a sink
/// without it leaves no valid image, on purpose.
pub trait BlockSink: Send + Sync {
    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::OutOfBounds`] past the size of a sink that has one;
    /// [`crate::ErrorKind::NeedsSeek`] when the order is [`WriteOrder::Ascending`] and `offset` goes back.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Makes `range` read as zeros; cheap where nothing was written yet.
    ///
    /// # Errors
    /// As [`BlockSink::write_at`].
    fn zero(&self, range: Range<u64>) -> Result<()>;

    /// Copies inside the kernel if it can; `false` means "write the bytes yourself", and nothing was written.
    ///
    /// # Errors
    /// What the system gives once the copy has begun.
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        let _ = (offset, from);
        Ok(false)
    }

    /// The order, the unit and the treatment of zeros that this sink asks of its caller. Constant for the life of
    /// the sink.
    ///
    /// There is no default: a sink that wraps another one returns the properties of that sink, changed only where
    /// the wrapper itself makes a difference.
    fn properties(&self) -> SinkProperties;

    /// A writer of segments for one worker thread, where the sink can do most of its work side by side and
    /// still give bytes that do not depend on the number of threads. `None` where `write_at` is all there is.
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        None
    }

    /// Completes the disk: everything is written and, for an image, valid from here on.
    ///
    /// # Errors
    /// When it could not be completed; there is no valid image then.
    fn finish(self: Box<Self>) -> Result<()>;
}

impl<S: BlockSink + ?Sized> BlockSink for Box<S> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        (**self).write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        (**self).zero(range)
    }
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        (**self).copy_from(offset, from)
    }
    fn properties(&self) -> SinkProperties {
        (**self).properties()
    }
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        (**self).batch()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        (*self).finish()
    }
}

/// The properties of a [`BlockSink`] that decide how a caller writes to it.
///
/// ```
/// use diskimg_core::{SinkProperties, WriteOrder};
/// let pipe = SinkProperties { order: WriteOrder::Ascending, ..SinkProperties::default() };
/// assert_eq!((pipe.granularity, pipe.wants_holes), (1, true));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SinkProperties {
    /// The order in which the sink accepts ranges.
    pub order: WriteOrder,
    /// The unit of storage in bytes, a power of two; 1 if there is none. Callers split a disk into segments at
    /// multiples of it.
    pub granularity: u64,
    /// If set, a [`crate::StreamDecoder`] searches the data of an image for zeros, in steps of the granularity, and
    /// passes them to [`BlockSink::zero`]. Otherwise only ranges that the image does not store go there.
    pub wants_holes: bool,
}

impl Default for SinkProperties {
    /// Any order, no unit, zeros become holes.
    fn default() -> Self {
        Self { order: WriteOrder::Any, granularity: 1, wants_holes: true }
    }
}

/// The order in which a [`BlockSink`] accepts ranges.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WriteOrder {
    /// Any order, from any number of threads.
    Any,
    /// Ascending offsets, one call at a time: a pipe, a stream-optimized image.
    Ascending,
}

/// One worker's way of writing segments into a sink, in three steps.
///
/// For each segment, in ascending order of the disk and without gaps between segments, over all workers:
/// [`Batch::prepare`] and [`Batch::write`] run at any time, side by side; [`Batch::place`] runs for one
/// segment after the other, in the order of the disk. Costly work (compressing) therefore runs on all cores,
/// places in the file are given out in one order, and the file is the same with any number of threads.
pub trait Batch: Send {
    /// Off the order: whatever needs no place in the file yet.
    ///
    /// # Errors
    /// Whatever stops the conversion.
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()>;

    /// In order: takes places in the file. Short, or everyone waits.
    ///
    /// # Errors
    /// Whatever stops the conversion.
    fn place(&mut self, segment: &Segment<'_>) -> Result<()>;

    /// Off the order again: writes the bytes to their places.
    ///
    /// # Errors
    /// Whatever stops the conversion.
    fn write(&mut self, segment: &Segment<'_>) -> Result<()>;
}

/// A piece of the disk on its way into a sink. Starts at a multiple of [`SinkProperties::granularity`], and ends
/// at one or at the end of the disk.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Guest offset of the first byte.
    pub offset: u64,
    /// Length in bytes; at least one.
    pub len: u64,
    /// All bytes of the segment, or none of them when all are zeros.
    pub bytes: &'a [u8],
    /// Guest ranges inside the segment that are known to be zeros: ascending, apart from each other. The
    /// bytes for them are zeros too. Longer runs of zeros may stand elsewhere, undetected.
    pub zeros: &'a [Range<u64>],
}

impl Segment<'_> {
    /// Guest offset of the first byte behind the segment.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Whether the whole segment is known to be zeros.
    #[must_use]
    pub fn is_zeros(&self) -> bool {
        self.bytes.is_empty()
    }
}
