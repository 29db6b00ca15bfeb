//! What is to be written where, and writing it with few, large writes.

use std::ops::Range;

use diskimg_core::{BlockSink, Result, Segment};

/// Known zeros from this length on are left out of writes; below it a write of its own costs more.
const SKIP: u64 = 65_536;

/// One write into the image file, decided but not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Guest bytes as they are. `fresh` when the place reads as zeros until then.
    Data { host: u64, guest: Range<u64>, fresh: bool },
    /// Compressed bytes.
    Packed { host: u64, arena: Range<usize> },
    /// A range of the image file that is to read as zeros.
    Zero { host: Range<u64> },
    /// A finished table.
    Table { host: u64, bytes: Vec<u8> },
}

/// Appends a piece, as part of the one before where it continues that.
pub(super) fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), &piece) {
        (Some(Piece::Data { host, guest, fresh }), Piece::Data { host: at, guest: more, fresh: new })
            if guest.end == more.start
                && fresh == new
                && host.checked_add(guest.end.saturating_sub(guest.start)) == Some(*at) =>
        {
            guest.end = more.end;
        }
        (Some(Piece::Packed { host, arena }), Piece::Packed { host: at, arena: more })
            if arena.end == more.start && host.checked_add(arena.len() as u64) == Some(*at) =>
        {
            arena.end = more.end;
        }
        (Some(Piece::Zero { host }), Piece::Zero { host: more }) if host.end == more.start => {
            host.end = more.end;
        }
        _ => pieces.push(piece),
    }
}

/// Writes all pieces of a segment and forgets them.
pub(super) fn write(
    lower: &dyn BlockSink,
    pieces: &mut Vec<Piece>,
    segment: &Segment<'_>,
    arena: &[u8],
) -> Result<()> {
    for piece in pieces.drain(..) {
        match piece {
            Piece::Data { host, guest, fresh: true } => {
                let mut at = guest.start;
                let past = segment.zeros.partition_point(|zeros| zeros.end <= guest.start);
                for zeros in segment.zeros.get(past..).unwrap_or_default() {
                    if zeros.start >= guest.end {
                        break;
                    }
                    let (start, end) = (zeros.start.max(guest.start), zeros.end.min(guest.end));
                    if end.saturating_sub(start) >= SKIP {
                        write_guest(lower, segment, host, guest.start, at..start)?;
                        at = end;
                    }
                }
                write_guest(lower, segment, host, guest.start, at..guest.end)?;
            }
            Piece::Data { host, guest, fresh: false } => {
                write_guest(lower, segment, host, guest.start, guest.clone())?;
            }
            Piece::Packed { host, arena: range } => {
                lower.write_at(host, arena.get(range).unwrap_or_default())?;
            }
            Piece::Zero { host } => lower.zero(host)?,
            Piece::Table { host, bytes } => lower.write_at(host, &bytes)?,
        }
    }
    Ok(())
}

/// Writes the guest bytes of `range`; the ones from `start` on have their place at `host`.
fn write_guest(
    lower: &dyn BlockSink,
    segment: &Segment<'_>,
    host: u64,
    start: u64,
    range: Range<u64>,
) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    lower.write_at(host.saturating_add(range.start.saturating_sub(start)), guest_bytes(segment, range)?)
}

/// The bytes of `range` out of a segment.
pub(super) fn guest_bytes<'a>(segment: &Segment<'a>, range: Range<u64>) -> Result<&'a [u8]> {
    let index = |at: u64| usize::try_from(at.checked_sub(segment.offset)?).ok();
    index(range.start)
        .zip(index(range.end))
        .and_then(|(start, end)| segment.bytes.get(start..end))
        .ok_or_else(|| super::error::misuse("segment").because("its bytes are fewer than its length"))
}

/// Writes pieces that hold no guest bytes.
pub(super) fn write_tables(lower: &dyn BlockSink, pieces: &mut Vec<Piece>) -> Result<()> {
    write(lower, pieces, &Segment { offset: 0, len: 0, bytes: &[], zeros: &[] }, &[])
}
