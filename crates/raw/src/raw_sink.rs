//! Writes a raw disk of fixed size to a sink that grows.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg_core::{
    BlockSink, CreateOptions, ErrorKind, HostRange, Measured, Result, SinkProperties, check_range, range,
};

use crate::error::error;
use crate::format::RAW;

/// Forwards to a sink, refuses bytes past the end of the disk, and extends the sink to the size of the disk. It has no
/// batches: they would bypass `end`, and the sinks of files have none.
struct RawSink {
    inner: Box<dyn BlockSink>,
    /// Virtual size in bytes.
    size: u64,
    /// The end of the highest range written or zeroed.
    end: AtomicU64,
}

/// Creates a raw disk: [`diskimg_core::Driver::create`] of this format.
pub(crate) fn create(inner: Box<dyn BlockSink>, options: &CreateOptions) -> Result<Box<dyn BlockSink>> {
    check_options(options)?;
    Ok(Box::new(RawSink { inner, size: options.virtual_size, end: AtomicU64::new(0) }))
}

fn check_options(options: &CreateOptions) -> Result<()> {
    if let Some(setting) = options.settings.first() {
        return Err(setting.invalid("none: raw has no options").format(RAW));
    }
    if options.compress || options.level.is_some() {
        let cause = "a raw disk stores its bytes as they are";
        return Err(error(ErrorKind::InvalidInput, "compression").because(cause));
    }
    Ok(())
}

/// Returns the size of the file, which is that of the disk: [`diskimg_core::Driver::measure`] of this format.
pub(crate) fn measure(
    options: &CreateOptions,
    _: Option<&mut dyn Iterator<Item = Result<Range<u64>>>>,
) -> Result<Measured> {
    check_options(options)?;
    Ok(Measured::new(options.virtual_size, options.virtual_size))
}

impl RawSink {
    fn check(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, self.size)?;
        // An empty range does not extend the file.
        if len > 0 {
            self.end.fetch_max(offset.saturating_add(len), Ordering::Relaxed);
        }
        Ok(())
    }
}

impl BlockSink for RawSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.check(offset, data.len() as u64)?;
        self.inner.write_at(offset, data)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.check(range.start, range::len(&range))?;
        self.inner.zero(range)
    }

    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.check(offset, from.len)?;
        self.inner.copy_from(offset, from)
    }

    fn properties(&self) -> SinkProperties {
        self.inner.properties()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let end = self.end.into_inner();
        if end < self.size {
            self.inner.zero(end..self.size)?;
        }
        self.inner.finish()
    }
}
