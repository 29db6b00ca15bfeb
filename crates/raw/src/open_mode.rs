//! The calls that an open file must accept.

use std::fs::File;

use diskimg_core::{Error, ErrorKind, Result};

use crate::error::{error, io_at};
use crate::platform;

/// Checks that a file can be read.
pub(crate) fn open_for_reading(file: &File) -> Result<()> {
    let mode = platform::open_mode(file).map_err(|error| io_at(error, "file flags", 0))?;
    match mode.reads {
        true => Ok(()),
        false => Err(not_open("open for writing only", "a file that is open for reading")),
    }
}

/// Checks that a file can be written at any offset, and read if its old bytes are needed.
pub(crate) fn open_for_writing(file: &File, needs_reading: bool) -> Result<()> {
    let mode = platform::open_mode(file).map_err(|error| io_at(error, "file flags", 0))?;
    let both = "a file that is open for reading and writing";
    match mode {
        _ if mode.appends => Err(error(ErrorKind::InvalidInput, "file")
            .found("open for appending")
            .expected("a file that can be written at any offset")),
        _ if !mode.writes => Err(not_open("open for reading only", both)),
        _ if needs_reading && !mode.reads => Err(not_open("open for writing only", both)),
        _ => Ok(()),
    }
}

/// Returns the error for a file that is not open for a use.
fn not_open(found: &str, expected: &str) -> Error {
    let error = error(ErrorKind::InvalidInput, "file").found(found).expected(expected);
    #[cfg(unix)]
    let error = error.with_os_error(rustix::io::Errno::BADF.raw_os_error());
    error
}
