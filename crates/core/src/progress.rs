//! Progress reports and cancellation.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Receives the progress of an operation and may stop it.
///
/// It is called from any worker thread, at most a few times per MiB. `()` ignores the progress and never stops;
/// [`Cancel`] stops once it is triggered.
pub trait Progress: Sync {
    /// Reports that `bytes` more guest bytes are done, or none during a wait. [`ControlFlow::Break`] ends the operation with
    /// [`crate::ErrorKind::Cancelled`] as soon as each thread has finished its current step.
    fn advance(&self, bytes: u64) -> ControlFlow<()>;

    /// Reports as [`Progress::advance`] does.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) if that ends the operation.
    fn report(&self, bytes: u64) -> Result<()> {
        match self.advance(bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::cancelled()),
        }
    }

    /// Reports the number of guest bytes of the work before the first of them is done; `None` if the number becomes
    /// known only at the end. Bytes reported before are those of a streamed image that is stored first. Called at
    /// most once; does nothing by default.
    fn begin(&self, total: Option<u64>) {
        let _ = total;
    }
}

impl Progress for () {
    fn advance(&self, _bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// A flag that stops an operation. It can be set from any thread or a signal handler, because setting it is one atomic
/// store.
///
/// ```
/// use diskimg_core::{Cancel, Progress};
/// let cancel = Cancel::default();
/// assert!(cancel.advance(1).is_continue());
/// cancel.trigger();
/// assert!(cancel.advance(1).is_break());
/// ```
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Requests the operation to stop.
    pub fn trigger(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Returns true if a stop was requested.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Progress for Cancel {
    fn advance(&self, _bytes: u64) -> ControlFlow<()> {
        if self.is_triggered() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
