//! Progress reports to the caller, and cancellation.

use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use diskimg::{Cancel, Progress, Result};

use crate::handle::free;
use crate::io::UserPointer;

/// Receives progress in bytes, always on the thread that made the call. `done` starts at 0, never
/// decreases, and ends at `total`. `total` is 0 while it is unknown, as for a stream. `done` then counts
/// the bytes of the image after decompression, plus the bytes of the disk if the image goes through a
/// temporary file first. A non-zero result cancels the call with DISKIMG_ERR_CANCELLED; that of the last
/// call, after the end, has no effect.
pub type ProgressFn = Option<unsafe extern "C" fn(user: *mut c_void, done: u64, total: u64) -> c_int>;

/// A flag that cancels calls from outside. Several calls may share one flag. Once triggered, it stays
/// triggered.
#[derive(Default)]
pub struct CancelFlag(Arc<Cancel>);

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

/// The progress callback and the cancel flag of one options structure.
pub(crate) struct CallHooks {
    progress: ProgressFn,
    user: UserPointer,
    cancel: Option<Arc<Cancel>>,
}

impl CallHooks {
    /// # Safety
    /// `cancel` is NULL or a flag that is not freed.
    pub(crate) unsafe fn new(progress: ProgressFn, user: *mut c_void, cancel: *const CancelFlag) -> Self {
        // SAFETY: guaranteed by the caller.
        let cancel = unsafe { cancel.as_ref() }.map(|flag| Arc::clone(&flag.0));
        Self { progress, user: UserPointer(user), cancel }
    }

    /// Returns the flag.
    pub(crate) fn cancel(&self) -> Option<Arc<Cancel>> {
        self.cancel.clone()
    }
}

/// The progress report and the cancellation of one call.
pub(crate) struct CallProgress {
    hooks: Vec<CallHooks>,
    caller: ThreadId,
    total: u64,
    done: AtomicU64,
    stopped: AtomicBool,
}

impl CallProgress {
    /// Reports the beginning.
    ///
    /// # Errors
    /// [`Cancelled`](diskimg::ErrorKind::Cancelled) if the caller cancels immediately.
    pub(crate) fn begin(hooks: Vec<CallHooks>, total: u64) -> Result<Self> {
        let caller = thread::current().id();
        let reporter =
            Self { hooks, caller, total, done: AtomicU64::new(0), stopped: AtomicBool::new(false) };
        reporter.report(0).map(|()| reporter)
    }

    /// Reports the end. It is too late to cancel then, so the result is ignored.
    pub(crate) fn end(&self) {
        let total = if self.total == 0 { self.done.load(Ordering::Relaxed) } else { self.total };
        self.call(total, total);
    }

    /// Returns checks of the flags for a value that outlives this one.
    pub(crate) fn cancel_checks(&self) -> CancelChecks {
        CancelChecks(self.hooks.iter().filter_map(|hooks| hooks.cancel.clone()).collect())
    }

    fn call_if_caller(&self, done: u64) -> bool {
        if thread::current().id() != self.caller {
            return true;
        }
        let done = if self.total == 0 { done } else { done.min(self.total) };
        self.call(done, self.total)
    }

    /// Calls each callback. Returns false if one cancels.
    fn call(&self, done: u64, total: u64) -> bool {
        let mut goes_on = true;
        for hooks in &self.hooks {
            if let Some(progress) = hooks.progress {
                // SAFETY: called as the header documents.
                goes_on &= unsafe { progress(hooks.user.0, done, total) } == 0;
            }
        }
        goes_on
    }
}

impl Progress for CallProgress {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let mut flags = self.hooks.iter().filter_map(|hooks| hooks.cancel.as_ref());
        let cancelled = flags.any(|cancel| cancel.is_triggered());
        if cancelled || self.stopped.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.call_if_caller(done) {
            return ControlFlow::Continue(());
        }
        self.stopped.store(true, Ordering::Relaxed);
        ControlFlow::Break(())
    }
}

/// Checks of cancel flags.
pub(crate) struct CancelChecks(Vec<Arc<Cancel>>);

impl CancelChecks {
    /// # Errors
    /// [`Cancelled`](diskimg::ErrorKind::Cancelled) once a flag is triggered.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.iter().try_for_each(|cancel| cancel.report(0))
    }
}
