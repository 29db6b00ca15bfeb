//! The errors of libzstd.

use diskimg_core::{Error, ErrorKind};
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
        code::VERSION_UNSUPPORTED | code::FRAME_PARAMETER_UNSUPPORTED | code::DICTIONARY_WRONG => {
            ErrorKind::Unsupported
        }
        code::WINDOW_TOO_LARGE | code::MEMORY_ALLOCATION => ErrorKind::Limit,
        _ => ErrorKind::Corrupt,
    };
    let why = match number(error) {
        code::DICTIONARY_WRONG => "the frame needs a dictionary",
        code::WINDOW_TOO_LARGE => "the frame needs a window larger than allowed",
        code::CHECKSUM_WRONG => "the checksum of the frame does not match its content",
        _ => {
            return Error::new(kind).because(format_args!("libzstd reports {:?}", get_error_name(error)));
        }
    };
    Error::new(kind).because(why)
}
