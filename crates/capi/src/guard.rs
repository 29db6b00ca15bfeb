//! The border: no panic crosses it, and no null pointer.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use diskimg::{Error, ErrorKind, Result};

use crate::error::ErrorReport;
use crate::status::{DISKIMG_OK, Status};

/// Whether a call panicked in the middle of its work: nothing is to be expected of the handle then.
#[derive(Default)]
pub(crate) struct Poison(AtomicBool);

impl Poison {
    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A handle that a panic poisons.
pub(crate) trait Handle {
    fn poison(&self) -> &Poison;
}

/// Runs `body`; reports its error, or its panic.
///
/// # Safety
/// `err` is NULL or has room for a pointer.
pub(crate) unsafe fn call(err: *mut *mut ErrorReport, body: impl FnOnce() -> Result<()>) -> Status {
    if !err.is_null() {
        // SAFETY: not null, so there is room.
        unsafe { err.write(std::ptr::null_mut()) }
    }
    let report = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return DISKIMG_OK,
        Ok(Err(error)) => ErrorReport::new(&error),
        Err(panic) => {
            let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
                (Some(text), _) => text,
                (None, Some(text)) => text.as_str(),
                (None, None) => "a panic",
            };
            let report = ErrorReport::internal(&format!("internal error, please report it: {message}"));
            // Dropping what a panic carries may panic again, and that one would cross the border.
            std::mem::forget(panic);
            report
        }
    };
    // SAFETY: the caller's promise.
    unsafe { fail(err, report) }
}

/// # Safety
/// As [`call`].
unsafe fn fail(err: *mut *mut ErrorReport, report: ErrorReport) -> Status {
    let status = report.status();
    if !err.is_null() {
        // SAFETY: not null, so there is room.
        unsafe { err.write(Box::into_raw(Box::new(report))) }
    }
    status
}

/// Runs `body` with what a handle points to, and poisons that if it panics.
///
/// # Safety
/// `handle` is NULL or points to a live `T` that nobody else changes meanwhile; `err` as for [`call`].
pub(crate) unsafe fn with<T: Handle>(
    handle: *const T,
    err: *mut *mut ErrorReport,
    body: impl FnOnce(&T) -> Result<()>,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe {
        let handle = handle.as_ref();
        if handle.is_some_and(|handle| handle.poison().is_set()) {
            return fail(err, poisoned());
        }
        call(err, || {
            let handle = handle.ok_or_else(null_handle)?;
            let done = catch_unwind(AssertUnwindSafe(|| body(handle)));
            done.unwrap_or_else(|panic| {
                handle.poison().set();
                resume_unwind(panic)
            })
        })
    }
}

/// The same with a handle that `body` may change.
///
/// # Safety
/// As [`with`], and nobody else uses the handle meanwhile.
pub(crate) unsafe fn with_mut<T: Handle>(
    handle: *mut T,
    err: *mut *mut ErrorReport,
    body: impl FnOnce(&mut T) -> Result<()>,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe {
        if handle.as_ref().is_some_and(|handle| handle.poison().is_set()) {
            return fail(err, poisoned());
        }
        call(err, || {
            let handle = handle.as_mut().ok_or_else(null_handle)?;
            let done = catch_unwind(AssertUnwindSafe(|| body(handle)));
            done.unwrap_or_else(|panic| {
                handle.poison().set();
                resume_unwind(panic)
            })
        })
    }
}

fn null_handle() -> Error {
    invalid("handle", "a handle, and not NULL")
}

fn poisoned() -> ErrorReport {
    ErrorReport::internal("an earlier call with this handle met an internal error")
}

/// Room for a result of the caller's.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Room at `out`, which is filled with `first` at once, so that every failure leaves that.
    ///
    /// # Safety
    /// `out` is NULL or has room for a `T` as long as this lives.
    ///
    /// # Errors
    /// NULL.
    pub(crate) unsafe fn new(out: *mut T, field: &'static str, first: T) -> Result<Self> {
        if out.is_null() {
            return Err(invalid(field, "room for the result, and not NULL"));
        }
        // SAFETY: not null, so there is room; what was there needs no drop: it is C's.
        unsafe { out.write(first) }
        Ok(Self(out))
    }

    /// The same where the caller may not want the result.
    ///
    /// # Safety
    /// As [`Out::new`].
    pub(crate) unsafe fn optional(out: *mut T, first: T) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::new(out, "", first) }.ok()
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: `new` was promised that there is room as long as this lives.
        unsafe { self.0.write(value) }
    }
}

/// Room for a handle that the caller will own.
pub(crate) struct NewHandle<T>(Out<*mut T>);

impl<T> NewHandle<T> {
    /// # Safety
    /// As [`Out::new`].
    ///
    /// # Errors
    /// NULL.
    pub(crate) unsafe fn new(out: *mut *mut T) -> Result<Self> {
        // SAFETY: the caller's promise.
        unsafe { Out::new(out, "out", std::ptr::null_mut()) }.map(Self)
    }

    pub(crate) fn set(self, value: T) {
        self.0.set(Box::into_raw(Box::new(value)));
    }
}

/// The error of an argument that cannot be meant.
pub(crate) fn invalid(field: &'static str, expected: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput).field(field).expected(expected)
}

/// Whether `flags` has only bits of `known`.
///
/// # Errors
/// The unknown bits.
pub(crate) fn check_flags(flags: u32, known: u32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(invalid("flags", format_args!("no bits but {known:#x}")).found_hex(unknown)),
    }
}
