//! A file of the caller's as a sink.

use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg::{BlockSink, Result, SinkProperties, check_range};

use crate::guard::invalid;
use crate::io::Callbacks;

/// Zeros written at once where the file cannot zero by itself. A bound of ours; made when it is wanted, for a `static`
/// of bytes is a part of the library.
static ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; 64 << 10]);

/// A file behind callbacks, written: a raw disk of a known size, or a file that grows.
pub(crate) struct CallbackSink {
    callbacks: Callbacks,
    /// Size of a raw disk; `None` for a file that grows.
    size: Option<u64>,
    /// Whether ranges that are zeroed hold zeros already: only where each byte is mentioned once.
    is_zero: bool,
    flush: bool,
    /// Offset behind the last byte mentioned.
    end: AtomicU64,
}

impl CallbackSink {
    /// # Errors
    /// A file without `pwrite`, or one that cannot have its size.
    pub(crate) fn new(callbacks: Callbacks, size: Option<u64>, is_zero: bool, flush: bool) -> Result<Self> {
        if callbacks.functions().pwrite.is_none() {
            return Err(invalid("pwrite", "a function, and not NULL"));
        }
        if let Some(size) = size {
            callbacks.set_size(size)?;
        }
        Ok(Self { callbacks, size, is_zero, flush, end: AtomicU64::new(0) })
    }

    fn mention(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, self.size.unwrap_or(i64::MAX.unsigned_abs()))?;
        if len > 0 {
            self.end.fetch_max(offset.saturating_add(len), Ordering::Relaxed);
        }
        Ok(())
    }
}

impl BlockSink for CallbackSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.mention(offset, data.len() as u64)?;
        if data.is_empty() { Ok(()) } else { self.callbacks.pwrite(data, offset) }
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        self.mention(range.start, len)?;
        if len == 0 || self.is_zero || self.callbacks.zero(range.start, len)? {
            return Ok(());
        }
        let mut at = range.start;
        while at < range.end {
            let step = range.end.saturating_sub(at).min(ZEROS.len() as u64);
            let zeros = ZEROS.get(..usize::try_from(step).unwrap_or(0)).unwrap_or(&ZEROS);
            self.callbacks.pwrite(zeros, at)?;
            at = at.saturating_add(step);
        }
        Ok(())
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let end = self.end.load(Ordering::Relaxed);
        match self.size {
            None => self.callbacks.set_size(end)?,
            // Nothing but its last bytes can give such a file its length.
            Some(size) if self.callbacks.functions().set_size.is_none() && end < size => {
                self.zero(end..size)?;
            }
            Some(_) => {}
        }
        if self.flush { self.callbacks.flush() } else { Ok(()) }
    }
}
