//! A sink that stores nothing.

use std::ops::Range;

use diskimg_core::{BlockSink, Result, SinkProperties, WriteOrder};

/// A sink of this order that accepts everything and stores nothing.
pub(crate) struct NullSink(pub(crate) WriteOrder);

impl BlockSink for NullSink {
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn zero(&self, _: Range<u64>) -> Result<()> {
        Ok(())
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties { order: self.0, ..SinkProperties::default() }
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
