//! The options for writing a host file or block device.

use crate::stored_zeros::StoredZeros;

/// Options for writing a host file or block device.
///
/// ```
/// use diskimg_raw::SinkOptions;
/// let options = SinkOptions { size: Some(1 << 30), ..SinkOptions::default() };
/// assert!(options.sync && !options.is_zero);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkOptions {
    /// The size of the disk in bytes. A regular file gets exactly this length before the first write, and writes past
    /// it are [`ErrorKind::OutOfBounds`](diskimg_core::ErrorKind::OutOfBounds). With `None` the file grows as it is
    /// written and ends after the last byte that was written or zeroed, as image files do.
    pub size: Option<u64>,
    /// If set, a regular file keeps its length and the bytes after the disk, as a block device does. A disk longer than
    /// the file is [`ErrorKind::OutOfBounds`](diskimg_core::ErrorKind::OutOfBounds). Not for image files, which end
    /// where the image ends.
    pub keep_length: bool,
    /// Assume that the target reads as zeros. Otherwise a regular file is truncated first, and a block device is zeroed
    /// wherever nothing else is written: in one call if it supports that, otherwise range by range, and ranges that
    /// were never written in [`BlockSink::finish`](diskimg_core::BlockSink::finish).
    pub is_zero: bool,
    /// Writes the first 1 MiB last, and with them the last 64 KiB of a target that keeps its length. Until then they
    /// are zeros in the target, so that a target that was not finished has no header, partition table or superblock:
    /// [`FileSink::new`](crate::FileSink::new) zeroes them, and [`BlockSink::finish`](diskimg_core::BlockSink::finish)
    /// writes them after everything else is on stable storage. For a target with old content.
    pub ends_last: bool,
    /// The way in which zeros are stored, also between and after the ranges that are written.
    pub zeros: StoredZeros,
    /// Allocation before the first write. Requires a size.
    pub preallocation: Preallocation,
    /// Uses direct I/O (`O_DIRECT`), so that a large disk does not evict other data from the page cache. Parts of
    /// blocks of 4096 bytes are buffered, and so is everything if the system or file system does not support direct
    /// I/O; see [`FileSink::is_direct`](crate::FileSink::is_direct).
    pub direct: bool,
    /// The file systems on which to copy inside the kernel from another file.
    pub copies: Copies,
    /// If set, [`BlockSink::finish`](diskimg_core::BlockSink::finish) waits until the bytes are on stable storage.
    /// Write-back then starts early to keep the wait short.
    pub sync: bool,
    /// If set, each write waits until its bytes are on stable storage, as with `O_DSYNC`.
    pub write_through: bool,
    /// Turns off copy-on-write of an empty regular file on btrfs, as QEMU's option `nocow`. Without effect elsewhere.
    pub no_copy_on_write: bool,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            size: None,
            keep_length: false,
            is_zero: false,
            ends_last: false,
            zeros: StoredZeros::Deallocated,
            preallocation: Preallocation::Off,
            direct: false,
            copies: Copies::WhereShared,
            sync: true,
            write_through: false,
            no_copy_on_write: false,
        }
    }
}

/// The file systems on which [`BlockSink::copy_from`](diskimg_core::BlockSink::copy_from) copies inside the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Copies {
    /// Those that share blocks, or whose server copies them. On other file systems the kernel holds the lock of the
    /// target during the copy, so several threads that read and write are faster and also find zeros.
    #[default]
    WhereShared,
    /// All on which the system supports it.
    Always,
}

/// Allocation before the first write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preallocation {
    /// Nothing.
    #[default]
    Off,
    /// All blocks, with `fallocate`; with zeros if the file system does not support the call. Those of a block device
    /// that are not written are allocated when the sink is finished.
    Falloc,
    /// All blocks, by writing zeros.
    Full,
}
