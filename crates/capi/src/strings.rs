//! Strings to and from C.

use std::ffi::{CStr, CString, c_char};
use std::path::PathBuf;

use diskimg::{Error, ErrorKind, Result};

use crate::argument::invalid;

/// Returns `text` for C. A NUL inside, possible only in bytes of an image, becomes U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    match CString::new(text) {
        Ok(text) => text,
        Err(_) => CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default(),
    }
}

/// Returns the text at `text`; `None` for NULL.
///
/// # Safety
/// NULL, or a string that ends with a NUL and stays unchanged while the result is in use.
///
/// # Errors
/// Rejects bytes that are not UTF-8.
pub(crate) unsafe fn optional<'a>(text: *const c_char, field: &'static str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, and the caller guarantees the rest.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| {
        Error::new(ErrorKind::InvalidInput).field(field).found_name(text.to_bytes()).expected("UTF-8")
    })
}

/// Returns the path at `path`.
///
/// # Safety
/// As [`optional`].
///
/// # Errors
/// Rejects NULL and invalid paths.
pub(crate) unsafe fn path(path: *const c_char) -> Result<PathBuf> {
    if path.is_null() {
        return Err(invalid("path", "a path, not NULL"));
    }
    // SAFETY: not null, and the caller guarantees the rest.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Ok(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
    }
    #[cfg(not(unix))]
    {
        let text = std::str::from_utf8(bytes).map_err(|_| invalid("path", "UTF-8"))?;
        Ok(PathBuf::from(text))
    }
}

/// Frees a string that this library returned for the caller to own. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: it came out of CString::into_raw, and the header allows one free.
        drop(unsafe { CString::from_raw(string) });
    }
}
