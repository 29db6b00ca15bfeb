//! Runs of guest bytes and their location.

use std::fs::File;
use std::ops::Range;

use crate::range;

/// A run of guest bytes of one kind: the answer of [`crate::BlockSource::extent_at`].
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// The guest offset of the first byte.
    pub offset: u64,
    /// The length in bytes; at least one.
    pub len: u64,
    /// The way in which the run is stored.
    pub kind: ExtentKind,
    /// The number of layers of a [`crate::Chain`] above the one that the run comes from; 0 outside a chain.
    pub depth: u32,
    /// The verbatim location of these bytes, if they have one. Covers the whole run or is empty.
    pub location: Location<'a>,
    /// The byte offset of the space that the file reserves for these bytes without storing them: a preallocated
    /// zero cluster, a hole in a raw file. Counted like [`HostRange::offset`] if that is known, otherwise from the
    /// start of the layer's own file.
    ///
    /// It is a number and not a [`Location`] because the content there is undefined and must not be read. `None`
    /// for `Data` and `Encoded`.
    pub reserved: Option<u64>,
}

impl Extent<'_> {
    /// Creates an extent of this kind at depth 0, without a location. `range` must not be empty.
    #[must_use]
    pub fn new(range: Range<u64>, kind: ExtentKind) -> Self {
        Self {
            offset: range.start,
            len: range::len(&range),
            kind,
            depth: 0,
            location: Location::default(),
            reserved: None,
        }
    }

    /// The guest offset after the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// The guest range of the run.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.end()
    }

    /// Returns the first `len` bytes of the extent, with the location clipped too.
    #[must_use]
    pub fn truncated(mut self, len: u64) -> Self {
        self.len = self.len.min(len);
        self.location = self.location.part(&(0..self.len));
        self
    }

    /// Returns the extent without its first `len` bytes, with the location clipped too. It may be empty.
    #[must_use]
    pub fn without_first(mut self, len: u64) -> Self {
        let len = len.min(self.len);
        self.location = self.location.part(&(len..self.len));
        self.offset = self.offset.saturating_add(len);
        self.len = self.len.saturating_sub(len);
        self.reserved = self.reserved.map(|offset| offset.saturating_add(len));
        self
    }
}

/// The way in which a run of guest bytes is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExtentKind {
    /// Stored verbatim.
    Data,
    /// Stored compressed or encrypted. Reading decodes them.
    Encoded,
    /// Reads as zeros, whatever the layers below contain.
    Zero,
    /// Not stored. Read from the layer below; zeros if there is none.
    Unallocated,
}

impl ExtentKind {
    /// True if the run reads as zeros when there is no layer below.
    #[must_use]
    pub const fn reads_as_zeros(self) -> bool {
        matches!(self, Self::Zero | Self::Unallocated)
    }
}

/// The verbatim location of guest bytes: in a host file, in memory. Both, one or neither may be known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Location<'a> {
    /// The range of a host file, from which the kernel can copy.
    pub host: Option<HostRange<'a>>,
    /// The bytes in memory, where they can be used without a copy.
    pub bytes: Option<&'a [u8]>,
}

impl Location<'_> {
    /// Returns the location of the bytes `part`, counted from the first one.
    fn part(self, part: &Range<u64>) -> Self {
        let (skip, len) = (part.start, range::len(part));
        Self {
            host: self.host.map(|host| HostRange { offset: host.offset.saturating_add(skip), len, ..host }),
            bytes: self.bytes.and_then(|bytes| range::slice(bytes, 0, part)),
        }
    }
}

/// A range of a host file that stores guest bytes verbatim.
#[derive(Clone, Copy, Debug)]
pub struct HostRange<'a> {
    /// The open file.
    pub file: &'a File,
    /// The byte offset in the file.
    pub offset: u64,
    /// The length in bytes.
    pub len: u64,
}
