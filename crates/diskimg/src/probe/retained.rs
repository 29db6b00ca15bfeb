//! The parts of a stream that are kept: its head, ranges that somebody wants, and its last bytes.

use std::ops::Range;

use crate::foreign_formats::TRAILER;
use crate::sniff::HEAD;
use crate::tail::Tail;

/// Bytes of the end that are kept unless more are asked for: all trailers that tell a format.
const TAIL: usize = 2048;

/// The most bytes of the end that are kept. A bound of ours: the footer of a VMDK is looked for in its last
/// 128 KiB, and part of a sector may follow.
const LONGEST_TAIL: usize = (128 << 10) + SECTOR;

/// What is asked for at the end may end with a whole sector, and the stream behind it.
const SECTOR: usize = 512;

/// Bytes of wanted ranges in all, with what keeping them takes. A bound of ours: with the head, the tail, and what is
/// told of the image, a prober stays below 2 MiB. The largest description that is wanted is a VMDK's, 1 MiB.
const WANTED: u64 = 1 << 20;

/// Bytes that are charged for a range besides its own.
const PIECE: u64 = 64;

/// The length of a stream whose end is not known yet.
pub(super) const ENDLESS: u64 = i64::MAX.unsigned_abs();

/// What lies behind this byte is asked for by its distance from an end that is not known yet.
const FAR: u64 = 1 << 62;

/// What is kept of a stream.
pub(super) struct Kept {
    head: Vec<u8>,
    pieces: Vec<Piece>,
    tail: Tail,
    total: u64,
    wanted: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self { head: Vec::new(), pieces: Vec::new(), tail: Tail::new(TAIL), total: 0, wanted: 0 }
    }
}

/// A range that is wanted, and as much of it as has passed.
struct Piece {
    range: Range<u64>,
    bytes: Vec<u8>,
}

impl Piece {
    fn held(&self) -> Range<u64> {
        self.range.start..self.range.start.saturating_add(self.bytes.len() as u64)
    }
}

impl Kept {
    /// All of these bytes, as what has passed of a stream.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut kept = Self { head: bytes.to_vec(), total: bytes.len() as u64, ..Self::default() };
        kept.tail.push(bytes);
        kept
    }

    /// The first bytes, at most [`HEAD`] of what was pushed.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The last bytes, at most [`TRAILER`].
    pub(super) fn trailer(&self) -> Vec<u8> {
        self.tail.last(TRAILER)
    }

    /// Bytes that have passed.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Takes the next bytes of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len());
        if room > 0 {
            self.head.reserve_exact(room);
        }
        self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let passing = self.total..self.total.saturating_add(bytes.len() as u64);
        for piece in &mut self.pieces {
            let from = piece.held().end;
            let to = piece.range.end.min(passing.end);
            if (passing.start..to).contains(&from) {
                piece.bytes.extend_from_slice(part(bytes, passing.start, &(from..to)));
            }
        }
        self.tail.push(bytes);
        self.total = passing.end;
    }

    /// Fills `buf` with the bytes at `offset`; `false` when some of them are not here.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let held = self.held_at(at);
            let len = held.len().min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            let Some(held) = held.get(..len).filter(|held| !held.is_empty()) else { return false };
            now.copy_from_slice(held);
            at = at.saturating_add(len as u64);
            rest = later;
        }
        true
    }

    /// The bytes from `at` on, as many as one of the parts has.
    fn held_at(&self, at: u64) -> &[u8] {
        let (tail, end) = self.tail.pieces();
        let end_start = self.total.saturating_sub(end.len() as u64);
        let tail_start = end_start.saturating_sub(tail.len() as u64);
        let parts = std::iter::once((0, self.head.as_slice()))
            .chain(self.pieces.iter().map(|piece| (piece.range.start, piece.bytes.as_slice())))
            .chain([(tail_start, tail), (end_start, end)]);
        let from = |(start, bytes): (u64, &'_ [u8])| {
            let skip = usize::try_from(at.checked_sub(start)?).ok()?;
            Some(skip).filter(|skip| *skip < bytes.len())
        };
        for (start, bytes) in parts {
            if let Some(skip) = from((start, bytes)) {
                return bytes.get(skip..).unwrap_or_default();
            }
        }
        &[]
    }

    /// Keeps `range` when it passes. `false` when part of it has passed unkept, or it is too much.
    pub(super) fn want(&mut self, range: &Range<u64>) -> bool {
        if range.start >= FAR {
            let from_end = usize::try_from(ENDLESS.saturating_sub(range.start)).unwrap_or(usize::MAX);
            // Not whole sectors may follow the last one.
            self.tail.lengthen(from_end.saturating_add(SECTOR).min(LONGEST_TAIL));
            return true;
        }
        // What is held of the tail is then all of it.
        self.tail.join();
        let mut at = range.start;
        while at < range.end {
            let held = self.held_at(at);
            let covered = at.saturating_add(held.len() as u64);
            let coming = self.pieces.iter().find(|piece| piece.range.contains(&at));
            if at < self.head.len() as u64 {
                at = self.head.len() as u64;
            } else if let Some(piece) = coming {
                at = piece.range.end;
            } else if covered > at && covered < self.total {
                at = covered;
            } else {
                // The end of what has passed is in the tail, and will not be for long.
                let end = self.next_piece(at).min(range.end);
                let len = end.saturating_sub(at);
                let lost = covered == at && at < self.total;
                let wanted = self.wanted.saturating_add(len).saturating_add(PIECE);
                if lost || wanted > WANTED {
                    return false;
                }
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let mut bytes = Vec::with_capacity(len);
                bytes.extend_from_slice(held.get(..len).unwrap_or(held));
                self.wanted = wanted;
                self.pieces.push(Piece { range: at..end, bytes });
                at = end;
            }
        }
        true
    }

    /// Where the first wanted range behind `at` begins.
    fn next_piece(&self, at: u64) -> u64 {
        self.pieces
            .iter()
            .map(|piece| piece.range.start)
            .filter(|start| *start > at)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Where the last range ends that is still to come.
    pub(super) fn coming(&self) -> Option<u64> {
        self.pieces.iter().map(|piece| piece.range.end).filter(|end| *end > self.total).max()
    }
}

/// The part `range` of `bytes`, which stand at `start`.
fn part<'a>(bytes: &'a [u8], start: u64, range: &Range<u64>) -> &'a [u8] {
    let place = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
    bytes.get(place(range.start)..place(range.end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::conformance::painted;

    fn pushed(kept: &mut Kept, until: usize, step: usize) {
        while kept.total() < until as u64 {
            let len = step.min(until - usize::try_from(kept.total()).unwrap());
            kept.push(&painted(kept.total(), len));
        }
    }

    fn read(kept: &Kept, offset: u64, len: usize) -> Option<Vec<u8>> {
        let mut buf = vec![0; len];
        kept.read(offset, &mut buf).then_some(buf)
    }

    #[test]
    fn head_tail_and_what_is_wanted_can_be_read_whatever_the_pieces() {
        for step in [1, 511, 4096, 1 << 20] {
            let mut kept = Kept::default();
            pushed(&mut kept, HEAD, step);
            assert!(kept.want(&(HEAD as u64 - 10..90_000)), "the head and what follows it");
            assert!(kept.want(&(80_000..100_000)), "the rest of it");
            assert!(kept.want(&(150_000..150_001)));
            assert_eq!(kept.coming(), Some(150_001));
            pushed(&mut kept, 300_000, step);
            for (offset, len) in [(0, HEAD), (60_000, 40_000), (150_000, 1), (300_000 - 2048, 2048)] {
                assert_eq!(read(&kept, offset, len), Some(painted(offset, len)), "{offset}");
            }
            for (offset, len) in [(99_999, 2), (149_999, 1), (150_001, 1), (297_951, 1), (299_999, 2)] {
                assert_eq!(read(&kept, offset, len), None, "{offset}");
            }
            assert_eq!(kept.coming(), None);
        }
    }

    #[test]
    fn a_range_whose_beginning_is_in_the_tail_is_kept_whole() {
        let mut kept = Kept::default();
        pushed(&mut kept, 200_000, 5000);
        assert!(kept.want(&(199_000..201_000)));
        assert!(!kept.want(&(190_000..201_000)), "the beginning has passed");
        pushed(&mut kept, 400_000, 5000);
        assert_eq!(read(&kept, 199_000, 2000), Some(painted(199_000, 2000)));
    }

    #[test]
    fn memory_is_bounded_whatever_is_wanted() {
        let mut kept = Kept::default();
        pushed(&mut kept, HEAD, 4096);
        assert!(!kept.want(&(1 << 20..16 << 20)));
        assert!(kept.want(&(1 << 20..(2 << 20) - 64)));
        assert!(!kept.want(&(4 << 20..5 << 20)));
        assert!(kept.want(&(ENDLESS - (1 << 30)..ENDLESS)), "the end of a stream without end");
        pushed(&mut kept, 6 << 20, 1 << 20);
        let held = kept.head.capacity() + kept.tail.capacity();
        let pieces: usize = kept.pieces.iter().map(|piece| piece.bytes.capacity()).sum();
        assert!(held + pieces < (1 << 20) + HEAD + LONGEST_TAIL + 1024, "{held} and {pieces}");
    }

    #[test]
    fn the_tail_is_as_long_as_what_is_asked_for_at_the_end() {
        for step in [1, 1000, 65_536, 1 << 20] {
            let mut kept = Kept::default();
            pushed(&mut kept, HEAD, step);
            assert!(kept.want(&(ENDLESS - 100_000..ENDLESS)));
            for total in [HEAD + 50_000, 300_000, 700_001] {
                pushed(&mut kept, total, step);
                let offset = total as u64 - 100_000;
                assert_eq!(read(&kept, offset, 100_000), Some(painted(offset, 100_000)), "{step}");
            }
        }
    }
}
