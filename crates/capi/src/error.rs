//! Errors as handles that the caller owns.

use std::ffi::{CString, c_char, c_int};

use diskimg::Error;

use crate::status::{self, DISKIMG_ERR_INTERNAL, DISKIMG_OK, Status};
use crate::strings::c_string;

/// What went wrong. Filled in by the last parameter of most functions, which may be NULL if nobody wants to
/// know: `*err` becomes NULL on success, and on failure an error that is the caller's, to be freed with
/// diskimg_error_free(). What it held before is not looked at. Any number of threads may read one error.
pub struct ErrorReport {
    status: Status,
    os_code: c_int,
    offset: Option<u64>,
    guest_offset: Option<u64>,
    message: CString,
    hint: Option<CString>,
}

impl ErrorReport {
    pub(crate) fn new(error: &Error) -> Self {
        Self {
            status: status::of(error),
            os_code: error.os_error().unwrap_or(0),
            offset: error.offset(),
            guest_offset: error.guest_offset(),
            message: c_string(&error.to_string()),
            hint: error.remedy().map(|remedy| c_string(&remedy.to_string())),
        }
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self {
            status: DISKIMG_ERR_INTERNAL,
            os_code: 0,
            offset: None,
            guest_offset: None,
            message: c_string(message),
            hint: None,
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }
}

/// The status that the failed function returned; DISKIMG_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_status(error: *const ErrorReport) -> Status {
    // SAFETY: the header asks for NULL or an error that is not freed.
    unsafe { error.as_ref() }.map_or(DISKIMG_OK, |error| error.status)
}

/// The errno of the system or of a callback, such as ENOSPC; 0 if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_os_code(error: *const ErrorReport) -> c_int {
    // SAFETY: the header asks for NULL or an error that is not freed.
    unsafe { error.as_ref() }.map_or(0, |error| error.os_code)
}

/// What went wrong in one line of UTF-8 without a full stop, with all causes: format, field, byte offset, what
/// was found and what was expected. Names taken from an image are escaped. Lives as long as the error; ""
/// for NULL, never NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_message(error: *const ErrorReport) -> *const c_char {
    // SAFETY: the header asks for NULL or an error that is not freed.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// What the caller could do about it, in words; NULL if that is not known. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_hint(error: *const ErrorReport) -> *const c_char {
    // SAFETY: the header asks for NULL or an error that is not freed.
    let hint = unsafe { error.as_ref() }.and_then(|error| error.hint.as_ref());
    hint.map_or(std::ptr::null(), |hint| hint.as_ptr())
}

/// Whether it is known where in the image file the error lies; then the byte offset is stored in *file_offset,
/// which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_offset(error: *const ErrorReport, file_offset: *mut u64) -> bool {
    // SAFETY: the header asks for NULL or an error that is not freed, and for NULL or room for a number.
    unsafe { known(error.as_ref().and_then(|error| error.offset), file_offset) }
}

/// Whether it is known which byte of the guest's disk was wanted; then its offset is stored in *guest_offset,
/// which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_guest_offset(
    error: *const ErrorReport,
    guest_offset: *mut u64,
) -> bool {
    // SAFETY: the header asks for NULL or an error that is not freed, and for NULL or room for a number.
    unsafe { known(error.as_ref().and_then(|error| error.guest_offset), guest_offset) }
}

/// # Safety
/// `out` is NULL or has room for a number.
unsafe fn known(offset: Option<u64>, out: *mut u64) -> bool {
    if let (Some(offset), false) = (offset, out.is_null()) {
        // SAFETY: not null, so there is room.
        unsafe { out.write(offset) }
    }
    offset.is_some()
}

/// Frees an error. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_free(error: *mut ErrorReport) {
    if !error.is_null() {
        // SAFETY: it came out of Box::into_raw in guard.rs, and the header asks to free it once.
        drop(unsafe { Box::from_raw(error) });
    }
}
