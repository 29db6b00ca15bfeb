//! Errors as handles that the caller owns.

use std::ffi::{CString, c_char, c_int};

use diskimg::{Error, Fault};

use crate::handle::free;
use crate::status::{self, DISKIMG_ERR_INTERNAL, DISKIMG_OK, StatusCode};
use crate::strings::c_string;

/// The party at fault is unknown to this header.
pub const DISKIMG_FAULT_UNKNOWN: u32 = 0;
/// The image: its bytes are damaged, unsupported or refused. Another attempt gives the same error.
pub const DISKIMG_FAULT_IMAGE: u32 = 1;
/// The caller: an argument, an option or a path is wrong, or the caller cancelled.
pub const DISKIMG_FAULT_CALLER: u32 = 2;
/// The machine: space, memory, devices, other processes, or a bug in the library. Another attempt may succeed.
pub const DISKIMG_FAULT_MACHINE: u32 = 3;

/// The error of a failed call, stored through the last parameter of most functions. Pass NULL there to
/// ignore it. `*err` is set to NULL on success. On failure it is set to an error that the caller owns and
/// frees with diskimg_error_free(). Its previous value is ignored. Any number of threads may read one
/// error.
pub struct ErrorReport {
    status: StatusCode,
    os_code: c_int,
    offset: Option<u64>,
    guest_offset: Option<u64>,
    message: CString,
    hint: Option<CString>,
    format: Option<CString>,
    limit: Option<CString>,
    fault: u32,
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
            format: error.format_name().map(|format| c_string(format.name())),
            limit: error.limit().map(|limit| c_string(limit.name())),
            fault: fault_number(error.fault()),
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
            format: None,
            limit: None,
            fault: DISKIMG_FAULT_MACHINE,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

fn fault_number(fault: Fault) -> u32 {
    match fault {
        Fault::Image => DISKIMG_FAULT_IMAGE,
        Fault::Caller => DISKIMG_FAULT_CALLER,
        Fault::Machine => DISKIMG_FAULT_MACHINE,
        _ => DISKIMG_FAULT_UNKNOWN,
    }
}

/// Returns the status that the failed function returned; DISKIMG_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_status(error: *const ErrorReport) -> StatusCode {
    // SAFETY: the header requires NULL or an error that is not freed.
    unsafe { error.as_ref() }.map_or(DISKIMG_OK, |error| error.status)
}

/// Returns the errno of the system or of a callback, such as ENOSPC; 0 if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_os_code(error: *const ErrorReport) -> c_int {
    // SAFETY: the header requires NULL or an error that is not freed.
    unsafe { error.as_ref() }.map_or(0, |error| error.os_code)
}

/// Returns a one-line message in UTF-8, without a full stop. It includes all causes: format, field, byte
/// offset, the value found and the value expected. Names from an image are escaped. Valid until the
/// error is freed. Returns "" for NULL, never NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_message(error: *const ErrorReport) -> *const c_char {
    // SAFETY: the header requires NULL or an error that is not freed.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// Returns a sentence that suggests how the caller can avoid the error; NULL if there is none. Valid until
/// the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_hint(error: *const ErrorReport) -> *const c_char {
    // SAFETY: the header requires NULL or an error that is not freed.
    text_of(unsafe { error.as_ref() }.and_then(|error| error.hint.as_ref()))
}

/// Returns the name of the format that was recognised, also of one that is not supported: "vhdx", "luks",
/// "qed"; NULL if none was recognised. Valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_format(error: *const ErrorReport) -> *const c_char {
    // SAFETY: the header requires NULL or an error that is not freed.
    text_of(unsafe { error.as_ref() }.and_then(|error| error.format.as_ref()))
}

/// Returns the name of the limit that was exceeded, for `limits` of diskimg_open_options, such as
/// "virtual-size"; NULL if it is no limit that the caller can change. Valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_limit(error: *const ErrorReport) -> *const c_char {
    // SAFETY: the header requires NULL or an error that is not freed.
    text_of(unsafe { error.as_ref() }.and_then(|error| error.limit.as_ref()))
}

/// Returns the party that has to change something before the same call can succeed: one of DISKIMG_FAULT_*.
/// DISKIMG_FAULT_UNKNOWN for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_fault(error: *const ErrorReport) -> u32 {
    // SAFETY: the header requires NULL or an error that is not freed.
    unsafe { error.as_ref() }.map_or(DISKIMG_FAULT_UNKNOWN, |error| error.fault)
}

fn text_of(text: Option<&CString>) -> *const c_char {
    text.map_or(std::ptr::null(), |text| text.as_ptr())
}

/// Returns true if the error has a byte offset in the image file, and stores it in `*file_offset`, which
/// may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_offset(error: *const ErrorReport, file_offset: *mut u64) -> bool {
    // SAFETY: the header requires NULL or an error that is not freed, and NULL or room for a number.
    unsafe { store_offset(error.as_ref().and_then(|error| error.offset), file_offset) }
}

/// Returns true if the error has a byte offset in the guest's disk, and stores it in `*guest_offset`, which
/// may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_guest_offset(
    error: *const ErrorReport,
    guest_offset: *mut u64,
) -> bool {
    // SAFETY: the header requires NULL or an error that is not freed, and NULL or room for a number.
    unsafe { store_offset(error.as_ref().and_then(|error| error.guest_offset), guest_offset) }
}

/// # Safety
/// `out` is NULL or has room for a number.
unsafe fn store_offset(offset: Option<u64>, out: *mut u64) -> bool {
    if let (Some(offset), false) = (offset, out.is_null()) {
        // SAFETY: not null, so there is room.
        unsafe { out.write(offset) }
    }
    offset.is_some()
}

/// Frees an error. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_error_free(error: *mut ErrorReport) {
    // SAFETY: guard.rs made it with Box::into_raw, and the header allows one free.
    unsafe { free(error) }
}
