//! The status codes, and the status of each error.

use std::ffi::c_char;

use diskimg::{Error, ErrorKind};

/// The result of a function: DISKIMG_OK or one of DISKIMG_ERR_*. New codes may be added: treat an unknown
/// one as a failure.
pub type StatusCode = i32;

/// Success.
pub const DISKIMG_OK: StatusCode = 0;
/// An invalid argument: a null pointer, an unknown flag or number, a wrong struct_size, an invalid option.
pub const DISKIMG_ERR_INVALID_ARGUMENT: StatusCode = 1;
/// The system or a callback failed. diskimg_error_os_code() returns the errno.
pub const DISKIMG_ERR_IO: StatusCode = 2;
/// The caller cancelled the call, with a progress or problem callback or with diskimg_cancel_trigger().
pub const DISKIMG_ERR_CANCELLED: StatusCode = 3;
/// No format is recognised, and raw was not requested.
pub const DISKIMG_ERR_UNKNOWN_FORMAT: StatusCode = 4;
/// The image is valid, but this build does not support its version, feature or format.
pub const DISKIMG_ERR_UNSUPPORTED: StatusCode = 5;
/// The image contradicts itself or its specification.
pub const DISKIMG_ERR_CORRUPT: StatusCode = 6;
/// The image ends before data that it refers to.
pub const DISKIMG_ERR_TRUNCATED: StatusCode = 7;
/// A limit of the caller or of the library is exceeded.
pub const DISKIMG_ERR_LIMIT: StatusCode = 8;
/// The image refers to another file, and access to that file is refused.
pub const DISKIMG_ERR_REFERENCE: StatusCode = 9;
/// The content is encrypted.
pub const DISKIMG_ERR_ENCRYPTED: StatusCode = 10;
/// The bytes are valid as more than one format.
pub const DISKIMG_ERR_AMBIGUOUS: StatusCode = 11;
/// The range extends past the end of the disk.
pub const DISKIMG_ERR_OUT_OF_BOUNDS: StatusCode = 12;
/// The source or target is a stream, and the operation must seek back.
pub const DISKIMG_ERR_NEEDS_SEEK: StatusCode = 13;
/// The target exists, or a block device holds an image, and DISKIMG_CONVERT_OVERWRITE is not set.
pub const DISKIMG_ERR_EXISTS: StatusCode = 14;
/// Another process uses the file: the image is locked, or the block device is mounted.
pub const DISKIMG_ERR_IN_USE: StatusCode = 15;
/// A bug in the library was caught. The handle is poisoned: every later call with it returns this status.
/// Close it.
pub const DISKIMG_ERR_INTERNAL: StatusCode = 99;

/// Returns the status of an error.
pub(crate) fn of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Io => DISKIMG_ERR_IO,
        ErrorKind::Truncated => DISKIMG_ERR_TRUNCATED,
        ErrorKind::Corrupt => DISKIMG_ERR_CORRUPT,
        ErrorKind::Unsupported => DISKIMG_ERR_UNSUPPORTED,
        ErrorKind::Encrypted => DISKIMG_ERR_ENCRYPTED,
        ErrorKind::Limit => DISKIMG_ERR_LIMIT,
        ErrorKind::Denied => DISKIMG_ERR_REFERENCE,
        ErrorKind::Ambiguous => DISKIMG_ERR_AMBIGUOUS,
        ErrorKind::UnknownFormat => DISKIMG_ERR_UNKNOWN_FORMAT,
        ErrorKind::OutOfBounds => DISKIMG_ERR_OUT_OF_BOUNDS,
        ErrorKind::NeedsSeek => DISKIMG_ERR_NEEDS_SEEK,
        ErrorKind::Cancelled => DISKIMG_ERR_CANCELLED,
        ErrorKind::Exists => DISKIMG_ERR_EXISTS,
        ErrorKind::InUse => DISKIMG_ERR_IN_USE,
        ErrorKind::InvalidInput => DISKIMG_ERR_INVALID_ARGUMENT,
        // `Internal`, and a kind that is missing here, which is a bug too.
        _ => DISKIMG_ERR_INTERNAL,
    }
}

/// Returns the name of a status, such as "corrupt"; "unknown" for an unknown number. The string is static
/// and never NULL. Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_status_name(status: StatusCode) -> *const c_char {
    let name = match status {
        DISKIMG_OK => c"ok",
        DISKIMG_ERR_INVALID_ARGUMENT => c"invalid-argument",
        DISKIMG_ERR_IO => c"io",
        DISKIMG_ERR_CANCELLED => c"cancelled",
        DISKIMG_ERR_UNKNOWN_FORMAT => c"unknown-format",
        DISKIMG_ERR_UNSUPPORTED => c"unsupported",
        DISKIMG_ERR_CORRUPT => c"corrupt",
        DISKIMG_ERR_TRUNCATED => c"truncated",
        DISKIMG_ERR_LIMIT => c"limit",
        DISKIMG_ERR_REFERENCE => c"reference",
        DISKIMG_ERR_ENCRYPTED => c"encrypted",
        DISKIMG_ERR_AMBIGUOUS => c"ambiguous",
        DISKIMG_ERR_OUT_OF_BOUNDS => c"out-of-bounds",
        DISKIMG_ERR_NEEDS_SEEK => c"needs-seek",
        DISKIMG_ERR_EXISTS => c"exists",
        DISKIMG_ERR_IN_USE => c"in-use",
        DISKIMG_ERR_INTERNAL => c"internal",
        _ => c"unknown",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_error_has_the_status_of_a_caught_bug() {
        assert_eq!(of(&Error::new(ErrorKind::Internal)), DISKIMG_ERR_INTERNAL);
    }
}
