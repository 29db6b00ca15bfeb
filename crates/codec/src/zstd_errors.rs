//! The errors of libzstd.

use diskimg_core::{Error, ErrorKind, Fault};
use zstd::zstd_safe::{ErrorCode, get_error_name};

/// Error numbers of `zstd_errors.h` of zstd 1.5. Numbers below 100 are stable since 1.3.1.
pub(crate) mod code {
    pub(crate) const VERSION_UNSUPPORTED: usize = 12;
    pub(crate) const FRAME_PARAMETER_UNSUPPORTED: usize = 14;
    pub(crate) const WINDOW_TOO_LARGE: usize = 16;
    pub(crate) const CHECKSUM_WRONG: usize = 22;
    pub(crate) const DICTIONARY_WRONG: usize = 32;
    pub(crate) const MEMORY_ALLOCATION: usize = 64;
}

/// Returns the number of an error. libzstd returns it negated.
pub(crate) fn number(error: ErrorCode) -> usize {
    error.wrapping_neg()
}

/// Converts an error of decoding.
pub(crate) fn decode_error(error: ErrorCode) -> Error {
    let kind = match number(error) {
        code::DICTIONARY_WRONG => {
            return Error::new(ErrorKind::Unsupported).because("the frame needs a dictionary");
        }
        code::WINDOW_TOO_LARGE => {
            return Error::new(ErrorKind::Limit).because("the frame needs a window larger than allowed");
        }
        code::CHECKSUM_WRONG => {
            return Error::new(ErrorKind::Corrupt)
                .because("the checksum of the frame does not match its content");
        }
        code::VERSION_UNSUPPORTED | code::FRAME_PARAMETER_UNSUPPORTED => ErrorKind::Unsupported,
        code::MEMORY_ALLOCATION => return no_memory(),
        _ => ErrorKind::Corrupt,
    };
    Error::new(kind).because(format_args!("libzstd reports {:?}", get_error_name(error)))
}

/// Returns the error for a context that libzstd cannot allocate.
pub(crate) fn no_memory() -> Error {
    Error::new(ErrorKind::Limit).because("no memory for a zstd context").with_fault(Fault::Machine)
}
