//! The errors of this crate, begun the same way everywhere.

use diskimg_core::{Error, ErrorKind, Format};

/// The name of this format.
pub const FORMAT: Format = Format::new("vmdk");

/// The image contradicts itself or the specification in this field.
pub(crate) fn corrupt(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt).format(FORMAT).field(field)
}

/// The file ends before this structure does.
pub(crate) fn truncated(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Truncated).format(FORMAT).field(field)
}

/// Valid, but not something that this crate reads.
pub(crate) fn unsupported(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported).format(FORMAT).field(field)
}

/// More than the caller, QEMU or this crate is willing to handle.
pub(crate) fn limit(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Limit).format(FORMAT).field(field)
}
