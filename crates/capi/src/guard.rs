//! The boundary between C and Rust: no panic and no null handle crosses it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use diskimg::{Error, Result};

use crate::argument::invalid;
use crate::error::ErrorReport;
use crate::handle::{Handle, NewHandle};
use crate::status::{DISKIMG_OK, StatusCode};

/// Runs `body` and reports its error or its panic.
///
/// # Safety
/// `err` is NULL or has room for a pointer.
pub(crate) unsafe fn call(err: *mut *mut ErrorReport, body: impl FnOnce() -> Result<()>) -> StatusCode {
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
            // Dropping the payload may panic again, outside of `catch_unwind`.
            std::mem::forget(panic);
            report
        }
    };
    // SAFETY: guaranteed by the caller.
    unsafe { fail(err, report) }
}

/// Runs `body` as [`call`] does and stores the handle that it returns in `*out`, which is NULL after a
/// failure.
///
/// # Safety
/// As [`call`]; `out` is NULL or has room for a pointer.
pub(crate) unsafe fn create_handle<T>(
    out: *mut *mut T,
    err: *mut *mut ErrorReport,
    body: impl FnOnce() -> Result<T>,
) -> StatusCode {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(err, || {
            let out = NewHandle::new(out)?;
            out.set(body()?);
            Ok(())
        })
    }
}

/// # Safety
/// As [`call`].
unsafe fn fail(err: *mut *mut ErrorReport, report: ErrorReport) -> StatusCode {
    let status = report.status();
    if !err.is_null() {
        // SAFETY: not null, so there is room.
        unsafe { err.write(Box::into_raw(Box::new(report))) }
    }
    status
}

/// Runs `body` with a shared handle, and poisons the handle if `body` panics.
///
/// # Safety
/// `handle` is NULL or points to a live `T` that nothing changes during the call; `err` as for [`call`].
pub(crate) unsafe fn with<T: Handle>(
    handle: *const T,
    err: *mut *mut ErrorReport,
    body: impl FnOnce(&T) -> Result<()>,
) -> StatusCode {
    // SAFETY: guaranteed by the caller; nothing is written through the pointer.
    unsafe { with_handle(handle.cast_mut(), err, |handle| body(&*handle)) }
}

/// Runs `body` with an exclusive handle, and poisons the handle if `body` panics.
///
/// # Safety
/// As [`with`], and nothing else uses the handle during the call.
pub(crate) unsafe fn with_mut<T: Handle>(
    handle: *mut T,
    err: *mut *mut ErrorReport,
    body: impl FnOnce(&mut T) -> Result<()>,
) -> StatusCode {
    // SAFETY: guaranteed by the caller.
    unsafe { with_handle(handle, err, |handle| body(&mut *handle)) }
}

/// # Safety
/// `handle` is NULL or valid for whatever `body` does with it; `err` as for [`call`].
unsafe fn with_handle<T: Handle>(
    handle: *mut T,
    err: *mut *mut ErrorReport,
    body: impl FnOnce(*mut T) -> Result<()>,
) -> StatusCode {
    // SAFETY: guaranteed by the caller. No reference to the handle lives while `body` runs.
    unsafe {
        if handle.as_ref().is_some_and(|handle| handle.poison().is_set()) {
            return fail(
                err,
                ErrorReport::internal("an earlier call with this handle met an internal error"),
            );
        }
        call(err, || {
            if handle.is_null() {
                return Err(null_handle());
            }
            catch_unwind(AssertUnwindSafe(|| body(handle))).unwrap_or_else(|panic| {
                (*handle).poison().set();
                resume_unwind(panic)
            })
        })
    }
}

fn null_handle() -> Error {
    invalid("handle", "a handle, not NULL")
}
