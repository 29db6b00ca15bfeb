//! A bitmap of the units of a file that are in use.

use std::ops::Range;

use diskimg_core::{Budget, Result, range};

/// A bit for each unit of a range of units.
pub(super) struct UnitBitmap {
    bits: Vec<u8>,
    units: Range<u64>,
}

impl UnitBitmap {
    /// A bitmap of `units`, none of them marked.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] if the budget has no room for it.
    pub(super) fn new(units: Range<u64>, budget: &Budget) -> Result<Self> {
        let bytes = range::len(&units).div_ceil(8);
        Ok(Self { bits: budget.zeroed(bytes)?, units })
    }

    /// Returns the memory to the budget.
    pub(super) fn free(self, budget: &Budget) {
        budget.give_back(self.bits.len() as u64);
    }

    /// Marks those of `units` that are in the bitmap. Returns true if one of them was marked before.
    pub(super) fn mark(&mut self, units: &Range<u64>) -> bool {
        let mut before = false;
        for unit in range::intersect(units, &self.units).unwrap_or_default() {
            let (byte, mask) = self.bit(unit);
            if let Some(bits) = self.bits.get_mut(byte) {
                before |= *bits & mask != 0;
                *bits |= mask;
            }
        }
        before
    }

    /// The runs of units that are not marked, in ascending order.
    pub(super) fn unused(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut next = self.units.start;
        std::iter::from_fn(move || {
            let start = (next..self.units.end).find(|unit| !self.is_marked(*unit))?;
            let end = (start..self.units.end).find(|unit| self.is_marked(*unit)).unwrap_or(self.units.end);
            next = end;
            Some(start..end)
        })
    }

    /// Returns true if a unit of the bitmap is marked.
    pub(super) fn is_marked(&self, unit: u64) -> bool {
        let (byte, mask) = self.bit(unit);
        self.bits.get(byte).is_some_and(|bits| bits & mask != 0)
    }

    /// The byte and the mask of a unit.
    fn bit(&self, unit: u64) -> (usize, u8) {
        let index = unit.saturating_sub(self.units.start);
        (usize::try_from(index / 8).unwrap_or(usize::MAX), 1 << (index % 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_outside_the_range_are_ignored() {
        let budget = Budget::new("test", 10);
        let mut bitmap = UnitBitmap::new(100..170, &budget).unwrap();
        assert!(!bitmap.mark(&(90..103)) && !bitmap.mark(&(110..111)) && !bitmap.mark(&(160..400)));
        assert!(bitmap.mark(&(102..105)) && !bitmap.mark(&(0..100)));
        assert_eq!(bitmap.unused().collect::<Vec<_>>(), [105..110, 111..160]);
        bitmap.free(&budget);
        assert_eq!(budget.left(), 10);
        assert!(UnitBitmap::new(0..81, &budget).is_err());
    }
}
