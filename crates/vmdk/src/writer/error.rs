//! The beginnings of this writer's errors.

use diskimg_core::{Error, ErrorKind};

use crate::errors::FORMAT;

/// An option that cannot be meant.
pub(super) fn invalid(option: &str) -> Error {
    misuse(&format!("option {option}"))
}

/// A call that breaks the rules of a sink.
pub(super) fn misuse(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput).format(FORMAT).field(what)
}
