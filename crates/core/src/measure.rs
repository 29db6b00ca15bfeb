//! Measuring an image before it is written.

use std::ops::Range;

/// The size of an image before it is written: the length of its file, or the sum of the lengths of its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Measured {
    /// The maximum number of bytes for this disk. Holes and known zeros need none; compression is not
    /// considered.
    pub required: u64,
    /// The maximum number of bytes if every byte of the disk is written.
    pub fully_allocated: u64,
}

impl Measured {
    /// An image of at least `required` bytes, and of `fully_allocated` bytes if all of the disk is written.
    #[must_use]
    pub const fn new(required: u64, fully_allocated: u64) -> Self {
        Self { required, fully_allocated }
    }
}

/// Counts the units of a disk (clusters, grains, blocks) that ranges touch, each once.
///
/// ```
/// use diskimg_core::Touched;
/// let mut clusters = Touched::new(65_536);
/// for range in [0..100, 200..300, 65_535..65_537] {
///     clusters.add(&range);
/// }
/// assert_eq!(clusters.count(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Touched {
    unit: u64,
    count: u64,
    counted_to: u64,
}

impl Touched {
    /// Creates a counter for units of this many bytes, at least 1.
    #[must_use]
    pub fn new(unit: u64) -> Self {
        Self { unit: unit.max(1), count: 0, counted_to: 0 }
    }

    /// Counts the units that `range` touches and no earlier range did. Ranges must ascend.
    pub fn add(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = (range.start / self.unit).max(self.counted_to);
        let end = range.end.div_ceil(self.unit);
        self.count = self.count.saturating_add(crate::range::len(&(first..end)));
        self.counted_to = self.counted_to.max(end);
    }

    /// The number of units touched.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_touched_by_several_ranges_is_counted_once() {
        let mut touched = Touched::new(10);
        for range in [0..1, 2..10, 9..20, 45..45, 59..61] {
            touched.add(&range);
        }
        assert_eq!(touched.count(), 4);
        touched.add(&(0..u64::MAX));
        assert_eq!(touched.count(), 4 + u64::MAX.div_ceil(10) - 7);
    }
}
