//! What is wrong with the structure of an image.

use std::sync::Arc;

use crate::{BlockSource, OpenOptions, Result};

/// Checks the structure of one layer of an image, opening nothing else but what the layer itself consists of:
/// the type of [`crate::Driver::check`].
pub type CheckFn = fn(Arc<dyn BlockSource>, &OpenOptions<'_>) -> Result<CheckReport>;

/// How many problems a [`CheckReport`] tells in words. A bound of ours: a hostile image has one for each of its
/// table entries, and nobody reads the thousandth. All are counted.
const TOLD: usize = 1000;

/// What a check of an image's structure found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Problems that make guest bytes wrong or unreadable, or may do so when the image is written.
    pub corruptions: u64,
    /// Units of the file that nothing uses: lost space, and nothing else.
    pub leaks: u64,
    /// The first problems, in the order they were found.
    pub problems: Vec<Problem>,
    /// Byte offset behind the last unit in use.
    pub image_end: Option<u64>,
    /// Units (clusters, grains, blocks) of the virtual disk.
    pub total_units: Option<u64>,
    /// Of these, how many have data of their own.
    pub allocated_units: Option<u64>,
    /// Of the allocated ones, how many are compressed.
    pub compressed_units: u64,
    /// Of the allocated ones, how many do not lie right behind the one before.
    pub fragmented_units: u64,
}

/// One thing that is wrong with the structure of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub kind: ProblemKind,
    /// One line for people, names escaped.
    pub message: String,
    /// The byte offset in the image file, if there is one place.
    pub offset: Option<u64>,
}

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProblemKind {
    /// Guest bytes are wrong or unreadable, or may become so.
    Corruption,
    /// Space is lost.
    Leak,
}

impl CheckReport {
    /// Counts a corruption, and tells it while there is room.
    pub fn corruption(&mut self, offset: Option<u64>, message: impl Into<String>) {
        self.corruptions = self.corruptions.saturating_add(1);
        self.tell(ProblemKind::Corruption, offset, message);
    }

    /// Counts `units` leaked units in a row, and tells them as one while there is room.
    pub fn leak(&mut self, units: u64, offset: Option<u64>, message: impl Into<String>) {
        self.leaks = self.leaks.saturating_add(units);
        self.tell(ProblemKind::Leak, offset, message);
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.corruptions == 0 && self.leaks == 0
    }

    fn tell(&mut self, kind: ProblemKind, offset: Option<u64>, message: impl Into<String>) {
        if self.problems.len() < TOLD {
            self.problems.push(Problem { kind, message: message.into(), offset });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_counted_and_the_first_are_told() {
        let mut report = CheckReport::default();
        assert!(report.is_clean());
        for n in 0..3000 {
            report.corruption(Some(n), "bad");
            report.leak(2, None, "lost");
        }
        assert_eq!((report.corruptions, report.leaks, report.problems.len()), (3000, 6000, TOLD));
        assert_eq!(report.problems[1].kind, ProblemKind::Leak);
        assert!(!report.is_clean());
    }
}
