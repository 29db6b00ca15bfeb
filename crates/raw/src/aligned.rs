//! Memory and offsets as direct I/O wants them.

use std::sync::{Mutex, PoisonError};

/// What offset, length and address of direct I/O are multiples of. A bound of ours: at least the logical
/// block of any disk in use (512 or 4096), and the page.
pub(crate) const ALIGN: usize = 4096;
/// [`ALIGN`] as an offset.
pub(crate) const ALIGN_BYTES: u64 = ALIGN as u64;

/// Bytes that go through memory of our own at a time. A bound of ours, not tuned: large enough that the cost of
/// a call is small, small enough to keep a few.
pub(crate) const CHUNK: usize = 1 << 20;

/// How many buffers are kept for the next call. A bound of ours: as many as there are threads in most pools.
const KEPT: usize = 8;

/// Whether `offset` may stand in direct I/O.
pub(crate) fn is_aligned(offset: u64) -> bool {
    offset.is_multiple_of(ALIGN_BYTES)
}

/// The multiple of [`ALIGN`] at or below `offset`.
pub(crate) fn floor(offset: u64) -> u64 {
    offset & !(ALIGN_BYTES - 1)
}

/// Whether direct I/O may use these bytes where they lie.
pub(crate) fn is_aligned_memory(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(ALIGN) == 0 && bytes.len().is_multiple_of(ALIGN)
}

/// [`CHUNK`] bytes that start at a multiple of [`ALIGN`].
#[derive(Debug)]
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new() -> Self {
        let bytes = vec![0; CHUNK.saturating_add(ALIGN)];
        let start = bytes.as_ptr().align_offset(ALIGN);
        Self { bytes, start }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        let chunk = self.bytes.get_mut(self.start..).and_then(|rest| rest.get_mut(..CHUNK));
        chunk.unwrap_or_default()
    }
}

/// Buffers kept for the next call.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Aligned>>);

impl Pool {
    /// Lends a buffer to `work`.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = kept.unwrap_or_else(Aligned::new);
        let result = work(buffer.as_mut());
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < KEPT {
            pool.push(buffer);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_buffers_are_aligned_and_whole() {
        let pool = Pool::default();
        for _ in 0..3 {
            pool.with(|outer| {
                assert!(is_aligned_memory(outer) && outer.len() == CHUNK);
                pool.with(|inner| assert!(is_aligned_memory(inner) && inner.len() == CHUNK));
            });
        }
    }
}
