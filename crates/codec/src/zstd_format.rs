//! What a zstd frame header says, and what the library's errors mean.
//!
//! Source: RFC 8878, section 3.1.1.1 (frame header) and 3.1.2 (skippable frames).

use diskimg_core::{Error, ErrorKind};
use zstd::zstd_safe::{ErrorCode, get_error_name};

const MAGIC: u32 = 0xFD2F_B528;

/// The bytes that the decoder of the frame at the start of `input` keeps: its window, or all of it for a
/// frame of a single segment. `None` when no frame of data starts there or its header is not whole.
pub(crate) fn window_size(input: &[u8]) -> Option<u64> {
    let (magic, rest) = input.split_first_chunk::<4>()?;
    let (&descriptor, rest) = rest.split_first()?;
    if u32::from_le_bytes(*magic) != MAGIC {
        return None;
    }
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let window = *rest.first()?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary_id_len = match descriptor & 3 {
        3 => 4,
        len => usize::from(len),
    };
    let size = rest.get(dictionary_id_len..)?;
    match descriptor >> 6 {
        0 => size.first().map(|&byte| u64::from(byte)),
        1 => size.first_chunk().map(|&bytes| u64::from(u16::from_le_bytes(bytes)) + 256),
        2 => size.first_chunk().map(|&bytes| u64::from(u32::from_le_bytes(bytes))),
        _ => size.first_chunk().map(|&bytes| u64::from_le_bytes(bytes)),
    }
}

/// Numbers of errors, from `zstd_errors.h` of zstd 1.5; the numbers below 100 are stable since 1.3.1.
pub(crate) mod code {
    pub(crate) const PREFIX_UNKNOWN: usize = 10;
    pub(crate) const VERSION_UNSUPPORTED: usize = 12;
    pub(crate) const FRAME_PARAMETER_UNSUPPORTED: usize = 14;
    pub(crate) const WINDOW_TOO_LARGE: usize = 16;
    pub(crate) const CHECKSUM_WRONG: usize = 22;
    pub(crate) const DICTIONARY_WRONG: usize = 32;
    pub(crate) const MEMORY_ALLOCATION: usize = 64;
    pub(crate) const DST_SIZE_TOO_SMALL: usize = 70;
}

/// The number in an error of the library, which gives it negated.
pub(crate) fn number(error: ErrorCode) -> usize {
    error.wrapping_neg()
}

/// An error of decoding in our words.
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
            return Error::new(kind)
                .because(format_args!("the zstd library says {:?}", get_error_name(error)));
        }
    };
    Error::new(kind).because(why)
}
