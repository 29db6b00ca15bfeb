//! The set of written bytes of a target, in bounded memory.

use std::collections::BTreeMap;
use std::ops::Range;

/// The maximum number of runs that are stored. Our limit, about 2 MiB of memory. A disk written in order has one run,
/// and one written by several threads has a few.
const MAX_RUNS: usize = 65_536;

/// A set of byte ranges. Adjacent ranges are merged.
#[derive(Debug)]
pub(crate) struct Coverage {
    /// The end of each run by its start. Runs are not adjacent.
    runs: BTreeMap<u64, u64>,
    most: usize,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { runs: BTreeMap::new(), most: MAX_RUNS }
    }
}

impl Coverage {
    /// Adds `range`. If there are too many runs, returns the lowest gap between two of them, which is then part of the
    /// set: the caller must fill it.
    #[must_use = "a returned gap must be filled"]
    pub(crate) fn insert(&mut self, range: Range<u64>) -> Option<Range<u64>> {
        if range.is_empty() {
            return None;
        }
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &its_end)) = self.runs.range(..=start).next_back() {
            if its_end >= start {
                if its_end >= end {
                    return None;
                }
                start = before;
            }
        }
        while let Some((&next, &its_end)) = self.runs.range(start..=end).next() {
            self.runs.remove(&next);
            end = end.max(its_end);
        }
        self.runs.insert(start, end);
        if self.runs.len() <= self.most { None } else { self.close_lowest_gap() }
    }

    fn close_lowest_gap(&mut self) -> Option<Range<u64>> {
        let (first, gap_start) = self.runs.pop_first()?;
        let (gap_end, end) = self.runs.pop_first()?;
        self.runs.insert(first, end);
        Some(gap_start..gap_end)
    }

    /// Returns true if any byte of `range` is in the set.
    pub(crate) fn overlaps(&self, range: &Range<u64>) -> bool {
        self.runs
            .range(..range.end)
            .next_back()
            .is_some_and(|(_, end)| *end > range.start && !range.is_empty())
    }

    /// The ranges below `end` that are not in the set, ascending.
    pub(crate) fn gaps(&self, end: u64) -> impl Iterator<Item = Range<u64>> {
        let starts = self.runs.values().copied();
        let ends = self.runs.keys().copied();
        std::iter::once(0)
            .chain(starts)
            .zip(ends.chain(std::iter::once(end)))
            .map(move |(start, stop)| start..stop.min(end))
            .filter(|gap| !gap.is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of runs are compared")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn coverage_equals_a_set_of_bytes(
            ranges in proptest::collection::vec((0_u64..100, 0_u64..20), 0..30),
            asked in (0_u64..120, 0_u64..20),
        ) {
            let mut coverage = Coverage::default();
            let mut model = [false; 120];
            for (start, len) in ranges {
                prop_assert_eq!(coverage.insert(start..start + len), None);
                (start..start + len).for_each(|at| model[usize::try_from(at).unwrap()] = true);
            }
            let mut seen = [true; 120];
            let mut last = None;
            for gap in coverage.gaps(120) {
                prop_assert!(last.is_none_or(|end| gap.start > end));
                last = Some(gap.end);
                gap.for_each(|at| seen[usize::try_from(at).unwrap()] = false);
            }
            prop_assert_eq!(seen, model);
            let range = asked.0..asked.0 + asked.1;
            let any = range.clone().any(|at| model.get(usize::try_from(at).unwrap()) == Some(&true));
            prop_assert_eq!(coverage.overlaps(&range), any);
        }
    }

    #[test]
    fn too_many_runs_close_the_lowest_gap() {
        let mut coverage = Coverage { most: 2, ..Coverage::default() };
        assert_eq!(coverage.insert(50..60), None);
        assert_eq!(coverage.insert(10..20), None);
        assert_eq!(coverage.insert(30..40), Some(20..30));
        assert_eq!(coverage.gaps(100).collect::<Vec<_>>(), [0..10, 40..50, 60..100]);
        assert_eq!(coverage.gaps(5).collect::<Vec<_>>(), [0..5]);
    }
}
