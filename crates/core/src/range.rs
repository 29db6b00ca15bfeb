//! Arithmetic on byte ranges.
//!
//! A [`Range<u64>`] is half open: `end` is the first offset after it. A range whose end is not past its start
//! is empty and overlaps nothing. Ranges of typed offsets overlap and intersect alike. No function
//! here overflows or panics.
//!
//! ```
//! use diskimg_core::range;
//!
//! let cluster = 65_536..131_072;
//! let read = 100_000..200_000;
//! assert_eq!(range::len(&cluster), 65_536);
//! assert!(range::overlaps(&cluster, &read));
//! assert_eq!(range::intersect(&cluster, &read), Some(100_000..131_072));
//!
//! // A buffer that holds the bytes from offset 1000 on.
//! let buffer = [10, 11, 12, 13];
//! assert_eq!(range::slice(&buffer, 1000, &(1001..1003)), Some(&[11, 12][..]));
//! assert_eq!(range::slice(&buffer, 1000, &(1001..1005)), None);
//! ```

use std::ops::Range;

/// The length of a range in bytes; 0 if it is empty.
#[must_use]
pub const fn len(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// The length of a range as the length of a buffer; `usize::MAX`, which no buffer has, if it is larger.
#[must_use]
pub fn buffer_len(range: &Range<u64>) -> usize {
    usize::try_from(len(range)).unwrap_or(usize::MAX)
}

/// Returns true if the two ranges have a byte in common.
#[must_use]
pub fn overlaps<T: Ord>(a: &Range<T>, b: &Range<T>) -> bool {
    a.start < a.end && b.start < b.end && a.start < b.end && b.start < a.end
}

/// The bytes that two ranges have in common; `None` if there are none.
#[must_use]
pub fn intersect<T: Ord + Copy>(a: &Range<T>, b: &Range<T>) -> Option<Range<T>> {
    let common = a.start.max(b.start)..a.end.min(b.end);
    (common.start < common.end).then_some(common)
}

/// The range counted from `base`; `None` if it starts before `base` or ends before it starts.
#[must_use]
pub fn relative(range: &Range<u64>, base: u64) -> Option<Range<u64>> {
    let start = range.start.checked_sub(base)?;
    (range.start <= range.end).then(|| start..start.saturating_add(len(range)))
}

/// The indices of `range` in a buffer whose first element is at `base`; `None` if it starts before `base`, ends
/// before it starts or is not addressable.
#[must_use]
pub fn indices(range: &Range<u64>, base: u64) -> Option<Range<usize>> {
    let range = relative(range, base)?;
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// The part of `buffer` that holds `range`, where the first element of `buffer` is at `base`; `None` unless it
/// holds all of it.
#[must_use]
pub fn slice<'a, T>(buffer: &'a [T], base: u64, range: &Range<u64>) -> Option<&'a [T]> {
    buffer.get(indices(range, base)?)
}

/// Like [`slice()`], for writing.
#[must_use]
pub fn slice_mut<'a, T>(buffer: &'a mut [T], base: u64, range: &Range<u64>) -> Option<&'a mut [T]> {
    buffer.get_mut(indices(range, base)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::reversed_empty_ranges, reason = "a reversed range is one of the cases")]
    const REVERSED: Range<u64> = 9..3;

    #[test]
    fn length_of_an_empty_or_reversed_range_is_zero() {
        for (range, expected) in [(0..0, 0), (7..7, 0), (REVERSED, 0), (3..9, 6), (0..u64::MAX, u64::MAX)] {
            assert_eq!(len(&range), expected, "{range:?}");
        }
        assert_eq!(buffer_len(&(10..14)), 4);
        assert_eq!(buffer_len(&REVERSED), 0);
    }

    #[test]
    fn overlap_and_intersection_agree() {
        let cases = [
            (0..4, 4..8, None),
            (0..5, 4..8, Some(4..5)),
            (4..8, 0..5, Some(4..5)),
            (0..9, 3..4, Some(3..4)),
            (3..3, 0..9, None),
            (0..9, 3..3, None),
            (REVERSED, 0..10, None),
            (0..10, REVERSED, None),
            (0..u64::MAX, u64::MAX - 1..u64::MAX, Some(u64::MAX - 1..u64::MAX)),
        ];
        for (a, b, expected) in cases {
            assert_eq!(intersect(&a, &b), expected, "{a:?} {b:?}");
            assert_eq!(overlaps(&a, &b), expected.is_some(), "{a:?} {b:?}");
        }
    }

    #[test]
    fn relative_range_needs_a_base_at_or_before_it() {
        assert_eq!(relative(&(10..14), 10), Some(0..4));
        assert_eq!(relative(&(10..10), 4), Some(6..6));
        assert_eq!(relative(&(10..14), 11), None);
        assert_eq!(relative(&REVERSED, 0), None);
        assert_eq!(indices(&(10..14), 8), Some(2..6));
    }

    #[test]
    fn slice_is_inside_the_buffer_or_none() {
        let mut buffer = [0, 1, 2, 3];
        assert_eq!(slice(&buffer, 100, &(100..104)), Some(&[0, 1, 2, 3][..]));
        assert_eq!(slice(&buffer, 100, &(104..104)), Some(&[][..]));
        for range in [99..101, 103..105, 105..105, 0..4, REVERSED] {
            assert_eq!(slice(&buffer, 100, &range), None, "{range:?}");
        }
        slice_mut(&mut buffer, 100, &(101..103)).unwrap().fill(9);
        assert_eq!(buffer, [0, 9, 9, 3]);
        assert_eq!(slice_mut(&mut buffer, 100, &(103..105)), None);
    }
}
