//! The guest bytes of a segment, grain by grain.

use std::ops::Range;

use diskimg_core::{Result, Segment, zeros};

use super::error::misuse;
use super::layout::Shape;

/// Calls `each` for every grain that the segment touches, in order, with the guest range and its bytes; `None`
/// for bytes that are all zeros. The segment must have bytes.
pub(super) fn each_part<'s>(
    shape: &Shape,
    segment: &Segment<'s>,
    mut each: impl FnMut(Range<u64>, Option<&'s [u8]>) -> Result<()>,
) -> Result<()> {
    let mut known = segment.zeros.iter().peekable();
    let mut at = segment.offset;
    while at < segment.end() {
        let range = shape.part_from(at, segment.end());
        at = range.end;
        while known.next_if(|zeros| zeros.end <= range.start).is_some() {}
        let inside = known.peek().is_some_and(|zeros| zeros.start <= range.start && range.end <= zeros.end);
        let bytes = guest_bytes(segment, &range)?;
        let zero = inside || zeros::is_zero(bytes);
        each(range, (!zero).then_some(bytes))?;
    }
    Ok(())
}

/// The bytes of `range` out of a segment.
pub(super) fn guest_bytes<'s>(segment: &Segment<'s>, range: &Range<u64>) -> Result<&'s [u8]> {
    let index = |at: u64| usize::try_from(at.checked_sub(segment.offset)?).ok();
    index(range.start)
        .zip(index(range.end))
        .and_then(|(start, end)| segment.bytes.get(start..end))
        .ok_or_else(|| misuse("segment").because("its bytes are fewer than its length"))
}
