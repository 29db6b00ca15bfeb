//! Whether everything that was given a place has been written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use diskimg_core::Result;

use super::error::misuse;

/// Counts segments between their place and their bytes, and remembers failures: an image with either is not to
/// be completed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    unwritten: AtomicU64,
    failed: AtomicBool,
}

impl Ledger {
    /// A segment is about to get a place.
    pub(super) fn begin(&self) {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
    }

    /// Its bytes are written.
    pub(super) fn end(&self) {
        self.unwritten.fetch_sub(1, Ordering::AcqRel);
    }

    /// Passes on the result of a write.
    pub(super) fn remember<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// Whether the image may be completed.
    pub(super) fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) || self.unwritten.load(Ordering::Acquire) != 0 {
            return Err(misuse("image").because("a write into it failed or was not completed"));
        }
        Ok(())
    }
}

/// A panic elsewhere is told by whoever panicked; the data behind the lock is still whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
