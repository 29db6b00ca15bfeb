//! The record of writes that are outstanding or have failed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, ErrorKind, Format, Result};

/// Counts segments that are allocated and not yet written, and remembers failures. An image with either has gaps
/// and must not be completed.
///
/// ```
/// use diskimg_core::writer::WriteLedger;
/// use diskimg_core::{ErrorKind, Format};
/// let ledger = WriteLedger::new(Format::new("qcow2"));
/// ledger.begin();
/// assert_eq!(ledger.check_complete().unwrap_err().kind(), ErrorKind::InvalidInput);
/// ledger.end();
/// assert!(ledger.check_complete().is_ok());
/// ```
#[derive(Debug)]
pub struct WriteLedger {
    format: Format,
    unwritten: AtomicU64,
    failed: AtomicBool,
}

impl WriteLedger {
    /// A ledger without entries; `format` is named in its error.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format, unwritten: AtomicU64::new(0), failed: AtomicBool::new(false) }
    }

    /// Records that space for a segment is about to be allocated.
    pub fn begin(&self) {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that an allocated segment is written.
    pub fn end(&self) {
        self.unwritten.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns `result`, and remembers an error in it.
    ///
    /// # Errors
    /// The error in `result`.
    pub fn record<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// Checks that nothing is outstanding and nothing has failed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] otherwise.
    pub fn check_complete(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) || self.unwritten.load(Ordering::Acquire) != 0 {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(self.format)
                .field("image")
                .because("a write into it failed or was not completed"));
        }
        Ok(())
    }
}

/// Locks a mutex, even if another thread panicked while holding it. That thread reports the panic.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
