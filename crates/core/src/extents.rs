//! An iterator over the merged extents of a source.

use std::ops::Range;

use crate::{BlockSource, Error, ErrorKind, Extent, HostRange, Location, Result, check_range, range};

/// The extents of a range in ascending order. They tile the range, and adjacent extents that could be one are merged.
///
/// A source may return small extents if that is cheaper for its tables. Extents of the same kind and depth are
/// merged if their locations are adjacent too. Uses constant memory at any size. Ends after the first error.
///
/// ```
/// use diskimg_core::{Chain, Extents, Memory};
/// use std::sync::Arc;
/// let top = Arc::new(Memory::new(vec![1; 512]));
/// let chain = Chain::new(vec![top])?;
/// assert_eq!(Extents::new(&chain, 0..512).count(), 1);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct Extents<'a> {
    source: &'a dyn BlockSource,
    rest: Range<u64>,
    ahead: Option<Extent<'a>>,
    failed: Option<Error>,
}

impl<'a> Extents<'a> {
    /// Creates an iterator over the extents of `range` of `source`. An empty range has none; a range past the end
    /// yields one [`ErrorKind::OutOfBounds`].
    #[must_use]
    pub fn new(source: &'a dyn BlockSource, range: Range<u64>) -> Self {
        let failed = check_range(range.start, range::len(&range), source.size()).err();
        Self { source, rest: range, ahead: None, failed }
    }

    fn fetch(&mut self) -> Option<Extent<'a>> {
        if self.failed.is_some() || self.rest.start >= self.rest.end {
            return None;
        }
        let extent = self.source.extent_at(self.rest.clone()).and_then(|extent| self.checked(extent));
        let extent = extent.map_err(|error| self.failed = Some(error)).ok()?;
        self.rest.start = extent.end();
        Some(extent)
    }

    /// Checks the answer of `extent_at`. A caller's own source may violate its rules, and the iteration must still end.
    fn checked(&self, extent: Extent<'a>) -> Result<Extent<'a>> {
        let fits = extent.offset == self.rest.start && extent.len > 0 && extent.end() <= self.rest.end;
        if fits {
            return Ok(extent);
        }
        Err(Error::new(ErrorKind::InvalidInput)
            .field("extent")
            .guest(self.rest.start)
            .found(format_args!("{}..{}", extent.offset, extent.end()))
            .expected(format_args!("a run that starts there and ends by {}", self.rest.end)))
    }
}

impl<'a> Iterator for Extents<'a> {
    type Item = Result<Extent<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(mut run) = self.ahead.take().or_else(|| self.fetch()) else {
            return self.failed.take().map(|error| {
                self.rest.start = self.rest.end;
                Err(error)
            });
        };
        while let Some(next) = self.fetch() {
            match merged(&run, &next) {
                Some(longer) => run = longer,
                None => {
                    self.ahead = Some(next);
                    break;
                }
            }
        }
        Some(Ok(run))
    }
}

fn merged<'a>(run: &Extent<'a>, next: &Extent<'a>) -> Option<Extent<'a>> {
    let alike = run.kind == next.kind && run.depth == next.depth;
    let adjacent = run.reserved.map(|offset| offset.checked_add(run.len)) == next.reserved.map(Some);
    let in_memory = run.location.bytes.is_some() || next.location.bytes.is_some();
    if !alike || !adjacent || in_memory {
        return None;
    }
    let host = match (run.location.host, next.location.host) {
        (None, None) => None,
        (Some(a), Some(b))
            if std::ptr::eq(a.file, b.file) && a.offset.checked_add(a.len) == Some(b.offset) =>
        {
            Some(HostRange { len: a.len.checked_add(b.len)?, ..a })
        }
        _ => return None,
    };
    Some(Extent { len: run.len.checked_add(next.len)?, location: Location { host, bytes: None }, ..*run })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExtentKind;

    #[test]
    fn zeros_are_merged_only_if_their_reserved_space_is_adjacent() {
        struct ReservedSectors([Option<u64>; 5]);
        impl BlockSource for ReservedSectors {
            fn size(&self) -> u64 {
                5 * 512
            }
            fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
                Ok(())
            }
            fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
                let reserved = self.0[usize::try_from(range.start / 512).unwrap()];
                let end = range.end.min((range.start / 512 + 1) * 512);
                Ok(Extent { reserved, ..Extent::new(range.start..end, ExtentKind::Zero) })
            }
        }
        let source = ReservedSectors([Some(512), Some(1024), Some(4096), None, None]);
        let runs: Vec<_> =
            Extents::new(&source, 0..2560).map(|e| e.map(|e| (e.len, e.reserved)).unwrap()).collect();
        assert_eq!(runs, [(1024, Some(512)), (512, Some(4096)), (1024, None)]);
        let rest = Extents::new(&source, 0..2560).next().unwrap().unwrap().without_first(100);
        assert_eq!((rest.len, rest.reserved), (924, Some(612)));
    }

    /// A source that returns extents of one sector.
    struct Sectors(Vec<ExtentKind>);

    impl BlockSource for Sectors {
        fn size(&self) -> u64 {
            self.0.len() as u64 * 512
        }
        fn read_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
            buf.fill(0);
            Ok(())
        }
        fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
            let end = range.end.min((range.start / 512 + 1) * 512);
            let kind = self.0[usize::try_from(range.start / 512).unwrap()];
            Ok(Extent::new(range.start..end, kind))
        }
    }

    #[test]
    fn adjacent_extents_of_one_kind_are_merged() {
        use ExtentKind::{Data, Zero};
        let source = Sectors(vec![Data, Data, Zero, Data]);
        let runs: Vec<_> =
            Extents::new(&source, 100..2000).map(|e| e.map(|e| (e.offset, e.len, e.kind)).unwrap()).collect();
        assert_eq!(runs, [(100, 924, Data), (1024, 512, Zero), (1536, 464, Data)]);
    }

    #[test]
    fn range_past_the_end_is_one_error() {
        let source = Sectors(vec![ExtentKind::Data]);
        let answers: Vec<_> = Extents::new(&source, 0..513).collect();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].as_ref().unwrap_err().kind(), ErrorKind::OutOfBounds);
    }

    #[test]
    fn source_with_an_empty_extent_ends_the_iteration() {
        struct NoProgressSource;
        impl BlockSource for NoProgressSource {
            fn size(&self) -> u64 {
                10
            }
            fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
                Ok(())
            }
            fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
                Ok(Extent::new(range.start..range.start, ExtentKind::Data))
            }
        }
        let answers: Vec<_> = Extents::new(&NoProgressSource, 0..10).collect();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].as_ref().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
