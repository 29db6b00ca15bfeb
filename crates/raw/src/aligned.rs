//! Alignment of memory and offsets for direct I/O.

use std::sync::{Mutex, PoisonError};

/// The alignment of offset, length and address for direct I/O. Our choice: at least the logical block of any disk in use
/// (512 or 4096) and the page.
pub(crate) const ALIGN: usize = 4096;
/// [`ALIGN`] as an offset.
pub(crate) const ALIGN_BYTES: u64 = ALIGN as u64;

/// The size of a buffer. Our choice, not tuned: large enough that the cost of a call is small, small enough to keep
/// several.
pub(crate) const CHUNK: usize = 1 << 20;

/// The maximum number of idle buffers of a pool. Our limit: the number of threads in most thread pools.
const MAX_IDLE: usize = 8;

/// Returns true if `offset` is aligned for direct I/O.
pub(crate) fn is_aligned(offset: u64) -> bool {
    offset % ALIGN_BYTES == 0
}

/// Returns the multiple of [`ALIGN`] at or below `offset`.
pub(crate) fn floor(offset: u64) -> u64 {
    offset & !(ALIGN_BYTES - 1)
}

/// Returns true if address and length of these bytes are aligned for direct I/O.
pub(crate) fn is_aligned_memory(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(ALIGN) == 0 && bytes.len() % ALIGN == 0
}

/// A buffer of [`CHUNK`] bytes at a multiple of [`ALIGN`].
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBuffer {
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

/// A pool of idle buffers.
#[derive(Debug, Default)]
pub(crate) struct BufferPool(Mutex<Vec<AlignedBuffer>>);

impl BufferPool {
    /// Calls `work` with a buffer.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = idle.unwrap_or_else(AlignedBuffer::new);
        let result = work(buffer.as_mut());
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < MAX_IDLE {
            pool.push(buffer);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_the_pool_are_aligned_and_complete() {
        let pool = BufferPool::default();
        for _ in 0..3 {
            pool.with(|outer| {
                assert!(is_aligned_memory(outer) && outer.len() == CHUNK);
                pool.with(|inner| assert!(is_aligned_memory(inner) && inner.len() == CHUNK));
            });
        }
    }
}
