//! Constructors for the errors of this crate.

use diskimg_core::{Error, ErrorKind, Format, HostOffset};

/// The name of this format.
pub const FORMAT: Format = Format::new("vmdk");

/// A field that contradicts the image or the specification.
pub(crate) fn corrupt(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt).format(FORMAT).field(field)
}

/// A structure that ends after the file does.
pub(crate) fn truncated(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Truncated).format(FORMAT).field(field)
}

/// The `bytes` from offset `at` to the end of the file, where a header of `needed` bytes should be.
pub(crate) fn short_header(bytes: &[u8], at: HostOffset, needed: usize) -> Error {
    let error = truncated("header").at(at.0).found(format_args!("{} bytes", bytes.len()));
    error.expected(format_args!("at least {needed}"))
}

/// A valid field with a value that this crate does not support.
pub(crate) fn unsupported(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported).format(FORMAT).field(field)
}

/// A value past a limit of the caller, of QEMU or of this crate.
pub(crate) fn limit(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Limit).format(FORMAT).field(field)
}

/// An operation that a stream does not support.
pub(crate) fn needs_seek(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::NeedsSeek).format(FORMAT).field(field)
}

/// An invalid option.
pub(crate) fn invalid_option(name: &str) -> Error {
    misuse(format!("option {name}"))
}

/// A call with invalid arguments, or out of order.
pub(crate) fn misuse(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput).format(FORMAT).field(field)
}

/// A bug of this crate.
pub(crate) fn internal(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal).format(FORMAT).field(field)
}
