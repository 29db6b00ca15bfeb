//! Tests for sinks that wrap another sink.

use crate::{BlockSink, NullSink, SinkProperties, WriteOrder};

/// Checks that the sink that `wrap` makes has the properties of the sink inside it.
///
/// # Panics
/// If it has others.
pub fn forwards_properties(wrap: &dyn Fn(Box<dyn BlockSink>) -> Box<dyn BlockSink>) {
    for order in [WriteOrder::Any, WriteOrder::Ascending] {
        for granularity in [1, 512, 4096, 2 << 20] {
            for (wants_holes, stores_zeros) in [(false, false), (true, false), (false, true), (true, true)] {
                let inside = SinkProperties { order, granularity, wants_holes, stores_zeros };
                assert_eq!(wrap(Box::new(NullSink(inside))).properties(), inside);
            }
        }
    }
}
