//! Calls of a sink that a property test makes up, and what they should give.

use super::painted;
use crate::BlockSink;

/// A call of [`BlockSink`], cut at the end of the disk.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Writes zeros when `seed` is a multiple of four, otherwise the painted bytes from offset `seed` on.
    Write {
        /// Guest offset in bytes, at most the size of the disk.
        at: usize,
        /// Length in bytes.
        len: usize,
        /// What is written.
        seed: u8,
    },
    /// Zeroes a range.
    Zero {
        /// Guest offset in bytes, at most the size of the disk.
        at: usize,
        /// Length in bytes.
        len: usize,
    },
}

/// Makes the calls on a sink of `size` bytes, and returns the disk that they should give. The sink is not
/// finished.
///
/// # Panics
/// When a call fails.
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
