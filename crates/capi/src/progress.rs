//! Progress reports to the caller, and cancellation.

use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use diskimg::{Cancel, Error, ErrorKind, Progress, Result};

use crate::handle::free;
use crate::io::UserPointer;

/// Receives progress in bytes, always on the thread that made the call. `done` starts at 0, never
/// decreases, and ends at `total`. `total` is 0 while it is unknown, as for a stream. `done` then counts
/// the bytes of the image after decompression, plus the bytes of the disk if the image goes through a
/// temporary file first. A non-zero result cancels the call with DISKIMG_ERR_CANCELLED.
pub type ProgressFn = Option<unsafe extern "C" fn(user: *mut c_void, done: u64, total: u64) -> c_int>;

/// A flag that cancels calls from outside. Several calls may share one flag. Once triggered, it stays
/// triggered.
#[derive(Default)]
pub struct CancelFlag(Cancel);

/// Returns a new flag that is not triggered, never NULL. Free it with diskimg_cancel_free().
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_cancel_new() -> *mut CancelFlag {
    Box::into_raw(Box::default())
}

/// Makes every call that uses this flag stop as soon as possible. It is one atomic store: any thread and
/// any signal handler may call it. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_cancel_trigger(cancel: *const CancelFlag) {
    // SAFETY: the header requires NULL or a flag that is not freed.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.0.trigger();
    }
}

/// Frees a flag that no call uses any more. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_cancel_free(cancel: *mut CancelFlag) {
    // SAFETY: it came from Box::into_raw, and the header allows one free.
    unsafe { free(cancel) }
}

/// The progress report and the cancellation of one call.
pub(crate) struct CallProgress<'a> {
    progress: ProgressFn,
    user: UserPointer,
    cancel: Option<&'a CancelFlag>,
    caller: ThreadId,
    total: u64,
    done: AtomicU64,
    stopped: AtomicBool,
}

impl<'a> CallProgress<'a> {
    /// Reports the beginning.
    ///
    /// # Safety
    /// `cancel` is NULL or a flag that lives as long as this.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the caller cancels immediately.
    pub(crate) unsafe fn begin(
        progress: ProgressFn,
        user: *mut c_void,
        cancel: *const CancelFlag,
        total: u64,
    ) -> Result<Self> {
        // SAFETY: guaranteed by the caller.
        let cancel = unsafe { cancel.as_ref() };
        let reporter = Self {
            progress,
            user: UserPointer(user),
            cancel,
            caller: thread::current().id(),
            total,
            done: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        };
        match reporter.advance(0) {
            ControlFlow::Continue(()) => Ok(reporter),
            ControlFlow::Break(()) => {
                Err(Error::new(ErrorKind::Cancelled).because("cancelled before it began"))
            }
        }
    }

    /// Reports the end. It is too late to cancel then, so the result is ignored.
    pub(crate) fn end(&self) {
        if let Some(progress) = self.progress {
            let total = if self.total == 0 { self.done.load(Ordering::Relaxed) } else { self.total };
            // SAFETY: called as the header documents.
            unsafe { progress(self.user.0, total, total) };
        }
    }

    fn report(&self, done: u64) -> bool {
        let Some(progress) = self.progress else { return true };
        if thread::current().id() != self.caller {
            return true;
        }
        let done = if self.total == 0 { done } else { done.min(self.total) };
        // SAFETY: called as the header documents.
        unsafe { progress(self.user.0, done, self.total) == 0 }
    }
}

impl Progress for CallProgress<'_> {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let cancelled = self.cancel.is_some_and(|cancel| cancel.0.is_triggered());
        if cancelled || self.stopped.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.report(done) {
            return ControlFlow::Continue(());
        }
        self.stopped.store(true, Ordering::Relaxed);
        ControlFlow::Break(())
    }
}

/// A check of a cancel flag, for values that live no longer than the call that received the flag.
pub(crate) struct CancelCheck(*const CancelFlag);

// SAFETY: a flag is an atomic. The header requires it to live until the call returns, and every holder is dropped by
// then.
unsafe impl Send for CancelCheck {}
// SAFETY: as above.
unsafe impl Sync for CancelCheck {}

impl CancelCheck {
    /// # Safety
    /// `cancel` is NULL or a flag that lives as long as this.
    pub(crate) unsafe fn new(cancel: *const CancelFlag) -> Self {
        Self(cancel)
    }

    /// # Errors
    /// [`ErrorKind::Cancelled`] once the flag is triggered.
    pub(crate) fn check(&self) -> Result<()> {
        // SAFETY: the caller of `new` guarantees NULL or a live flag.
        match unsafe { self.0.as_ref() } {
            Some(cancel) if cancel.0.is_triggered() => {
                Err(Error::new(ErrorKind::Cancelled).because("cancelled by the caller"))
            }
            _ => Ok(()),
        }
    }
}
