//! Being told of progress, and stopping the work.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Told of bytes done; may stop the work.
///
/// Called from any worker thread, a few times per MiB at most. `()` never stops and shows nothing;
/// [`Cancel`] stops when it is triggered.
pub trait Progress: Sync {
    /// `bytes` more guest bytes are done. [`ControlFlow::Break`] ends the work with
    /// [`crate::ErrorKind::Cancelled`] as soon as each thread has finished its step.
    fn advance(&self, bytes: u64) -> ControlFlow<()>;
}

impl Progress for () {
    fn advance(&self, _bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// A flag that stops the work when it is set, from any thread or a signal handler: setting it is one atomic
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
    /// Asks the work to stop.
    pub fn trigger(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked to stop.
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
