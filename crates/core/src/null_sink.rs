//! A sink that stores nothing.

use std::ops::Range;

use crate::{BlockSink, Result, SinkProperties};

/// A sink with these properties that accepts every byte and stores none.
///
/// ```
/// use diskimg_core::{BlockSink, NullSink};
/// NullSink::default().write_at(1 << 40, b"any bytes")?;
/// # Ok::<(), diskimg_core::Error>(())
/// ```
#[derive(Default)]
pub struct NullSink(pub SinkProperties);

impl BlockSink for NullSink {
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn zero(&self, _: Range<u64>) -> Result<()> {
        Ok(())
    }
    fn properties(&self) -> SinkProperties {
        self.0
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
