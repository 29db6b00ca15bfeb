//! The errors that several modules give alike.

use std::fs::File;
use std::io;

use diskimg_core::{Error, ErrorKind, Format};

use crate::platform::{self, Kind};

/// The name of the format.
pub const RAW: Format = Format::new("raw");

/// The system failed at this byte of a host file.
pub(crate) fn io_at(error: io::Error, what: &str, offset: u64) -> Error {
    Error::from(error).format(RAW).field(what).at(offset)
}

/// The file ends at byte `end`, and was longer when it was opened.
pub(crate) fn ended(end: u64, size: u64) -> Error {
    Error::new(ErrorKind::Truncated)
        .format(RAW)
        .field("file")
        .at(end)
        .found("at its end")
        .expected(format_args!("{size} bytes"))
        .because("it was longer when it was opened")
}

/// What `file` is, if it is something with blocks.
pub(crate) fn disk_kind(file: &File) -> Result<Kind, Error> {
    match platform::kind(file).map_err(|error| Error::from(error).format(RAW).field("file type"))? {
        Kind::Other(what) => Err(no_disk(what)),
        Kind::Device(0) => Err(Error::new(ErrorKind::InvalidInput)
            .format(RAW)
            .field("block device")
            .found("0 bytes long")
            .expected("a device with a medium whose size the system tells")),
        kind => Ok(kind),
    }
}

/// What the caller named has no blocks.
pub(crate) fn no_disk(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput)
        .format(RAW)
        .field("file")
        .found(what)
        .expected("a regular file or a block device")
}
