//! A run of guest bytes of one kind, and where they lie.

use std::fs::File;
use std::ops::Range;

/// A run of guest bytes of one kind: the answer of [`crate::BlockSource::extent_at`].
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// Guest offset of the first byte.
    pub offset: u64,
    /// Bytes in the run; at least one.
    pub len: u64,
    /// What reading the run gives, and at what cost.
    pub kind: ExtentKind,
    /// How many layers of a [`crate::Chain`] lie above the one that answered; 0 outside a chain.
    pub depth: u32,
    /// Where exactly these bytes lie, if they lie anywhere verbatim. Covers the whole run or is empty.
    pub location: Location<'a>,
    /// Where the file under the layer has room for these bytes, if it has and they are not stored: the byte
    /// offset of a zero cluster that was preallocated, of a hole in a raw file. Counted as [`HostRange::offset`]
    /// is where that is known, and from the start of the layer's own file elsewhere.
    ///
    /// A number and no [`Location`], for nothing may be read there: who knows what it holds. None of `Data` and
    /// `Encoded`.
    pub reserved: Option<u64>,
}

impl Extent<'_> {
    /// An extent of this kind that lies nowhere verbatim, at depth 0. `range` must not be empty.
    #[must_use]
    pub fn new(range: Range<u64>, kind: ExtentKind) -> Self {
        Self {
            offset: range.start,
            len: range.end.saturating_sub(range.start),
            kind,
            depth: 0,
            location: Location::default(),
            reserved: None,
        }
    }

    /// Guest offset of the first byte behind the run.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// The guest range of the run.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.end()
    }

    /// The extent without what lies behind its first `len` bytes, its location cut alike.
    #[must_use]
    pub fn truncated(mut self, len: u64) -> Self {
        if len < self.len {
            self.len = len;
            self.location = self.location.truncated(len);
        }
        self
    }

    /// The extent without its first `len` bytes, its location cut alike; empty when it has no more.
    #[must_use]
    pub fn without_first(mut self, len: u64) -> Self {
        let len = len.min(self.len);
        self.offset = self.offset.saturating_add(len);
        self.len = self.len.saturating_sub(len);
        self.reserved = self.reserved.map(|offset| offset.saturating_add(len));
        self.location.host = self.location.host.map(|host| HostRange {
            offset: host.offset.saturating_add(len),
            len: host.len.saturating_sub(len),
            ..host
        });
        let cut = |bytes: &'_ [u8]| usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
        self.location.bytes = self.location.bytes.and_then(|bytes| bytes.get(cut(bytes)..));
        self
    }
}

/// What reading a run gives, and at what cost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExtentKind {
    /// Stored bytes, read as they are.
    Data,
    /// Stored compressed or encrypted: reading has to decode, and the bytes lie nowhere verbatim.
    Encoded,
    /// Known to read as zeros, whatever a layer below holds.
    Zero,
    /// Nothing stored here: a layer below decides, and without one it reads as zeros.
    Unallocated,
}

impl ExtentKind {
    /// Whether the run is known to read as zeros when no layer lies below.
    #[must_use]
    pub const fn reads_as_zeros(self) -> bool {
        matches!(self, Self::Zero | Self::Unallocated)
    }
}

/// Where guest bytes lie verbatim; both may be known, or neither.
#[derive(Clone, Copy, Debug, Default)]
pub struct Location<'a> {
    /// In a host file: can be copied inside the kernel.
    pub host: Option<HostRange<'a>>,
    /// In memory: can be used without a copy.
    pub bytes: Option<&'a [u8]>,
}

impl Location<'_> {
    /// The location of the first `len` bytes.
    #[must_use]
    pub fn truncated(self, len: u64) -> Self {
        Self {
            host: self.host.map(|host| HostRange { len: host.len.min(len), ..host }),
            bytes: self
                .bytes
                .map(|bytes| usize::try_from(len).ok().and_then(|len| bytes.get(..len)).unwrap_or(bytes)),
        }
    }
}

/// A range of a host file that holds guest bytes verbatim.
#[derive(Clone, Copy, Debug)]
pub struct HostRange<'a> {
    /// The open file.
    pub file: &'a File,
    /// Byte offset in the file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl HostRange<'_> {
    /// Whether `next` lies in the same open file right behind this range.
    #[must_use]
    pub fn is_followed_by(&self, next: &HostRange<'_>) -> bool {
        std::ptr::eq(self.file, next.file) && self.offset.checked_add(self.len) == Some(next.offset)
    }
}
