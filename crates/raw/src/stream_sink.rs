//! A pipe or any other writer, written as a disk.

use std::io::Write;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use diskimg_core::{BlockSink, Error, ErrorKind, Result, SinkProperties, WriteOrder, check_range};

use crate::RAW;
use crate::error::io_at;
use crate::file_ops::ZEROS;

/// A pipe, socket or any other [`Write`], written as a disk from its first byte to its last.
///
/// Ranges have to come in ascending order; what is left out between them is written as zeros.
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
    state: Mutex<State<W>>,
    size: Option<u64>,
}

#[derive(Debug)]
struct State<W> {
    writer: W,
    position: u64,
}

impl<W: Write + Send> StreamSink<W> {
    /// Writes a disk to `writer`. With a `size` in bytes, writes past it are [`ErrorKind::OutOfBounds`] and
    /// [`BlockSink::finish`] fills up to it with zeros; without one the stream ends behind the last byte that
    /// was written or zeroed.
    #[must_use]
    pub fn new(writer: W, size: Option<u64>) -> Self {
        Self { state: Mutex::new(State { writer, position: 0 }), size }
    }

    fn advance(&self, range: &Range<u64>, data: Option<&[u8]>) -> Result<()> {
        check_range(range.start, range.end.saturating_sub(range.start), self.size.unwrap_or(u64::MAX))?;
        if range.is_empty() {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if range.start < state.position {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .format(RAW)
                .field("stream")
                .found(format_args!("already at byte {}", state.position))
                .expected(format_args!("to write at byte {}", range.start)));
        }
        match data {
            Some(data) => {
                state.zeros_to(range.start)?;
                state.put(data)
            }
            None => state.zeros_to(range.end),
        }
    }
}

impl<W: Write> State<W> {
    fn put(&mut self, data: &[u8]) -> Result<()> {
        self.writer.write_all(data).map_err(|error| io_at(error, "stream", self.position))?;
        self.position = self.position.saturating_add(data.len() as u64);
        Ok(())
    }

    fn zeros_to(&mut self, end: u64) -> Result<()> {
        while self.position < end {
            let len = usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX);
            self.put(ZEROS.get(..len).unwrap_or(&ZEROS))?;
        }
        Ok(())
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
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.zeros_to(self.size.unwrap_or(state.position))?;
        let position = state.position;
        state.writer.flush().map_err(|error| io_at(error, "stream", position))
    }
}
