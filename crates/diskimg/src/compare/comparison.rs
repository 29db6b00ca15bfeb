//! The options and the result of a comparison.

use diskimg_core::{Extent, ExtentKind};

/// The options of a comparison.
///
/// ```
/// use diskimg::{CompareOptions, Difference, Memory, compare};
/// let mut strict = CompareOptions::default();
/// strict.strict = true;
/// let (short, long) = (Memory::new(vec![1, 0]), Memory::new(vec![1, 0, 0]));
/// assert_eq!(compare(&short, &long, &CompareOptions::default(), &())?.difference, None);
/// assert_eq!(compare(&short, &long, &strict, &())?.difference, Some(Difference::Size));
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompareOptions {
    /// The number of threads; 0 for one per core.
    pub threads: usize,
    /// Also compares the sizes and the [`Status`] of every byte, as `qemu-img compare -s` does.
    pub strict: bool,
}

/// The result of a comparison.
///
/// ```
/// use diskimg::{Comparison, CompareOptions, Memory, compare};
/// let (old, new) = (Memory::new(vec![1, 2]), Memory::new(vec![1, 3, 0]));
/// let result: Comparison = compare(&old, &new, &CompareOptions::default(), &())?;
/// assert_eq!((result.first_difference(), result.sizes), (Some(1), (2, 3)));
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// The first difference, if any.
    pub difference: Option<Difference>,
    /// The sizes of the two disks in bytes.
    pub sizes: (u64, u64),
}

impl Comparison {
    /// The guest offset of the first byte whose value or [`Status`] differs.
    #[must_use]
    pub fn first_difference(&self) -> Option<u64> {
        self.difference.and_then(|difference| difference.offset())
    }

    /// Returns true if no difference was found. Unless the comparison is strict, one disk may have additional zeros at
    /// its end.
    #[must_use]
    pub fn same(&self) -> bool {
        self.difference.is_none()
    }

    /// Returns true if no difference was found and the sizes are equal.
    #[must_use]
    pub fn identical(&self) -> bool {
        self.same() && self.sizes.0 == self.sizes.1
    }
}

/// The first difference of two disks.
///
/// ```
/// use diskimg::{CompareOptions, Difference, Memory, compare};
/// let (first, second) = (Memory::new(vec![0; 8192]), Memory::new(vec![[0; 4096], [7; 4096]].concat()));
/// let comparison = compare(&first, &second, &CompareOptions::default(), &())?;
/// assert_eq!(comparison.difference, Some(Difference::Content { offset: 4096 }));
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// The sizes. Only a strict comparison reports it, and then reads no data.
    Size,
    /// The content. A shorter disk is compared as if zeros followed its end.
    Content {
        /// The guest offset of the first byte that differs.
        offset: u64,
    },
    /// The storage of equal bytes. Only a strict comparison reports it.
    Status {
        /// The guest offset of the first byte whose status differs.
        offset: u64,
        /// The status in either disk.
        statuses: (Status, Status),
    },
}

impl Difference {
    /// The guest offset in bytes; `None` for sizes.
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        match self {
            Self::Size => None,
            Self::Content { offset } | Self::Status { offset, .. } => Some(*offset),
        }
    }
}

/// The storage of a run of bytes in an image, which a strict comparison compares.
///
/// It covers these flags of QEMU's `img_compare`: data, zero, allocated, compressed and offset valid. Three
/// differences that QEMU reports are ignored, because they are not properties of the images: the number of bytes
/// that a driver describes at a time, holes of the file system in clusters that are data in the image, and free
/// blocks of a VDI, which QEMU reports as allocated zeros. Neither compares the layer of a chain that stores the
/// bytes.
///
/// ```
/// use diskimg::{BlockSource, ExtentKind, Memory, Status};
/// let status = Status::from(&Memory::new(vec![1; 512]).extent_at(0..512)?);
/// assert_eq!(status, Status { kind: ExtentKind::Data, reserved: false });
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// The kind of the extent.
    pub kind: ExtentKind,
    /// True if the file has space for the bytes that it does not store: [`Extent::reserved`].
    pub reserved: bool,
}

impl From<&Extent<'_>> for Status {
    fn from(extent: &Extent<'_>) -> Self {
        Self { kind: extent.kind, reserved: extent.reserved.is_some() }
    }
}
