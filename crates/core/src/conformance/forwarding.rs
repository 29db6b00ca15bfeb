//! Tests for sinks that wrap another sink.

use std::ops::Range;

use crate::{BlockSink, Result, SinkProperties, WriteOrder};

/// Checks that the sink that `wrap` makes has the properties of the sink inside it.
///
/// # Panics
/// When it has others.
pub fn forwards_properties(wrap: &dyn Fn(Box<dyn BlockSink>) -> Box<dyn BlockSink>) {
    for order in [WriteOrder::Any, WriteOrder::Ascending] {
        for granularity in [1, 512, 4096, 2 << 20] {
            for wants_holes in [false, true] {
                let inside = SinkProperties { order, granularity, wants_holes };
                assert_eq!(wrap(Box::new(Null(inside))).properties(), inside);
            }
        }
    }
}

/// A sink with given properties that discards every byte.
struct Null(SinkProperties);

impl BlockSink for Null {
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
