//! Errors that several modules share.

use std::fs::File;
use std::io;

use diskimg_core::{Error, ErrorKind};

use crate::format::RAW;
use crate::platform::{self, HostFileKind};

/// Returns the error of the system at byte `offset` of a host file.
pub(crate) fn io_at(error: io::Error, what: &str, offset: u64) -> Error {
    Error::from(error).format(RAW).field(what).at(offset)
}

/// Returns the error for a file that ends at byte `end` and was longer when it was opened.
pub(crate) fn ended(end: u64, size: u64) -> Error {
    Error::new(ErrorKind::Truncated)
        .format(RAW)
        .field("file")
        .at(end)
        .found("at its end")
        .expected(format_args!("{size} bytes"))
        .because("it was longer when it was opened")
}

/// Returns the kind of `file`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if it is neither a regular file nor a block device with a known size.
pub(crate) fn disk_kind(file: &File) -> Result<HostFileKind, Error> {
    match platform::kind(file).map_err(|error| Error::from(error).format(RAW).field("file type"))? {
        HostFileKind::Other(what) => Err(no_disk(what)),
        HostFileKind::Device(0) => Err(Error::new(ErrorKind::InvalidInput)
            .format(RAW)
            .field("block device")
            .found("0 bytes long")
            .expected("a device with a medium of known size")),
        kind => Ok(kind),
    }
}

/// Returns the error for a file that is not a disk.
pub(crate) fn no_disk(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput)
        .format(RAW)
        .field("file")
        .found(what)
        .expected("a regular file or a block device")
}

/// Returns the error for a disk of zero bytes: an empty stream or file has lost its content.
pub(crate) fn empty_image() -> Error {
    Error::new(ErrorKind::Truncated).format(RAW).because("empty image: it has no bytes")
}
