//! Writes a disk to a pipe or any other writer.

use std::io::Write;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use diskimg_core::{BlockSink, ErrorKind, Result, SinkProperties, WriteOrder, check_range, range, zeros};

use crate::error::{error, io_at};

/// A sink that writes a disk to a pipe, a socket or any other [`Write`], from the first byte to the last.
///
/// Ranges must be written in ascending order. Gaps between them are written as zeros.
///
/// ```
/// use diskimg_core::BlockSink;
/// use diskimg_raw::StreamSink;
///
/// let mut out = Vec::new();
/// let sink = StreamSink::new(&mut out, Some(8));
/// sink.write_at(2, b"disk")?;
/// Box::new(sink).finish()?;
/// assert_eq!(out, b"\0\0disk\0\0");
/// # Ok::<(), diskimg_core::Error>(())
/// ```
#[derive(Debug)]
pub struct StreamSink<W> {
    output: Mutex<PositionedWriter<W>>,
    size: Option<u64>,
}

#[derive(Debug)]
struct PositionedWriter<W> {
    writer: W,
    /// The number of bytes written.
    position: u64,
}

impl<W: Write + Send> StreamSink<W> {
    /// Creates a sink that writes to `writer`. With a `size` in bytes, writes past it are [`ErrorKind::OutOfBounds`],
    /// and [`BlockSink::finish`] pads the stream with zeros up to it. Without one, the stream ends after the last byte
    /// written or zeroed.
    #[must_use]
    pub fn new(writer: W, size: Option<u64>) -> Self {
        Self { output: Mutex::new(PositionedWriter { writer, position: 0 }), size }
    }

    /// Writes `data`, or zeros, to `range`.
    fn advance(&self, range: &Range<u64>, data: Option<&[u8]>) -> Result<()> {
        check_range(range.start, range::len(range), self.size.unwrap_or(u64::MAX))?;
        if range.is_empty() {
            return Ok(());
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if range.start < output.position {
            return Err(error(ErrorKind::NeedsSeek, "stream")
                .found(format_args!("a stream at byte {}", output.position))
                .expected(format_args!("one at byte {} or before", range.start)));
        }
        match data {
            Some(data) => {
                output.zeros_to(range.start)?;
                output.put(data)
            }
            None => output.zeros_to(range.end),
        }
    }
}

impl<W: Write> PositionedWriter<W> {
    fn put(&mut self, data: &[u8]) -> Result<()> {
        self.writer.write_all(data).map_err(|error| io_at(error, "stream", self.position))?;
        self.position = self.position.saturating_add(data.len() as u64);
        Ok(())
    }

    fn zeros_to(&mut self, end: u64) -> Result<()> {
        zeros::pieces(self.position..end).try_for_each(|(_, piece)| self.put(piece))
    }
}

impl<W: Write + Send> BlockSink for StreamSink<W> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let len = data.len() as u64;
        check_range(offset, len, u64::MAX)?;
        self.advance(&(offset..offset.saturating_add(len)), Some(data))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.advance(&range, None)
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties { order: WriteOrder::Ascending, ..SinkProperties::default() }
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let mut output = self.output.into_inner().unwrap_or_else(PoisonError::into_inner);
        output.zeros_to(self.size.unwrap_or(output.position))?;
        let position = output.position;
        output.writer.flush().map_err(|error| io_at(error, "stream", position))
    }
}
