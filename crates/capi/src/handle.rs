//! Results and handles that the library stores through pointers of the caller.

use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use diskimg::Result;

use crate::argument::invalid;
use crate::strings::c_string;

/// True after a call with the handle panicked: the state of the handle is then unknown.
#[derive(Default)]
pub(crate) struct Poison(AtomicBool);

impl Poison {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A handle that a panic poisons.
pub(crate) trait Handle {
    fn poison(&self) -> &Poison;
}

/// A place for a result, in memory of the caller.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Stores `initial` at `out` immediately, so that every failure leaves that value.
    ///
    /// # Safety
    /// `out` is NULL or has room for a `T` while this lives.
    ///
    /// # Errors
    /// Rejects NULL.
    pub(crate) unsafe fn new(out: *mut T, field: &'static str, initial: T) -> Result<Self> {
        if out.is_null() {
            return Err(invalid(field, "a pointer to the result, not NULL"));
        }
        // SAFETY: not null, so there is room. The old value belongs to C and needs no drop.
        unsafe { out.write(initial) }
        Ok(Self(out))
    }

    /// Creates an output like [`Out::new`] that may be NULL if the caller does not need the result.
    ///
    /// # Safety
    /// As [`Out::new`].
    pub(crate) unsafe fn optional(out: *mut T, initial: T) -> Option<Self> {
        // SAFETY: guaranteed by the caller.
        unsafe { Self::new(out, "", initial) }.ok()
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: the caller of `new` guarantees the room while this lives.
        unsafe { self.0.write(value) }
    }
}

impl Out<*mut c_char> {
    /// A place for a string that the caller will own.
    ///
    /// # Safety
    /// As [`Out::new`].
    ///
    /// # Errors
    /// Rejects NULL.
    pub(crate) unsafe fn text(out: *mut *mut c_char, field: &'static str) -> Result<Self> {
        // SAFETY: guaranteed by the caller.
        unsafe { Self::new(out, field, std::ptr::null_mut()) }
    }

    pub(crate) fn set_text(&self, text: &str) {
        self.set(c_string(text).into_raw());
    }
}

/// A place for a handle that the caller will own.
pub(crate) struct NewHandle<T>(Out<*mut T>);

impl<T> NewHandle<T> {
    /// # Safety
    /// As [`Out::new`].
    ///
    /// # Errors
    /// Rejects NULL.
    pub(crate) unsafe fn new(out: *mut *mut T) -> Result<Self> {
        // SAFETY: guaranteed by the caller.
        unsafe { Out::new(out, "out", std::ptr::null_mut()) }.map(Self)
    }

    pub(crate) fn set(self, value: T) {
        self.0.set(Box::into_raw(Box::new(value)));
    }
}

/// Frees a handle, and contains a panic of its drop. NULL is ignored.
///
/// # Safety
/// NULL, or a handle from [`NewHandle`] or `Box::into_raw` that is not freed and not in use.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if handle.is_null() {
        return;
    }
    // SAFETY: guaranteed by the caller.
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(handle) })));
    // Dropping the payload of a panic may panic again.
    std::mem::forget(dropped);
}
