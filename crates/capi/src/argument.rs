//! Checks of arguments that C passes.

use std::ffi::c_void;

use diskimg::{Error, ErrorKind, Result};

/// Returns the error of an invalid argument.
pub(crate) fn invalid(field: &'static str, expected: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput).field(field).expected(expected)
}

/// Checks that `flags` has no bits outside `known`.
///
/// # Errors
/// Reports the unknown bits.
pub(crate) fn check_flags(flags: u32, known: u32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(invalid("flags", format_args!("no bits outside {known:#x}")).found_hex(unknown)),
    }
}

/// Checks that a reserved member is 0.
///
/// # Errors
/// Reports its value.
pub(crate) fn check_reserved(reserved: u32) -> Result<()> {
    if reserved == 0 { Ok(()) } else { Err(invalid("reserved", 0).found_hex(reserved)) }
}

/// Returns the `len` bytes at `data`. NULL is valid for a length of 0.
///
/// # Safety
/// `data` is NULL, or readable for `len` bytes that stay unchanged while the result is in use.
///
/// # Errors
/// Rejects NULL with a length, and a length larger than memory.
pub(crate) unsafe fn bytes<'a>(data: *const c_void, len: usize, field: &'static str) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    check_buffer(data.is_null(), len, field)?;
    // SAFETY: not null, no longer than memory, and the caller guarantees the rest.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// Returns the buffer of `len` bytes at `data`.
///
/// # Safety
/// `data` is NULL, or writable for `len` bytes that nothing else uses during the call. Their content
/// does not matter: sources write the buffer and never read it.
///
/// # Errors
/// Rejects NULL, and a length larger than memory.
pub(crate) unsafe fn buffer<'a>(data: *mut c_void, len: usize, field: &'static str) -> Result<&'a mut [u8]> {
    check_buffer(data.is_null(), len, field)?;
    // SAFETY: not null, no longer than memory, and the caller guarantees the rest.
    Ok(unsafe { std::slice::from_raw_parts_mut(data.cast(), len) })
}

fn check_buffer(is_null: bool, len: usize, field: &'static str) -> Result<()> {
    if is_null {
        return Err(invalid(field, "a pointer to a buffer, not NULL"));
    }
    if isize::try_from(len).is_err() {
        return Err(invalid("len", "a length that fits in memory").found(len));
    }
    Ok(())
}
