//! Constructors of this crate's errors.

use diskimg_core::{Error, ErrorKind, Format};

/// The name of this format.
pub const FORMAT: Format = Format::new("vdi");

fn error(kind: ErrorKind, field: impl Into<String>) -> Error {
    Error::new(kind).format(FORMAT).field(field)
}

/// A field that contradicts the format or another field.
pub(crate) fn corrupt(field: impl Into<String>) -> Error {
    error(ErrorKind::Corrupt, field)
}

/// A structure that the end of the file truncates.
pub(crate) fn truncated(field: impl Into<String>) -> Error {
    error(ErrorKind::Truncated, field)
}

/// A field whose value this crate does not support.
pub(crate) fn unsupported(field: impl Into<String>) -> Error {
    error(ErrorKind::Unsupported, field)
}

/// A field that exceeds a limit of the caller or of this crate.
pub(crate) fn limit(field: impl Into<String>) -> Error {
    error(ErrorKind::Limit, field)
}

/// An invalid option or call.
pub(crate) fn invalid(field: impl Into<String>) -> Error {
    error(ErrorKind::InvalidInput, field)
}

/// A bug in this crate.
pub(crate) fn internal(field: impl Into<String>) -> Error {
    error(ErrorKind::Internal, field)
}
