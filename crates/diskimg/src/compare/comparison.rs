//! How two disks are compared, and what came of it.

use diskimg_core::{Extent, ExtentKind};

/// How two disks are compared.
///
/// ```
/// use diskimg::{CompareOptions, Difference, Memory, compare};
/// let mut strictly = CompareOptions::default();
/// strictly.strict = true;
/// let (short, long) = (Memory::new(vec![1, 0]), Memory::new(vec![1, 0, 0]));
/// assert_eq!(compare(&short, &long, &CompareOptions::default(), &())?.difference, None);
/// assert_eq!(compare(&short, &long, &strictly, &())?.difference, Some(Difference::Size));
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompareOptions {
    /// Threads that read and compare; 0 for one a core.
    pub threads: usize,
    /// Whether the sizes and the [`Status`] of every byte have to be the same as well, as for
    /// `qemu-img compare -s`.
    pub strict: bool,
}

/// What came of a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// The first difference that counts, if there is one.
    pub difference: Option<Difference>,
    /// Sizes of the two disks in bytes.
    pub sizes: (u64, u64),
}

impl Comparison {
    /// Guest offset of the first byte that differs, in itself or in how it is kept.
    #[must_use]
    pub fn first_difference(&self) -> Option<u64> {
        self.difference.and_then(|difference| difference.offset())
    }

    /// Whether nothing that was looked at differs. Without strictness a guest would find the same bytes, but
    /// perhaps zeros behind the end of one disk.
    #[must_use]
    pub fn same(&self) -> bool {
        self.difference.is_none()
    }

    /// Whether the disks are also of one size.
    #[must_use]
    pub fn identical(&self) -> bool {
        self.same() && self.sizes.0 == self.sizes.1
    }
}

/// The first difference of two disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// Their sizes. Only told by a strict comparison, which then reads nothing of them.
    Size,
    /// Their bytes. A disk that is shorter counts as zeros behind its end.
    Content {
        /// Guest offset of the first byte that differs.
        offset: u64,
    },
    /// How the same bytes are kept. Only told by a strict comparison.
    Status {
        /// Guest offset of the first byte that is not kept alike.
        offset: u64,
        /// How either disk keeps it.
        statuses: (Status, Status),
    },
}

impl Difference {
    /// The guest offset in bytes, if it is at one.
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        match self {
            Self::Size => None,
            Self::Content { offset } | Self::Status { offset, .. } => Some(*offset),
        }
    }
}

/// How an image keeps a run of bytes: what a strict comparison looks at.
///
/// Of the flags by which QEMU's `img_compare` judges these are data, zero, allocated, compressed and the
/// validity of the offset. Three things that count there do not count here, for they are not of the images:
/// whether the driver's answer reaches the end of the disk, which hangs on how many bytes it answers for at a
/// time; holes that the file system has under clusters that the image calls data; and that QEMU calls free
/// blocks of a VDI allocated zeros. Which layer of a chain keeps the bytes counts for neither.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// What is stored.
    pub kind: ExtentKind,
    /// Whether the file has room for what is not: [`Extent::reserved`].
    pub reserved: bool,
}

impl From<&Extent<'_>> for Status {
    fn from(extent: &Extent<'_>) -> Self {
        Self { kind: extent.kind, reserved: extent.reserved.is_some() }
    }
}
