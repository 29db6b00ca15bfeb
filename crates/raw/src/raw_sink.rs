//! A raw disk over a sink that grows.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg_core::{
    Batch, BlockSink, CreateOptions, Error, ErrorKind, HostRange, Measured, Result, SinkProperties,
    check_range,
};

use crate::driver::RAW;

/// Passes everything on, keeps to the size of the disk, and sees to it that the file below gets that size.
struct RawSink {
    below: Box<dyn BlockSink>,
    size: u64,
    end: AtomicU64,
}

/// The `create` of the driver.
pub(crate) fn create(below: Box<dyn BlockSink>, options: &CreateOptions) -> Result<Box<dyn BlockSink>> {
    check_options(options)?;
    Ok(Box::new(RawSink { below, size: options.virtual_size, end: AtomicU64::new(0) }))
}

fn check_options(options: &CreateOptions) -> Result<()> {
    if let Some(setting) = options.settings.first() {
        return Err(setting.invalid("no option: raw has none").format(RAW));
    }
    if options.compress || options.level.is_some() {
        return Err(Error::new(ErrorKind::InvalidInput)
            .format(RAW)
            .field("compression")
            .because("a raw disk is its bytes and nothing else"));
    }
    Ok(())
}

/// The `measure` of the driver: the file is as long as the disk, whatever is stored of it.
pub(crate) fn measure(
    options: &CreateOptions,
    _: Option<&mut dyn Iterator<Item = Result<Range<u64>>>>,
) -> Result<Measured> {
    check_options(options)?;
    Ok(Measured { required: options.virtual_size, fully_allocated: options.virtual_size })
}

impl RawSink {
    fn check(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, self.size)?;
        // What is empty makes no file longer, wherever it lies.
        if len > 0 {
            self.end.fetch_max(offset.saturating_add(len), Ordering::Relaxed);
        }
        Ok(())
    }
}

impl BlockSink for RawSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.check(offset, data.len() as u64)?;
        self.below.write_at(offset, data)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.check(range.start, range.end.saturating_sub(range.start))?;
        self.below.zero(range)
    }

    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.check(offset, from.len)?;
        self.below.copy_from(offset, from)
    }

    fn properties(&self) -> SinkProperties {
        self.below.properties()
    }

    /// None: a batch would write past our count of where the disk ends, and the sinks of files have none.
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        None
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let end = self.end.into_inner();
        if end < self.size {
            self.below.zero(end..self.size)?;
        }
        self.below.finish()
    }
}
