//! Errors that several modules share.

use std::io;

use diskimg_core::{Error, ErrorKind};

use crate::format::RAW;

/// Returns the error for `field` of a host file or an option.
pub(crate) fn error(kind: ErrorKind, field: &str) -> Error {
    Error::new(kind).format(RAW).field(field)
}

/// Returns the error of the system at byte `offset` of a host file.
pub(crate) fn io_at(error: io::Error, what: &str, offset: u64) -> Error {
    Error::from(error).format(RAW).field(what).at(offset)
}

/// Returns the error for a file that ends at byte `end` and was longer when it was opened.
pub(crate) fn ended(end: u64, size: u64) -> Error {
    error(ErrorKind::Truncated, "file")
        .at(end)
        .found("at its end")
        .expected(format_args!("{size} bytes"))
        .because("the file became shorter while it was read")
}

/// Returns the error for a file that is not a disk.
pub(crate) fn no_disk(what: &str) -> Error {
    error(ErrorKind::InvalidInput, "file").found(what).expected("a regular file or a block device")
}

/// Returns the error for a stream of zero bytes, which has lost its content. A file of zero bytes can be a disk.
pub(crate) fn empty_stream() -> Error {
    Error::new(ErrorKind::Truncated).format(RAW).because("empty image: it has no bytes")
}
