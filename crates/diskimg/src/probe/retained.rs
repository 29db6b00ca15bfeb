//! The parts of a stream that are retained: its head, requested ranges, and its last bytes.

use std::ops::Range;

use diskimg_core::range;

use crate::foreign_formats::TRAILER;
use crate::sniff::HEAD;
use crate::tail::Tail;

/// The bytes retained at the end unless more are requested: the trailers of all formats.
const TAIL: usize = 2048;

/// The maximum number of bytes retained at the end. Our limit: the footer of a VMDK is in its last 128 KiB, and part of
/// a sector may follow.
const LONGEST_TAIL: usize = (128 << 10) + SECTOR;

/// A part of a sector may follow the last whole one.
const SECTOR: usize = 512;

/// The bytes of all requested ranges with their overhead. Our limit: with the head, the tail and the description of the
/// image, a prober uses less than 2 MiB. The largest range is the descriptor of a VMDK, 1 MiB.
const MAX_REQUESTED: u64 = 1 << 20;

/// The overhead of a range in bytes.
const RANGE_OVERHEAD: u64 = 64;

/// The length of a stream whose end is unknown.
pub(super) const ENDLESS: u64 = i64::MAX.unsigned_abs();

/// Offsets from here on are relative to an unknown end.
const FAR: u64 = 1 << 62;

/// The retained parts of a stream.
pub(super) struct Retained {
    head: Vec<u8>,
    requested: Vec<RequestedRange>,
    tail: Tail,
    total: u64,
    requested_bytes: u64,
}

impl Default for Retained {
    fn default() -> Self {
        Self { head: Vec::new(), requested: Vec::new(), tail: Tail::new(TAIL), total: 0, requested_bytes: 0 }
    }
}

/// A requested range, and its bytes so far.
struct RequestedRange {
    range: Range<u64>,
    bytes: Vec<u8>,
}

impl RequestedRange {
    fn filled(&self) -> Range<u64> {
        self.range.start..self.range.start.saturating_add(self.bytes.len() as u64)
    }
}

impl Retained {
    /// Retains all of these bytes, as a stream so far.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut retained = Self { head: bytes.to_vec(), total: bytes.len() as u64, ..Self::default() };
        retained.tail.push(bytes);
        retained
    }

    /// The first bytes, at most [`HEAD`] of what was pushed.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The last bytes, at most [`TRAILER`].
    pub(super) fn trailer(&self) -> Vec<u8> {
        self.tail.last(TRAILER)
    }

    /// The length of the stream so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Adds the next bytes of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len());
        if room > 0 {
            self.head.reserve_exact(room);
        }
        self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let passing = self.total..self.total.saturating_add(bytes.len() as u64);
        for part in &mut self.requested {
            let from = part.filled().end;
            let to = part.range.end.min(passing.end);
            if (passing.start..to).contains(&from) {
                part.bytes
                    .extend_from_slice(range::slice(bytes, passing.start, &(from..to)).unwrap_or_default());
            }
        }
        self.tail.push(bytes);
        self.total = passing.end;
    }

    /// Fills `buf` with the bytes at `offset`. Returns false if some of them are not retained.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let held = self.retained_at(at);
            let len = held.len().min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            let Some(held) = held.get(..len).filter(|held| !held.is_empty()) else { return false };
            now.copy_from_slice(held);
            at = at.saturating_add(len as u64);
            rest = later;
        }
        true
    }

    /// The bytes from `at` to the end of the part that retains them.
    fn retained_at<'s>(&'s self, at: u64) -> &'s [u8] {
        let (tail, end) = self.tail.slices();
        let end_start = self.total.saturating_sub(end.len() as u64);
        let tail_start = end_start.saturating_sub(tail.len() as u64);
        let mut parts = std::iter::once((0, self.head.as_slice()))
            .chain(self.requested.iter().map(|part| (part.range.start, part.bytes.as_slice())))
            .chain([(tail_start, tail), (end_start, end)]);
        let from = |(start, bytes): (u64, &'s [u8])| {
            let skip = usize::try_from(at.checked_sub(start)?).ok()?;
            bytes.get(skip..).filter(|bytes| !bytes.is_empty())
        };
        parts.find_map(from).unwrap_or_default()
    }

    /// Requests a range. Returns false if a part of it is past and not retained, or it is too long.
    pub(super) fn request(&mut self, range: &Range<u64>) -> bool {
        if range.start >= FAR {
            let from_end = range::buffer_len(&(range.start..ENDLESS));
            // A part of a sector may follow the last one.
            self.tail.lengthen(from_end.saturating_add(SECTOR).min(LONGEST_TAIL));
            return true;
        }
        // `retained_at` then returns all of the tail.
        self.tail.join();
        let mut at = range.start;
        while at < range.end {
            let held = self.retained_at(at);
            let covered = at.saturating_add(held.len() as u64);
            let coming = self.requested.iter().find(|part| part.range.contains(&at));
            if at < self.head.len() as u64 {
                at = self.head.len() as u64;
            } else if let Some(part) = coming {
                at = part.range.end;
            } else if covered > at && covered < self.total {
                at = covered;
            } else {
                // The tail still has the last bytes, but not for long.
                let end = self.next_requested(at).min(range.end);
                let len = range::len(&(at..end));
                let lost = covered == at && at < self.total;
                let bytes_after = self.requested_bytes.saturating_add(len).saturating_add(RANGE_OVERHEAD);
                if lost || bytes_after > MAX_REQUESTED {
                    return false;
                }
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let mut bytes = Vec::with_capacity(len);
                bytes.extend_from_slice(held.get(..len).unwrap_or(held));
                self.requested_bytes = bytes_after;
                self.requested.push(RequestedRange { range: at..end, bytes });
                at = end;
            }
        }
        true
    }

    /// The start of the first requested range after `at`.
    fn next_requested(&self, at: u64) -> u64 {
        let starts = self.requested.iter().map(|part| part.range.start);
        starts.filter(|start| *start > at).min().unwrap_or(u64::MAX)
    }

    /// The end of the last requested range that is incomplete.
    pub(super) fn coming(&self) -> Option<u64> {
        self.requested.iter().map(|part| part.range.end).filter(|end| *end > self.total).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::conformance::painted;

    fn pushed(retained: &mut Retained, until: usize, step: usize) {
        while retained.total() < until as u64 {
            let len = step.min(until - usize::try_from(retained.total()).unwrap());
            retained.push(&painted(retained.total(), len));
        }
    }

    fn read(retained: &Retained, offset: u64, len: usize) -> Option<Vec<u8>> {
        let mut buf = vec![0; len];
        retained.read(offset, &mut buf).then_some(buf)
    }

    #[test]
    fn head_tail_and_requested_ranges_can_be_read_for_any_split() {
        for step in [1, 511, 4096, 1 << 20] {
            let mut retained = Retained::default();
            pushed(&mut retained, HEAD, step);
            assert!(retained.request(&(HEAD as u64 - 10..90_000)), "the head and what follows it");
            assert!(retained.request(&(80_000..100_000)), "the rest of it");
            assert!(retained.request(&(150_000..150_001)));
            assert_eq!(retained.coming(), Some(150_001));
            pushed(&mut retained, 300_000, step);
            for (offset, len) in [(0, HEAD), (60_000, 40_000), (150_000, 1), (300_000 - 2048, 2048)] {
                assert_eq!(read(&retained, offset, len), Some(painted(offset, len)), "{offset}");
            }
            for (offset, len) in [(99_999, 2), (149_999, 1), (150_001, 1), (297_951, 1), (299_999, 2)] {
                assert_eq!(read(&retained, offset, len), None, "{offset}");
            }
            assert_eq!(retained.coming(), None);
        }
    }

    #[test]
    fn range_that_begins_in_the_tail_is_retained_whole() {
        let mut retained = Retained::default();
        pushed(&mut retained, 200_000, 5000);
        assert!(retained.request(&(199_000..201_000)));
        assert!(!retained.request(&(190_000..201_000)), "the beginning is past");
        pushed(&mut retained, 400_000, 5000);
        assert_eq!(read(&retained, 199_000, 2000), Some(painted(199_000, 2000)));
    }

    #[test]
    fn memory_is_bounded_for_any_requested_ranges() {
        let mut retained = Retained::default();
        pushed(&mut retained, HEAD, 4096);
        assert!(!retained.request(&(1 << 20..16 << 20)));
        assert!(retained.request(&(1 << 20..(2 << 20) - 64)));
        assert!(!retained.request(&(4 << 20..5 << 20)));
        assert!(retained.request(&(ENDLESS - (1 << 30)..ENDLESS)), "the end of a stream without end");
        pushed(&mut retained, 6 << 20, 1 << 20);
        let held = retained.head.capacity() + retained.tail.capacity();
        let requested: usize = retained.requested.iter().map(|part| part.bytes.capacity()).sum();
        assert!(held + requested < (1 << 20) + HEAD + LONGEST_TAIL + 1024, "{held} and {requested}");
    }

    #[test]
    fn tail_is_as_long_as_the_range_requested_at_the_end() {
        for step in [1, 1000, 65_536, 1 << 20] {
            let mut retained = Retained::default();
            pushed(&mut retained, HEAD, step);
            assert!(retained.request(&(ENDLESS - 100_000..ENDLESS)));
            for total in [HEAD + 50_000, 300_000, 700_001] {
                pushed(&mut retained, total, step);
                let offset = total as u64 - 100_000;
                assert_eq!(read(&retained, offset, 100_000), Some(painted(offset, 100_000)), "{step}");
            }
        }
    }
}
