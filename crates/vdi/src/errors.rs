//! The errors of this crate, begun the same way everywhere.

use diskimg_core::{Error, ErrorKind, Format};

/// The name of this format.
pub const FORMAT: Format = Format::new("vdi");

fn begun(kind: ErrorKind, field: impl Into<String>) -> Error {
    Error::new(kind).format(FORMAT).field(field)
}

/// The image contradicts itself or the format in this field.
pub(crate) fn corrupt(field: impl Into<String>) -> Error {
    begun(ErrorKind::Corrupt, field)
}

/// The file ends before this structure does.
pub(crate) fn truncated(field: impl Into<String>) -> Error {
    begun(ErrorKind::Truncated, field)
}

/// Perhaps valid, but not something that this crate reads.
pub(crate) fn unsupported(field: impl Into<String>) -> Error {
    begun(ErrorKind::Unsupported, field)
}

/// More than the caller or this crate is willing to handle.
pub(crate) fn limit(field: impl Into<String>) -> Error {
    begun(ErrorKind::Limit, field)
}

/// An option that cannot be meant, or a call that breaks the rules.
pub(crate) fn invalid(field: impl Into<String>) -> Error {
    begun(ErrorKind::InvalidInput, field)
}
