//! The kinds of errors.

use std::fmt;

/// The kind of an [`Error`](crate::Error), for programs to match on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system or a callback failed. The source is the [`std::io::Error`].
    Io,
    /// The image ends before a structure it refers to.
    Truncated,
    /// The image contradicts itself or its specification.
    Corrupt,
    /// A valid version, feature or format that is not supported.
    Unsupported,
    /// The content is encrypted.
    Encrypted,
    /// A limit of the caller or of this library was exceeded; see [`crate::Limits`].
    Limit,
    /// The image refers to another file and the [`crate::Resolver`] refused it, or it is part of a larger disk.
    Denied,
    /// The bytes are valid as more than one format.
    Ambiguous,
    /// No format was recognised, and raw was not requested.
    UnknownFormat,
    /// The requested range ends past the end of the disk.
    OutOfBounds,
    /// Another process uses the file in a way that excludes this one: an image is locked, a block device is mounted.
    InUse,
    /// The target exists, and the caller did not allow it to be replaced.
    Exists,
    /// The operation needs random access, and the source or target is a stream.
    NeedsSeek,
    /// The caller stopped the work.
    Cancelled,
    /// An invalid argument or option.
    InvalidInput,
    /// A bug in this library, caused neither by the caller nor by the image.
    Internal,
}

impl ErrorKind {
    /// The name of the kind in JSON output and logs: `truncated`, `out-of-bounds`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::Encrypted => "encrypted",
            Self::Limit => "limit",
            Self::Denied => "denied",
            Self::Ambiguous => "ambiguous",
            Self::UnknownFormat => "unknown-format",
            Self::OutOfBounds => "out-of-bounds",
            Self::InUse => "in-use",
            Self::Exists => "exists",
            Self::NeedsSeek => "needs-seek",
            Self::Cancelled => "cancelled",
            Self::InvalidInput => "invalid-input",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
