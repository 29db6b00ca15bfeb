//! Functions that differ between operating systems: plain calls without policy.
//!
//! `unix` and `windows` read, write and open files; `linux` and `plain` handle holes, allocation and copies inside the
//! kernel. Both modules of a pair have the same functions, so that no other module depends on the system.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod plain;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{
    allocate, copy_range, next_data, next_hole, open_direct, punch_hole, reopen, set_direct, shares_blocks,
    start_write_back, zero_range,
};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use plain::{
    allocate, copy_range, next_data, next_hole, open_direct, punch_hole, reopen, set_direct, shares_blocks,
    start_write_back, zero_range,
};
#[cfg(unix)]
pub(crate) use unix::{is_append, is_socket, is_unsupported, kind, open_read, read_at, stamp, write_at};
#[cfg(windows)]
pub(crate) use windows::{is_append, is_socket, is_unsupported, kind, open_read, read_at, stamp, write_at};

/// The kind of an open file. Sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HostFileKind {
    /// A regular file of this length.
    Regular(u64),
    /// A block device of this size.
    Device(u64),
    /// Anything else, described in words.
    Other(&'static str),
}

/// Attributes that change when a file is modified. Equal stamps mean that a hole is still a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileStamp {
    /// The length in bytes.
    pub(crate) len: u64,
    /// The time of the last write: seconds and nanoseconds, or the unit of the system.
    pub(crate) modified: (i64, i64),
    /// The allocated blocks, to detect a write within one tick of the clock.
    pub(crate) blocks: u64,
}

/// The start of the next data or hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SeekResult {
    /// At this offset in bytes.
    At(u64),
    /// There is none before the end of the file.
    Nowhere,
    /// The system or file system cannot find holes.
    Unknown,
}
