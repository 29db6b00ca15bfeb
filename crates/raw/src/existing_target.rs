//! Opening an existing file or block device as a target, and holding a lock on it.

use std::fs::File;
use std::path::Path;

use diskimg_core::{Error, ErrorKind, Result};

use crate::file_sink::FileSink;
use crate::image_lock::ImageLock;
use crate::platform;

impl FileSink {
    /// Holds a lock on the file until this sink is finished or dropped.
    #[must_use]
    pub fn with_lock(mut self, lock: Option<ImageLock>) -> Self {
        self._lock = lock;
        self
    }
}

/// Opens an existing file or block device to write into it: for reading and writing, or only for reading to check it
/// before. A block device is opened exclusively (`O_EXCL`) on Linux, so that one that is mounted, or part of another
/// device, is refused.
///
/// # Errors
/// [`ErrorKind::InUse`] if the system uses the block device; [`ErrorKind::Io`] if it cannot be opened.
pub fn open_target(path: impl AsRef<Path>, write: bool) -> Result<File> {
    let path = path.as_ref();
    let is_device = platform::is_block_device(path);
    platform::open_write(path, write, is_device).map_err(|error| {
        if is_device && error.kind() == std::io::ErrorKind::ResourceBusy {
            return Error::new(ErrorKind::InUse)
                .because("the block device is busy: it is mounted, or in use by another device or process")
                .source(error);
        }
        Error::from(error)
    })
}
