//! Telling the caller of progress, and being stopped.

use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use diskimg::{Cancel, Error, ErrorKind, Progress, Result};

use crate::io::User;

/// Told of progress, always on the thread that made the call: first of 0 bytes, in the end of all, and never of fewer
/// than before. `total` is 0 where it is not known, as with a stream: `done` then counts the image's bytes that came,
/// unwrapped, and where it is kept first those of the disk beside them. Non-zero stops the work with
/// DISKIMG_ERR_CANCELLED.
pub type ProgressFn = Option<unsafe extern "C" fn(user: *mut c_void, done: u64, total: u64) -> c_int>;

/// A flag that stops work from outside. One may serve several calls; once triggered it stays so.
#[derive(Default)]
pub struct CancelFlag(Cancel);

/// A new flag, not triggered; to be freed with diskimg_cancel_free(). Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_cancel_new() -> *mut CancelFlag {
    Box::into_raw(Box::default())
}

/// Stops every call that was given this flag, soon. One atomic store: may be called from any thread, and from a
/// signal handler. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_cancel_trigger(cancel: *const CancelFlag) {
    // SAFETY: the header asks for NULL or a flag that is not freed.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.0.trigger();
    }
}

/// Frees a flag that no call uses any more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_cancel_free(cancel: *mut CancelFlag) {
    if !cancel.is_null() {
        // SAFETY: it came out of Box::into_raw, and the header asks to free it once.
        drop(unsafe { Box::from_raw(cancel) });
    }
}

/// How the caller of one call is told, and stops it.
pub(crate) struct Told<'a> {
    progress: ProgressFn,
    user: User,
    cancel: Option<&'a CancelFlag>,
    caller: ThreadId,
    total: u64,
    done: AtomicU64,
    stopped: AtomicBool,
}

impl<'a> Told<'a> {
    /// Tells of the beginning.
    ///
    /// # Safety
    /// `cancel` is NULL or a flag that lives as long as this.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when the caller wants no work at all.
    pub(crate) unsafe fn begin(
        progress: ProgressFn,
        user: *mut c_void,
        cancel: *const CancelFlag,
        total: u64,
    ) -> Result<Self> {
        // SAFETY: the caller's promise.
        let cancel = unsafe { cancel.as_ref() };
        let told = Self {
            progress,
            user: User(user),
            cancel,
            caller: thread::current().id(),
            total,
            done: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        };
        match told.advance(0) {
            ControlFlow::Continue(()) => Ok(told),
            ControlFlow::Break(()) => {
                Err(Error::new(ErrorKind::Cancelled).because("cancelled before it began"))
            }
        }
    }

    /// Tells of the end, at which nobody can stop it any more.
    pub(crate) fn end(&self) {
        if let Some(progress) = self.progress {
            let total = if self.total == 0 { self.done.load(Ordering::Relaxed) } else { self.total };
            // SAFETY: a function of the caller's, called as the header says.
            unsafe { progress(self.user.0, total, total) };
        }
    }

    fn tell(&self, done: u64) -> bool {
        let Some(progress) = self.progress else { return true };
        if thread::current().id() != self.caller {
            return true;
        }
        let done = if self.total == 0 { done } else { done.min(self.total) };
        // SAFETY: a function of the caller's, called as the header says.
        unsafe { progress(self.user.0, done, self.total) == 0 }
    }
}

impl Progress for Told<'_> {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let cancelled = self.cancel.is_some_and(|cancel| cancel.0.is_triggered());
        if cancelled || self.stopped.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.tell(done) {
            return ControlFlow::Continue(());
        }
        self.stopped.store(true, Ordering::Relaxed);
        ControlFlow::Break(())
    }
}

/// A flag for whatever outlives no call that got it.
pub(crate) struct Stop(*const CancelFlag);

// SAFETY: a flag is an atomic, and the header asks to keep it until the call that got it returns; what holds this
// is dropped by then.
unsafe impl Send for Stop {}
// SAFETY: as above.
unsafe impl Sync for Stop {}

impl Stop {
    /// # Safety
    /// `cancel` is NULL or a flag that lives as long as this.
    pub(crate) unsafe fn new(cancel: *const CancelFlag) -> Self {
        Self(cancel)
    }

    /// # Errors
    /// [`ErrorKind::Cancelled`] once the flag is triggered.
    pub(crate) fn check(&self) -> Result<()> {
        // SAFETY: `new` was promised that it is NULL or alive.
        match unsafe { self.0.as_ref() } {
            Some(cancel) if cancel.0.is_triggered() => {
                Err(Error::new(ErrorKind::Cancelled).because("cancelled by the caller"))
            }
            _ => Ok(()),
        }
    }
}
