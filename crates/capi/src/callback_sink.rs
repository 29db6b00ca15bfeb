//! A file of the caller as a sink.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg::core::{SinkProperties, check_range, range, zeros};
use diskimg::{BlockSink, Cancel, Progress, Result};

use crate::argument::invalid;
use crate::io::Callbacks;

/// A sink that writes through callbacks: a raw disk of a known size, or a file that grows.
pub(crate) struct CallbackSink {
    callbacks: Callbacks,
    /// The size of a raw disk; `None` for a file that grows.
    size: Option<u64>,
    /// True if ranges to zero already read as zeros. Valid only if no byte is written or zeroed twice.
    is_zero: bool,
    flush: bool,
    cancel: Option<Arc<Cancel>>,
    /// The offset after the last byte written or zeroed.
    end: AtomicU64,
}

impl CallbackSink {
    /// # Errors
    /// Rejects a file without `pwrite`; passes on errors of `set_size`.
    pub(crate) fn new(
        callbacks: Callbacks,
        size: Option<u64>,
        is_zero: bool,
        flush: bool,
        cancel: Option<Arc<Cancel>>,
    ) -> Result<Self> {
        if callbacks.functions().pwrite.is_none() {
            return Err(invalid("pwrite", "a function, not NULL"));
        }
        if let Some(size) = size {
            callbacks.set_size(size)?;
        }
        Ok(Self { callbacks, size, is_zero, flush, cancel, end: AtomicU64::new(0) })
    }

    fn extend_to(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, self.size.unwrap_or(i64::MAX.unsigned_abs()))?;
        if len > 0 {
            self.end.fetch_max(offset.saturating_add(len), Ordering::Relaxed);
        }
        Ok(())
    }
}

impl BlockSink for CallbackSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.extend_to(offset, data.len() as u64)?;
        if data.is_empty() { Ok(()) } else { self.callbacks.pwrite(data, offset) }
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let len = range::len(&range);
        self.extend_to(range.start, len)?;
        if len == 0 || self.is_zero || self.callbacks.zero(range.start, len)? {
            return Ok(());
        }
        zeros::pieces(range).try_for_each(|(at, piece)| {
            self.cancel.as_ref().map_or(Ok(()), |cancel| cancel.report(0))?;
            self.callbacks.pwrite(piece, at)
        })
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let end = self.end.load(Ordering::Relaxed);
        match self.size {
            None => self.callbacks.set_size(end)?,
            // Without `set_size`, only its last bytes can set the length.
            Some(size) if self.callbacks.functions().set_size.is_none() && end < size => {
                self.zero(end..size)?;
            }
            Some(_) => {}
        }
        if self.flush { self.callbacks.flush() } else { Ok(()) }
    }
}
