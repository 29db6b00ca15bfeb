//! Which host file or device something is, whatever it is called.

use std::fs::Metadata;

use diskimg_core::BlockSource;

/// The identity of a host file or block device; none where the system does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(unix), allow(dead_code, reason = "other systems do not tell"))]
pub(crate) enum HostId {
    File { device: u64, inode: u64 },
    Device(u64),
}

impl HostId {
    #[cfg(unix)]
    pub(crate) fn of(file: &Metadata) -> Option<Self> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        Some(match file.file_type().is_block_device() {
            true => Self::Device(file.rdev()),
            false => Self::File { device: file.dev(), inode: file.ino() },
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn of(_: &Metadata) -> Option<Self> {
        None
    }

    /// The file that a source lies in, if it lies in one.
    pub(crate) fn of_source(source: &dyn BlockSource) -> Option<Self> {
        let host = source.locate(0..source.size().min(1)).host?;
        Self::of(&host.file.metadata().ok()?)
    }
}
