//! The answers of the system about an open file.

/// The kind of an open file. Sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HostFileKind {
    /// A regular file of this length.
    Regular(u64),
    /// A block device of this size.
    Device(u64),
    /// Anything else, described in words, and the error number with which the system refuses to read or write it.
    Other(&'static str, Option<i32>),
}

/// The calls that an open file accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenMode {
    pub(crate) reads: bool,
    pub(crate) writes: bool,
    /// True if every write is appended, whatever its offset.
    pub(crate) appends: bool,
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
