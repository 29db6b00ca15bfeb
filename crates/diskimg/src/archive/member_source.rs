//! A file of an archive with random access as a source.

use std::ops::Range;

use diskimg_core::{
    BlockSource, Error, ErrorKind, Extent, ExtentKind, Location, Result, Window, check_extent_range,
    check_range,
};

use super::sparse_map::{SparseMap, run_len};
use super::tar::TarMember;

/// The bytes of a file in an archive. The parts of a sparse file that are not stored read as zeros.
pub(crate) struct MemberSource<S> {
    stored: Window<S>,
    map: Option<SparseMap>,
}

impl<S: BlockSource> MemberSource<S> {
    /// # Errors
    /// [`ErrorKind::OutOfBounds`] if the member is not within the source.
    pub(super) fn new(source: S, member: TarMember) -> Result<Self> {
        Ok(Self { stored: Window::new(source, member.range)?, map: member.sparse })
    }
}

/// Returns the range in the stored bytes of `range`, which is within a run that is stored at `stored`.
fn below(range: &Range<u64>, run: &Range<u64>, stored: u64) -> Range<u64> {
    let shift = |offset: u64| offset.saturating_sub(run.start).saturating_add(stored);
    shift(range.start)..shift(range.end)
}

impl<S: BlockSource> BlockSource for MemberSource<S> {
    fn size(&self) -> u64 {
        self.map.as_ref().map_or(self.stored.size(), SparseMap::size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let Some(map) = &self.map else { return self.stored.read_at(offset, buf) };
        check_range(offset, buf.len() as u64, self.size())?;
        let (mut offset, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (run, stored) = map.run_at(offset);
            let len = run_len(&run, offset, rest.len());
            let (now, later) =
                rest.split_at_mut_checked(len).ok_or_else(|| Error::new(ErrorKind::Internal))?;
            let range = offset..offset.saturating_add(len as u64);
            match stored {
                Some(stored) => self.stored.read_at(below(&range, &run, stored).start, now)?,
                None => now.fill(0),
            }
            (offset, rest) = (range.end, later);
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        let Some(map) = &self.map else { return self.stored.extent_at(range) };
        check_extent_range(&range, self.size())?;
        let (run, stored) = map.run_at(range.start);
        let range = range.start..range.end.min(run.end);
        match stored {
            Some(stored) => {
                let extent = self.stored.extent_at(below(&range, &run, stored))?;
                Ok(Extent { offset: range.start, ..extent })
            }
            None => Ok(Extent::new(range, ExtentKind::Zero)),
        }
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        let Some(map) = &self.map else { return self.stored.locate(range) };
        match map.run_at(range.start) {
            (run, Some(stored)) if range.start <= range.end && range.end <= run.end => {
                self.stored.locate(below(&range, &run, stored))
            }
            _ => Location::default(),
        }
    }

    fn decode_unit(&self) -> u64 {
        self.stored.decode_unit()
    }
}
