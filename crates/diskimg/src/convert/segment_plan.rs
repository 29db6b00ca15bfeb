//! Splits a disk into segments that workers take in order.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use diskimg_core::{BlockSource, Extent, Extents, HostRange, Result, range};

use super::workload::Workload;

/// The longest run that the kernel copies at a time, so that progress is reported and cancelling works.
const KERNEL_COPY: u64 = 16 << 20;

/// The shortest run of zeros, or of bytes that the kernel may copy, that becomes a segment of its own. Our choice:
/// below it a system call costs more than copying the bytes with their neighbours.
const WORTH_A_SEGMENT: u64 = 64 << 10;

/// The segments of a disk, taken in order by all workers.
pub(super) struct SegmentPlan<'a> {
    cursor: Mutex<ExtentCursor<'a>>,
    size: u64,
    granularity: u64,
    segment: u64,
    kernel_copies: bool,
    stores_zeros: bool,
}

/// The next extent of the disk.
struct ExtentCursor<'a> {
    extents: Extents<'a>,
    /// The part of the last extent that belongs to no segment yet.
    rest: Option<Extent<'a>>,
    number: u64,
}

/// A segment for one worker: adjacent extents.
///
/// It starts at a multiple of the granularity, and ends at one or at the end of the disk. It fits a buffer,
/// unless it is one extent of zeros or of bytes that the kernel may copy.
pub(super) struct PlannedSegment<'a> {
    /// The index of the segment, in the order of the disk.
    pub(super) number: u64,
    /// The extents of the segment; never empty.
    pub(super) extents: Vec<Extent<'a>>,
}

impl PlannedSegment<'_> {
    /// The guest range of the segment.
    pub(super) fn range(&self) -> Range<u64> {
        let start = self.extents.first().map_or(0, |extent| extent.offset);
        let end = self.extents.last().map_or(start, Extent::end);
        start..end
    }

    /// True if all of it is known to read as zeros.
    pub(super) fn is_zeros(&self) -> bool {
        self.extents.iter().all(|extent| extent.kind.reads_as_zeros())
    }

    /// The range of one host file that stores all of it.
    pub(super) fn host(&self) -> Option<HostRange<'_>> {
        self.single()?.location.host
    }

    /// Its bytes, if they are in memory.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.single()?.location.bytes
    }

    fn single(&self) -> Option<&Extent<'_>> {
        if let [one] = self.extents.as_slice() { Some(one) } else { None }
    }
}

impl<'a> SegmentPlan<'a> {
    pub(super) fn new(source: &'a dyn BlockSource, workload: &Workload) -> Self {
        let extents = Extents::new(source, 0..source.size());
        Self {
            cursor: Mutex::new(ExtentCursor { extents, rest: None, number: 0 }),
            size: source.size(),
            granularity: workload.granularity,
            segment: workload.segment as u64,
            kernel_copies: workload.kernel_copies,
            stores_zeros: workload.stores_zeros,
        }
    }

    /// The next segment; `None` at the end of the disk.
    pub(super) fn next(&self) -> Result<Option<PlannedSegment<'a>>> {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = cursor.take()? else { return Ok(None) };
        let extents = match self.alone(&first, first.offset) {
            Some(end) => vec![cursor.split(first, end)],
            None => self.together(&mut cursor, first)?,
        };
        let number = cursor.number;
        cursor.number = number.saturating_add(1);
        Ok(Some(PlannedSegment { number, extents }))
    }

    /// Collects `first` and the following extents: as many as a buffer holds, up to an extent that gets a segment of
    /// its own.
    fn together(&self, cursor: &mut ExtentCursor<'a>, first: Extent<'a>) -> Result<Vec<Extent<'a>>> {
        let mut end = first.offset.saturating_add(self.segment);
        let mut extents = vec![cursor.split(first, end)];
        while cursor.rest.is_none() {
            let Some(next) = cursor.take()? else { break };
            let unit = self.unit_from(next.offset);
            if self.alone(&next, unit).is_some() {
                end = end.min(unit);
            }
            if next.offset >= end {
                cursor.rest = Some(next);
            } else {
                extents.push(cursor.split(next, end));
            }
        }
        Ok(extents)
    }

    /// The end of a segment that starts at `from` and consists of `extent` alone; `None` if it would be too short.
    fn alone(&self, extent: &Extent<'_>, from: u64) -> Option<u64> {
        let by_kernel = self.kernel_copies && extent.location.host.is_some();
        let is_hole = extent.kind.reads_as_zeros() && !self.stores_zeros;
        if !by_kernel && !is_hole {
            return None;
        }
        let end = if extent.end() >= self.size { self.size } else { self.unit_before(extent.end()) };
        if range::len(&(from..end)) < WORTH_A_SEGMENT.max(self.granularity).min(self.size) {
            return None;
        }
        Some(if by_kernel { end.min(from.saturating_add(KERNEL_COPY)) } else { end })
    }

    /// The last multiple of the granularity at or before `offset`.
    fn unit_before(&self, offset: u64) -> u64 {
        offset.saturating_sub(offset.checked_rem(self.granularity).unwrap_or(0))
    }

    /// The first multiple of the granularity at or after `offset`.
    fn unit_from(&self, offset: u64) -> u64 {
        offset.checked_next_multiple_of(self.granularity).unwrap_or(u64::MAX)
    }
}

impl<'a> ExtentCursor<'a> {
    fn take(&mut self) -> Result<Option<Extent<'a>>> {
        self.rest.take().map(Ok).or_else(|| self.extents.next()).transpose()
    }

    /// Returns the part of `extent` before `end` and keeps the rest for the next segment.
    fn split(&mut self, extent: Extent<'a>, end: u64) -> Extent<'a> {
        if extent.end() <= end {
            return extent;
        }
        let len = range::len(&(extent.offset..end));
        self.rest = Some(extent.without_first(len));
        extent.truncated(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{ExtentKind, Result};

    /// Runs of (length, is data).
    struct Runs(Vec<(u64, bool)>);

    impl BlockSource for Runs {
        fn size(&self) -> u64 {
            self.0.iter().map(|run| run.0).sum()
        }
        fn read_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
            buf.fill(0);
            Ok(())
        }
        fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
            let mut start = 0;
            for (len, data) in &self.0 {
                if range.start < start + len {
                    let kind = if *data { ExtentKind::Data } else { ExtentKind::Zero };
                    return Ok(Extent::new(range.start..range.end.min(start + len), kind));
                }
                start += len;
            }
            unreachable!("inside the disk")
        }
    }

    fn segments_of(runs: &[(u64, bool)], granularity: u64, segment: usize) -> Vec<(u64, u64, bool)> {
        let source = Runs(runs.to_vec());
        let plan = SegmentPlan::new(
            &source,
            &Workload { threads: 1, segment, granularity, kernel_copies: true, stores_zeros: false },
        );
        let mut segments = Vec::new();
        let mut next = 0;
        while let Some(planned) = plan.next().unwrap() {
            let range = planned.range();
            assert_eq!(range.start, next, "segments tile the disk");
            assert_eq!(range.start % granularity, 0);
            assert!(range.end % granularity == 0 || range.end == source.size());
            assert!(planned.is_zeros() || range.end - range.start <= segment as u64);
            segments.push((range.start, range.end, planned.is_zeros()));
            next = range.end;
        }
        assert_eq!(next, source.size());
        segments
    }

    #[test]
    fn hole_of_any_size_is_one_segment() {
        let segments = segments_of(&[(1 << 20, true), (64 << 40, false), (1 << 20, true)], 65_536, 1 << 20);
        assert_eq!(segments.len(), 3);
        assert!(segments[1].2);
    }

    #[test]
    fn hole_that_starts_inside_a_unit_leaves_that_unit_whole() {
        let segments = segments_of(&[(100, true), (1 << 20, false)], 65_536, 1 << 20);
        assert_eq!(segments, [(0, 65_536, false), (65_536, (1 << 20) + 100, true)]);
    }

    #[test]
    fn small_extents_share_a_segment() {
        let runs: Vec<(u64, bool)> = (0..64).map(|i| (4096, i % 2 == 0)).collect();
        assert_eq!(segments_of(&runs, 4096, 1 << 20).len(), 1);
        assert_eq!(segments_of(&runs, 65_536, 65_536).len(), 4);
    }

    #[test]
    fn disk_smaller_than_a_unit_is_one_segment() {
        assert_eq!(segments_of(&[(700, true)], 65_536, 65_536), [(0, 700, false)]);
        assert_eq!(segments_of(&[(700, false)], 65_536, 65_536), [(0, 700, true)]);
        assert_eq!(segments_of(&[], 65_536, 65_536), []);
    }
}
