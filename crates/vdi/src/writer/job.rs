//! Takes one segment after the other through the writer: prepare, place, write.

use std::ops::Range;

use diskimg_core::{BlockSink, Result, Segment, check_range, zeros};

use super::blocks::Blocks;
use super::layout::Shape;
use crate::addr::GuestOffset;
use crate::errors::invalid;

/// Known zeros from this length on are left out of writes; below it a write of its own costs more.
const SKIP: u64 = 65_536;

/// What becomes of a run of guest bytes.
#[derive(Debug, PartialEq, Eq)]
enum Unit {
    /// Zeros, in any number of blocks.
    Zeros(Range<u64>),
    /// Data, inside one block.
    Data(u32, Range<u64>),
}

/// One write into the image file, decided but not done.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// Guest bytes. `fresh` when the place reads as zeros until then.
    Data { host: u64, guest: Range<u64>, fresh: bool },
    /// A range of the image file that is to read as zeros.
    Zero(Range<u64>),
}

/// A worker's own memory, one segment at a time.
#[derive(Default)]
pub(super) struct Job {
    units: Vec<Unit>,
    pieces: Vec<Piece>,
}

impl Job {
    /// Checks the segment, which may be any range here, and finds zeros.
    pub(super) fn prepare(&mut self, shape: &Shape, segment: &Segment<'_>) -> Result<()> {
        check_range(segment.offset, segment.len, shape.size)?;
        self.units.clear();
        self.pieces.clear();
        if segment.is_zeros() {
            self.units.push(Unit::Zeros(segment.offset..segment.end()));
            return Ok(());
        }
        let mut known = segment.zeros.iter().peekable();
        let mut at = segment.offset;
        while at < segment.end() {
            let block = shape.geometry.block_of(GuestOffset(at));
            let end = shape.geometry.guest_start(block.saturating_add(1)).0.min(segment.end());
            let part = at..end;
            while known.next_if(|zeros| zeros.end <= part.start).is_some() {}
            let inside = known.peek().is_some_and(|zeros| zeros.start <= part.start && end <= zeros.end);
            let bytes = guest_bytes(segment, &part)?;
            if !inside && !zeros::is_zero(bytes) {
                self.units.push(Unit::Data(u32::try_from(block).unwrap_or(u32::MAX), part));
            } else if let Some(Unit::Zeros(run)) = self.units.last_mut() {
                run.end = end;
            } else {
                self.units.push(Unit::Zeros(part));
            }
            at = end;
        }
        Ok(())
    }

    /// Gives every block with data its place.
    pub(super) fn place(&mut self, blocks: &mut Blocks, shape: &Shape) -> Result<()> {
        for unit in &self.units {
            match unit {
                Unit::Data(block, guest) => {
                    let place = blocks.place(*block)?;
                    let inside = shape.geometry.in_block(GuestOffset(guest.start));
                    let host = shape.geometry.host(place.index).plus(inside).0;
                    push(&mut self.pieces, Piece::Data { host, guest: guest.clone(), fresh: place.fresh });
                }
                Unit::Zeros(range) => zero(&mut self.pieces, blocks, shape, range),
            }
        }
        Ok(())
    }

    /// Writes what [`Job::place`] gave places. Returns where in the file the last of it ends.
    pub(super) fn write(&mut self, segment: &Segment<'_>, lower: &dyn BlockSink) -> Result<u64> {
        let mut end = 0;
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Data { host, guest, fresh } => {
                    let known = if fresh { segment.zeros } else { &[] };
                    end = end.max(write_data(lower, segment, host, &guest, known)?);
                }
                Piece::Zero(host) => lower.zero(host)?,
            }
        }
        Ok(end)
    }
}

/// Zeros what has a place; the rest reads as zeros without one.
fn zero(pieces: &mut Vec<Piece>, blocks: &Blocks, shape: &Shape, range: &Range<u64>) {
    let geometry = &shape.geometry;
    let number = |block: u64| u32::try_from(block).unwrap_or(u32::MAX);
    let first = number(geometry.block_of(GuestOffset(range.start)));
    let end = number(range.end.div_ceil(geometry.block_bytes()));
    for (block, index) in blocks.placed_in(first..end) {
        let start = geometry.guest_start(block.into()).0;
        let from = range.start.max(start).saturating_sub(start);
        let to = range.end.saturating_sub(start).min(geometry.block_bytes());
        let host = geometry.host(index);
        push(pieces, Piece::Zero(host.plus(from).0..host.plus(to).0));
    }
}

/// Appends a piece, as part of the one before where it continues that.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), &piece) {
        (Some(Piece::Data { host, guest, fresh }), Piece::Data { host: at, guest: more, fresh: new })
            if guest.end == more.start
                && fresh == new
                && host.checked_add(guest.end.saturating_sub(guest.start)) == Some(*at) =>
        {
            guest.end = more.end;
        }
        (Some(Piece::Zero(host)), Piece::Zero(more)) if host.end == more.start => host.end = more.end,
        _ => pieces.push(piece),
    }
}

/// Writes the guest bytes of `guest` to `host`, without the longer ones of the `known` zeros. Returns where
/// the last write ends.
fn write_data(
    lower: &dyn BlockSink,
    segment: &Segment<'_>,
    host: u64,
    guest: &Range<u64>,
    known: &[Range<u64>],
) -> Result<u64> {
    let past = known.partition_point(|zeros| zeros.end <= guest.start);
    let inside = known.get(past..).unwrap_or_default().iter().take_while(|zeros| zeros.start < guest.end);
    let skipped = inside
        .map(|zeros| zeros.start.max(guest.start)..zeros.end.min(guest.end))
        .filter(|zeros| zeros.end.saturating_sub(zeros.start) >= SKIP);
    let mut at = guest.start;
    let mut written = 0;
    for skip in skipped.chain(std::iter::once(guest.end..guest.end)) {
        if at < skip.start {
            let place = host.saturating_add(at.saturating_sub(guest.start));
            let bytes = guest_bytes(segment, &(at..skip.start))?;
            lower.write_at(place, bytes)?;
            written = place.saturating_add(bytes.len() as u64);
        }
        at = skip.end;
    }
    Ok(written)
}

/// The bytes of `range` out of a segment.
fn guest_bytes<'a>(segment: &Segment<'a>, range: &Range<u64>) -> Result<&'a [u8]> {
    let index = |at: u64| usize::try_from(at.checked_sub(segment.offset)?).ok();
    index(range.start)
        .zip(index(range.end))
        .and_then(|(start, end)| segment.bytes.get(start..end))
        .ok_or_else(|| invalid("segment").because("its bytes are fewer than its length"))
}
