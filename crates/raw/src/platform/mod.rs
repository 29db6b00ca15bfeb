//! What each operating system does in its own way: plain calls, no policy.
//!
//! `unix` and `windows` read, write and open; `linux` and `plain` know holes, allocation and copies inside
//! the kernel. Each pair has the same functions, so that nothing above asks which system it is on.

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

/// What an open file is. Sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A regular file of this length.
    Regular(u64),
    /// A block device of this size.
    Device(u64),
    /// Anything else, in words.
    Other(&'static str),
}

/// What changes when a file does: equal stamps mean that a hole is still a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    /// Length in bytes.
    pub(crate) len: u64,
    /// Time of the last write: seconds and nanoseconds, or whatever the system counts.
    pub(crate) modified: (i64, i64),
    /// Blocks allocated; catches a write within one tick of the clock.
    pub(crate) blocks: u64,
}

/// Where the next data or the next hole begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// At this offset in bytes.
    At(u64),
    /// Nowhere before the end of the file.
    Nowhere,
    /// The system or file system cannot tell.
    Unknown,
}
