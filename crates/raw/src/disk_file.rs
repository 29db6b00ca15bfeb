//! Files and devices that can be disks.

use std::fs::File;

use diskimg_core::{Error, ErrorKind, Result, ensure};

use crate::error::{error, no_disk};
use crate::format::RAW;
use crate::platform::{self, HostFileKind};

/// The longest file in bytes. A limit of the systems: offsets are signed 64-bit integers.
pub const MAX_FILE_LEN: u64 = i64::MAX as u64;

/// Checks that a file can have this length in bytes.
pub(crate) fn check_length(size: u64) -> Result<()> {
    ensure(size <= MAX_FILE_LEN, || {
        let error = error(ErrorKind::InvalidInput, "size").found(size);
        error.expected(format_args!("at most {MAX_FILE_LEN} bytes"))
    })
}

/// A file or device that can be a disk.
#[derive(Clone, Copy)]
pub(crate) struct DiskFile {
    /// The length or size in bytes.
    pub(crate) size: u64,
    /// True if it is a block device, false if it is a regular file.
    pub(crate) is_device: bool,
}

/// Returns the size and kind of `file`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if it is neither a regular file nor a block device with a known size.
pub(crate) fn disk_file(file: &File) -> Result<DiskFile> {
    match platform::kind(file).map_err(|error| Error::from(error).format(RAW).field("file type"))? {
        HostFileKind::Other(what, number) => Err(no_disk(what).with_os_error(number)),
        HostFileKind::Device(0) => Err(error(ErrorKind::InvalidInput, "block device")
            .found("0 bytes long")
            .expected("a device with a medium of known size")),
        HostFileKind::Device(size) => Ok(DiskFile { size, is_device: true }),
        HostFileKind::Regular(size) => Ok(DiskFile { size, is_device: false }),
    }
}
