//! What a function returns, and which error is which status.

use std::ffi::c_char;

use diskimg::{Error, ErrorKind};

/// What a function returns: DISKIMG_OK, or one of DISKIMG_ERR_*. The set grows: treat a number you do not know
/// as a failure.
pub type Status = i32;

/// Done.
pub const DISKIMG_OK: Status = 0;
/// A null pointer, an unknown flag or number, a wrong struct_size, an option that cannot be meant.
pub const DISKIMG_ERR_INVALID_ARGUMENT: Status = 1;
/// The system or a callback failed: diskimg_error_os_code() has its errno.
pub const DISKIMG_ERR_IO: Status = 2;
/// The caller stopped it: a progress or problem callback, or diskimg_cancel_trigger().
pub const DISKIMG_ERR_CANCELLED: Status = 3;
/// No format is recognised, and raw was not asked for.
pub const DISKIMG_ERR_UNKNOWN_FORMAT: Status = 4;
/// Valid, but a version, feature or format that this build cannot do.
pub const DISKIMG_ERR_UNSUPPORTED: Status = 5;
/// The image contradicts itself or its specification.
pub const DISKIMG_ERR_CORRUPT: Status = 6;
/// The image ends before something it promises.
pub const DISKIMG_ERR_TRUNCATED: Status = 7;
/// A limit of the caller or of the library stopped it.
pub const DISKIMG_ERR_LIMIT: Status = 8;
/// The image names another file, and may not have it.
pub const DISKIMG_ERR_REFERENCE: Status = 9;
/// The content is encrypted.
pub const DISKIMG_ERR_ENCRYPTED: Status = 10;
/// The bytes are valid as more than one format.
pub const DISKIMG_ERR_AMBIGUOUS: Status = 11;
/// The range lies past the end of the disk.
pub const DISKIMG_ERR_OUT_OF_BOUNDS: Status = 12;
/// The source or target is a stream, and the work has to go back.
pub const DISKIMG_ERR_NEEDS_SEEK: Status = 13;
/// The target exists, and DISKIMG_CONVERT_OVERWRITE is not given.
pub const DISKIMG_ERR_EXISTS: Status = 14;
/// A bug of the library, caught. The handle is poisoned: every later call with it fails the same way; close it.
pub const DISKIMG_ERR_INTERNAL: Status = 99;

/// The status that tells of an error.
pub(crate) fn of(error: &Error) -> Status {
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
        ErrorKind::InvalidInput if exists_already(error) => DISKIMG_ERR_EXISTS,
        ErrorKind::InvalidInput => DISKIMG_ERR_INVALID_ARGUMENT,
        // `Internal`, and a kind that this file does not know, which is a bug too.
        _ => DISKIMG_ERR_INTERNAL,
    }
}

fn exists_already(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::AlreadyExists)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The name of a status, such as "corrupt"; "unknown" for a number that is none. Static, never NULL. Any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_status_name(status: Status) -> *const c_char {
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
