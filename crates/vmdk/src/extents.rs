//! The extents that a disk consists of, contiguous and in the order of the descriptor.

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::{BlockSource, Error, GuestOffset, HostOffset, Printable};

use crate::addr::{ExtentOffset, span};
use crate::extent_line::ExtentLine;
use crate::sparse_extent::SparseExtent;

/// One extent of the disk.
pub(crate) struct DescriptorExtent {
    start: GuestOffset,
    len: u64,
    content: ExtentContent,
    /// The line of the descriptor, in an image of several files.
    line: Option<NamedLine>,
}

/// The content of a [`DescriptorExtent`].
pub(crate) enum ExtentContent {
    Zero,
    /// Guest bytes, the first at `offset` of the file.
    Flat {
        source: Arc<dyn BlockSource>,
        offset: HostOffset,
    },
    Sparse(Box<SparseExtent>),
}

/// The file name of a line, and the byte offset of the line in the descriptor file.
struct NamedLine {
    name: Vec<u8>,
    at: u64,
}

impl DescriptorExtent {
    /// Bytes of the disk.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// The first offset of the disk after the extent.
    pub(crate) const fn end(&self) -> GuestOffset {
        self.start.plus(self.len)
    }

    /// The content of the extent.
    pub(crate) const fn content(&self) -> &ExtentContent {
        &self.content
    }

    /// The sparse extent, if it is one.
    pub(crate) const fn sparse(&self) -> Option<&SparseExtent> {
        match &self.content {
            ExtentContent::Sparse(extent) => Some(extent),
            ExtentContent::Zero | ExtentContent::Flat { .. } => None,
        }
    }

    /// The file name and the byte offset of its line, in an image of several files.
    pub(crate) fn line(&self) -> Option<(&[u8], u64)> {
        self.line.as_ref().map(|line| (line.name.as_slice(), line.at))
    }

    /// The offset in the extent of an offset in the disk.
    pub(crate) const fn offset_of(&self, guest: GuestOffset) -> ExtentOffset {
        ExtentOffset(guest.since(self.start))
    }

    /// Returns the bytes of the flat file at `offset` for a range of the disk.
    pub(crate) fn in_flat_file(&self, offset: HostOffset, guest: &Range<GuestOffset>) -> Range<HostOffset> {
        span(offset.plus(self.offset_of(guest.start).0), guest.end.since(guest.start))
    }

    /// Returns the error with the name of the extent's file, in an image of several.
    pub(crate) fn name_error(&self, error: Error) -> Error {
        match &self.line {
            Some(line) => name_error(error, &line.name),
            None => error,
        }
    }
}

/// Returns the error with the name of the file it is about.
pub(crate) fn name_error(error: Error, name: &[u8]) -> Error {
    match error.field_name().map(|field| format!("{field} of {}", Printable::new(name))) {
        Some(field) => error.field(field),
        None => error.field(format!("extent {}", Printable::new(name))),
    }
}

/// All extents of a disk, without gaps.
#[derive(Default)]
pub(crate) struct DescriptorExtents(Vec<DescriptorExtent>);

impl DescriptorExtents {
    /// The virtual size of the disk, as far as extents were added.
    pub(crate) fn size(&self) -> u64 {
        self.0.last().map_or(0, |extent| extent.end().0)
    }

    /// The number of extents.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The extents in the order of the disk.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &DescriptorExtent> {
        self.0.iter()
    }

    /// The extent that contains `offset`; `None` past the end of the disk.
    pub(crate) fn at(&self, offset: GuestOffset) -> Option<&DescriptorExtent> {
        let index = self.0.partition_point(|extent| extent.end() <= offset);
        self.0.get(index)
    }

    /// Appends `len` bytes. An extent without bytes is dropped.
    pub(crate) fn push(&mut self, len: u64, content: ExtentContent, line: Option<&ExtentLine>) {
        if len > 0 {
            let line = line.and_then(|line| Some(NamedLine { name: line.name.clone()?, at: line.at }));
            self.0.push(DescriptorExtent { start: GuestOffset(self.size()), len, content, line });
        }
    }
}
