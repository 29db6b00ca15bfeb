//! Strings across the border.

use std::ffi::{CStr, CString, c_char};
use std::path::PathBuf;

use diskimg::{Error, ErrorKind, Result};

use crate::guard::invalid;

/// `text` for C; a NUL inside, which only a stranger's bytes can hold, becomes a replacement character.
pub(crate) fn c_string(text: &str) -> CString {
    match CString::new(text) {
        Ok(text) => text,
        Err(_) => CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default(),
    }
}

/// The text at `text`; `None` for NULL.
///
/// # Safety
/// NULL or a string that ends with a NUL and lives as long as the result is used.
///
/// # Errors
/// What is not UTF-8.
pub(crate) unsafe fn optional<'a>(text: *const c_char, field: &'static str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, and the caller promises the rest.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| {
        Error::new(ErrorKind::InvalidInput).field(field).found_name(text.to_bytes()).expected("UTF-8")
    })
}

/// The path at `path`.
///
/// # Safety
/// As [`optional`].
///
/// # Errors
/// NULL, and what cannot be a path.
pub(crate) unsafe fn path(path: *const c_char) -> Result<PathBuf> {
    if path.is_null() {
        return Err(invalid("path", "a path, and not NULL"));
    }
    // SAFETY: not null, and the caller promises the rest.
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

/// Frees a string that a function of this library gave away. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: it came out of CString::into_raw, and the header asks to free it once.
        drop(unsafe { CString::from_raw(string) });
    }
}
