//! A part of a source as a source.

use std::ops::Range;

use crate::{BlockSource, Extent, Location, Result, check_extent_range, check_range, range};

/// A part of a source as a disk of its own: a partition, a file in a tar archive, a disk without its header.
///
/// ```
/// use diskimg_core::{BlockSource, Memory, Window};
/// let disk = Memory::new((0..100).collect());
/// let part = Window::new(disk, 10..20)?;
/// let mut first = [0];
/// part.read_at(0, &mut first)?;
/// assert_eq!((part.size(), first), (10, [10]));
/// # Ok::<(), diskimg_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Window<S> {
    source: S,
    range: Range<u64>,
}

impl<S: BlockSource> Window<S> {
    /// Creates a disk of the bytes `range` of `source`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::OutOfBounds`] if `range` is not within the source.
    pub fn new(source: S, range: Range<u64>) -> Result<Self> {
        check_range(range.start, range::len(&range), source.size())?;
        Ok(Self { source, range })
    }

    /// Converts a range of the window to a range of the source. Ranges within the window do not overflow.
    fn below(&self, range: &Range<u64>) -> Range<u64> {
        self.range.start.saturating_add(range.start)..self.range.start.saturating_add(range.end)
    }
}

impl<S: BlockSource> BlockSource for Window<S> {
    fn size(&self) -> u64 {
        range::len(&self.range)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        self.source.read_at(self.range.start.saturating_add(offset), buf)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_extent_range(&range, self.size())?;
        let extent = self.source.extent_at(self.below(&range))?;
        Ok(Extent { offset: range.start, ..extent })
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        if range.start > range.end || range.end > self.size() {
            return Location::default();
        }
        self.source.locate(self.below(&range))
    }

    fn decode_unit(&self) -> u64 {
        self.source.decode_unit()
    }
}
