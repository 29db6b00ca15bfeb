//! Counting the reads of a source.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{BlockSource, Result};

/// A source that counts the reads of another one. It hides the location of the bytes, so that all are read.
#[derive(Debug)]
pub struct Counted<S> {
    source: S,
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl<S: BlockSource> Counted<S> {
    /// Creates a source that counts the reads of `source`.
    #[must_use]
    pub fn new(source: S) -> Self {
        Self { source, reads: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Returns the number of reads and of bytes read since the last call.
    pub fn taken(&self) -> (u64, u64) {
        (self.reads.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

impl<S: BlockSource> BlockSource for Counted<S> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.source.read_at(offset, buf)
    }
}
