//! Calls of a sink for property tests, and their expected result.

use super::painted;
use crate::BlockSink;

/// A call of [`BlockSink`], clipped to the end of the disk.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Writes zeros if `seed` is a multiple of four, otherwise the painted bytes from offset `seed` on.
    Write {
        /// The guest offset in bytes, at most the size of the disk.
        at: usize,
        /// The length in bytes.
        len: usize,
        /// Selects the bytes that are written.
        seed: u8,
    },
    /// Zeroes a range.
    Zero {
        /// The guest offset in bytes, at most the size of the disk.
        at: usize,
        /// The length in bytes.
        len: usize,
    },
}

/// Makes the calls on a sink of `size` bytes and returns the expected disk. The sink is not finished.
///
/// # Panics
/// If a call fails.
#[must_use]
pub fn apply(calls: &[Call], sink: &dyn BlockSink, size: usize) -> Vec<u8> {
    let mut disk = vec![0; size];
    for call in calls {
        match *call {
            Call::Write { at, len, seed } => {
                let len = len.min(size - at);
                let bytes = if seed % 4 == 0 { vec![0; len] } else { painted(seed.into(), len) };
                disk[at..at + len].copy_from_slice(&bytes);
                sink.write_at(at as u64, &bytes).expect("write_at");
            }
            Call::Zero { at, len } => {
                let end = size.min(at + len);
                disk[at..end].fill(0);
                sink.zero(at as u64..end as u64).expect("zero");
            }
        }
    }
    disk
}
