//! The conformance suite of sinks.

use std::ops::Range;

use super::{Numbers, painted, source};
use crate::{BlockSink, BlockSource, WriteOrder};

/// Checks a sink: writes painted pieces of many sizes, holes and zeroed ranges, finishes it, and compares the source
/// of `read_back` with the same writes in memory. `make` receives the size of the disk.
///
/// A sink of [`WriteOrder::Any`] receives the pieces in random order. No byte is written twice.
///
/// # Panics
/// If the sink violates a rule of [`BlockSink`].
pub fn sink(
    size: u64,
    unit: u64,
    make: &dyn Fn(u64) -> Box<dyn BlockSink>,
    read_back: &dyn Fn() -> Box<dyn BlockSource>,
) {
    for seed in 1..4 {
        let sink = make(size);
        let mut expected = vec![0; usize::try_from(size).unwrap()];
        for (range, data) in pieces(size, unit, seed, sink.properties().order) {
            if data {
                let bytes = painted(range.start + seed, usize::try_from(range.end - range.start).unwrap());
                sink.write_at(range.start, &bytes).expect("write_at");
                expected[usize::try_from(range.start).unwrap()..][..bytes.len()].copy_from_slice(&bytes);
            } else {
                sink.zero(range).expect("zero");
            }
        }
        sink.finish().expect("finish");
        source(read_back().as_ref(), &expected);
    }
}

/// Returns pieces that do not overlap: about a third data, a third zeroed, a third omitted, with boundaries around
/// multiples of `unit`.
fn pieces(size: u64, unit: u64, seed: u64, order: WriteOrder) -> Vec<(Range<u64>, bool)> {
    let mut numbers = Numbers::new(seed);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let whole = (1 + numbers.below(4)) * unit;
        let end = match numbers.below(4) {
            0 => at + whole - at % unit,
            1 => at + whole - at % unit + 1,
            2 => at + whole - 1,
            _ => at + 1 + numbers.below(2 * unit),
        };
        let end = end.clamp(at + 1, size);
        match numbers.below(3) {
            0 => pieces.push((at..end, true)),
            1 => pieces.push((at..end, false)),
            _ => {}
        }
        at = end;
    }
    if order == WriteOrder::Any {
        for i in (1..pieces.len()).rev() {
            let j = usize::try_from(numbers.below(i as u64 + 1)).unwrap();
            pieces.swap(i, j);
        }
    }
    pieces
}
