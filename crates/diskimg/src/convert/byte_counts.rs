//! The bytes that a conversion has processed.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg_core::range;

use super::options::Converted;

/// The bytes processed so far, counted by all workers.
#[derive(Default)]
pub(super) struct ByteCounts {
    written: AtomicU64,
    copied: AtomicU64,
    zeros: AtomicU64,
}

impl ByteCounts {
    pub(super) fn add_copied(&self, bytes: u64) {
        self.copied.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_zeros(&self, bytes: u64) {
        self.zeros.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts `len` written bytes of which these ranges are zeros.
    pub(super) fn add(&self, len: u64, zeros: &[Range<u64>]) {
        let zeros: u64 = zeros.iter().map(range::len).sum();
        self.add_zeros(zeros);
        self.written.fetch_add(len.saturating_sub(zeros), Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Converted {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (written, copied, zeros) = (get(&self.written), get(&self.copied), get(&self.zeros));
        Converted {
            virtual_size: written.saturating_add(copied).saturating_add(zeros),
            written: written.saturating_add(copied),
            copied,
            zeros,
            looks_like: None,
            findings: Vec::new(),
        }
    }
}
