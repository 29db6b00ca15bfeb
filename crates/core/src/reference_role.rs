//! The roles of the files to which images refer.

/// The role of a file to which an image refers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ReferenceRole {
    /// The layer below, from which unallocated ranges are read.
    Backing,
    /// The file with the guest data (a qcow2 external data file).
    DataFile,
    /// One of the files that form the disk (an extent of a VMDK descriptor).
    Extent,
    /// The parent of a differencing image.
    Parent,
}

impl ReferenceRole {
    /// True if the file is the layer below.
    #[must_use]
    pub const fn is_below(self) -> bool {
        matches!(self, Self::Backing | Self::Parent)
    }

    /// The role in words: `backing file`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backing => "backing file",
            Self::DataFile => "data file",
            Self::Extent => "extent",
            Self::Parent => "parent",
        }
    }
}
