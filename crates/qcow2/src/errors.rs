//! Constructors of the errors of this crate.

use diskimg_core::{Error, ErrorKind, Format, GuestOffset, HostOffset};

/// The name of this format.
pub const FORMAT: Format = Format::new("qcow2");

/// The error for a field that contradicts the specification or another field.
pub(crate) fn corrupt(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt).format(FORMAT).field(field)
}

/// The error for a structure that ends past the end of the file.
pub(crate) fn truncated(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Truncated).format(FORMAT).field(field)
}

/// The error for a structure at `at`, which the bytes at `guest` need, in a file that ends at byte `size`.
pub(crate) fn past_end(what: &str, at: HostOffset, guest: GuestOffset, size: u64) -> Error {
    truncated(what).at(at.0).guest(guest.0).because(format_args!("the file ends at byte {size}"))
}

/// The error for a valid field that this crate does not support.
pub(crate) fn unsupported(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported).format(FORMAT).field(field)
}

/// The error for a value above the limit of the caller, of QEMU or of this crate.
pub(crate) fn limit(field: impl Into<String>) -> Error {
    Error::new(ErrorKind::Limit).format(FORMAT).field(field)
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
