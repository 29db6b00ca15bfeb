//! The trait of writable disks.

use std::ops::Range;

use crate::{HostRange, Result};

/// A disk being written. Bytes never written read as zeros. All offsets and lengths are bytes.
///
/// Each byte is written once. A sink may accept to overwrite it or return [`crate::ErrorKind::InvalidInput`]. An image
/// is valid only after [`BlockSink::finish`]: dropping a sink without it leaves no valid image, on purpose.
pub trait BlockSink: Send + Sync {
    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::OutOfBounds`] past the size of a sink of fixed size;
    /// [`crate::ErrorKind::NeedsSeek`] if the order is [`WriteOrder::Ascending`] and `offset` goes back.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Makes `range` read as zeros. Cheap if nothing was written there.
    ///
    /// # Errors
    /// As [`BlockSink::write_at`].
    fn zero(&self, range: Range<u64>) -> Result<()>;

    /// Copies inside the kernel. Returns `false` if that is not possible; the caller then writes the bytes.
    ///
    /// # Errors
    /// The errors of the system once the copy has begun.
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        let _ = (offset, from);
        Ok(false)
    }

    /// The order, the unit and the treatment of zeros that this sink requires of its caller. Constant for the life of
    /// the sink.
    ///
    /// There is no default: a sink that wraps another one returns the properties of that sink, changed only where
    /// the wrapper itself makes a difference.
    fn properties(&self) -> SinkProperties;

    /// Returns a writer of segments for one worker thread, if the sink can work on several threads and produce bytes
    /// that do not depend on their number. `None` if it supports only `write_at`.
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        None
    }

    /// Completes the disk: all bytes are written, and an image is valid.
    ///
    /// # Errors
    /// If it cannot be completed; there is no valid image then.
    fn finish(self: Box<Self>) -> Result<()>;
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
    /// If set, zeros are stored like other data: a conversion passes all bytes to [`BlockSink::write_at`] or to the
    /// segments of a [`Batch`], and an image has units for them.
    pub stores_zeros: bool,
}

impl Default for SinkProperties {
    /// Any order, no unit, zeros become holes.
    fn default() -> Self {
        Self { order: WriteOrder::Any, granularity: 1, wants_holes: true, stores_zeros: false }
    }
}

/// The order in which a [`BlockSink`] accepts ranges.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WriteOrder {
    /// Any order, from any number of threads.
    Any,
    /// Ascending offsets, one call at a time: a pipe, a stream-optimised image.
    Ascending,
}

/// Writes segments into a sink for one worker thread, in three steps.
///
/// Together the workers process all segments of the disk, in ascending order and without gaps. [`Batch::prepare`]
/// and [`Batch::write`] run concurrently; [`Batch::place`] runs for one segment at a time, in the order of the disk.
/// Expensive work (compression) thus runs on all cores, space in the file is allocated in one order, and the file
/// does not depend on the number of threads.
pub trait Batch: Send {
    /// Leaves out only the zeros in [`Segment::zeros`] from now on. Without it, a batch may search for more. Does nothing
    /// by default: a batch that never searches needs nothing else.
    fn leave_out_known_zeros_only(&mut self) {}

    /// Does the work that needs no space in the file, in any order.
    ///
    /// # Errors
    /// Any error that must stop the conversion.
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()>;

    /// Allocates space in the file, in the order of the disk. It must be fast, because all workers wait for it.
    ///
    /// # Errors
    /// Any error that must stop the conversion.
    fn place(&mut self, segment: &Segment<'_>) -> Result<()>;

    /// Writes the bytes to the allocated space, in any order.
    ///
    /// # Errors
    /// Any error that must stop the conversion.
    fn write(&mut self, segment: &Segment<'_>) -> Result<()>;
}

/// A part of the disk that is written to a sink. Starts at a multiple of [`SinkProperties::granularity`], and ends at
/// one or at the end of the disk.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The guest offset of the first byte.
    pub offset: u64,
    /// The length in bytes; at least one.
    pub len: u64,
    /// All bytes of the segment; empty if all are zeros.
    pub bytes: &'a [u8],
    /// Guest ranges within the segment that are known to be zeros, ascending and not adjacent. Their bytes are zeros
    /// too. There may be other, undetected runs of zeros.
    pub zeros: &'a [Range<u64>],
}

impl Segment<'_> {
    /// The guest offset after the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// True if the whole segment is known to be zeros.
    #[must_use]
    pub fn is_zeros(&self) -> bool {
        self.bytes.is_empty()
    }
}
