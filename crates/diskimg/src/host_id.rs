//! The identity of host files and devices, independent of their names.

use std::fs::Metadata;

use diskimg_core::BlockSource;

/// The identity of a host file or block device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(unix), allow(dead_code, reason = "other systems report no identity"))]
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

    /// The host file of a source, if it has one.
    pub(crate) fn of_source(source: &dyn BlockSource) -> Option<Self> {
        let host = source.locate(0..source.size().min(1)).host?;
        Self::of(&host.file.metadata().ok()?)
    }
}
