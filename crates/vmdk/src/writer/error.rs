//! Constructors for the errors of the writer.

use diskimg_core::{Error, ErrorKind};

use crate::errors::FORMAT;

/// An invalid option.
pub(super) fn invalid(option: &str) -> Error {
    misuse(&format!("option {option}"))
}

/// A call that breaks the rules of a sink.
pub(super) fn misuse(field: &str) -> Error {
    Error::new(ErrorKind::InvalidInput).format(FORMAT).field(field)
}

/// A bug of the writer.
pub(super) fn internal(field: &str) -> Error {
    Error::new(ErrorKind::Internal).format(FORMAT).field(field)
}
