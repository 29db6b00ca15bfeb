//! Files and devices that can be disks.

use std::fs::File;

use diskimg_core::{Error, ErrorKind, Result};

use crate::error::{error, no_disk};
use crate::format::RAW;
use crate::platform::{self, HostFileKind};

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
        HostFileKind::Other(what) => Err(no_disk(what)),
        HostFileKind::Device(0) => Err(error(ErrorKind::InvalidInput, "block device")
            .found("0 bytes long")
            .expected("a device with a medium of known size")),
        HostFileKind::Device(size) => Ok(DiskFile { size, is_device: true }),
        HostFileKind::Regular(size) => Ok(DiskFile { size, is_device: false }),
    }
}
