//! Checking the structure of an image.

/// The maximum number of problems that a [`CheckReport`] lists; all are counted. Our limit: a hostile image may have
/// one per table entry.
const MAX_LISTED: usize = 1000;

/// The result of a check of an image's structure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// The number of problems that make guest bytes wrong or unreadable, or may do so when the image is written.
    pub corruptions: u64,
    /// The number of units of the file that nothing refers to. They only waste space.
    pub leaks: u64,
    /// The first problems, in the order they were found.
    pub problems: Vec<Problem>,
    /// The byte offset after the last unit in use.
    pub image_end: Option<u64>,
    /// The number of units (clusters, grains, blocks) of the virtual disk.
    pub total_units: Option<u64>,
    /// The number of units with data of their own.
    pub allocated_units: Option<u64>,
    /// The number of allocated units that are compressed.
    pub compressed_units: u64,
    /// The number of allocated units that do not directly follow the previous one in the file.
    pub fragmented_units: u64,
}

/// One problem in the structure of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The kind of the problem.
    pub kind: ProblemKind,
    /// A message of one line, with escaped names.
    pub message: String,
    /// The byte offset in the image file, if the problem has one.
    pub offset: Option<u64>,
}

/// The kind of a [`Problem`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProblemKind {
    /// Guest bytes are wrong or unreadable, or may become so.
    Corruption,
    /// Space is lost.
    Leak,
}

impl CheckReport {
    /// Counts a corruption, and lists it while there is room.
    pub fn corruption(&mut self, offset: Option<u64>, message: impl Into<String>) {
        self.corruptions = self.corruptions.saturating_add(1);
        self.list(ProblemKind::Corruption, offset, message);
    }

    /// Counts a corruption, and lists it with the message that `message` makes while there is room.
    pub fn corruption_with(&mut self, offset: Option<u64>, message: impl FnOnce() -> String) {
        if self.problems.len() < MAX_LISTED {
            self.corruption(offset, message());
        } else {
            self.corruptions = self.corruptions.saturating_add(1);
        }
    }

    /// Counts `units` consecutive leaked units, and lists them as one problem while there is room.
    pub fn leak(&mut self, units: u64, offset: Option<u64>, message: impl Into<String>) {
        self.leaks = self.leaks.saturating_add(units);
        self.list(ProblemKind::Leak, offset, message);
    }

    /// True if no problem was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.corruptions == 0 && self.leaks == 0
    }

    fn list(&mut self, kind: ProblemKind, offset: Option<u64>, message: impl Into<String>) {
        if self.problems.len() < MAX_LISTED {
            self.problems.push(Problem { kind, message: message.into(), offset });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_counted_and_the_first_are_listed() {
        let mut report = CheckReport::default();
        assert!(report.is_clean());
        for n in 0..3000 {
            report.corruption(Some(n), "bad");
            report.leak(2, None, "lost");
        }
        report.corruption_with(None, || unreachable!("the list is full"));
        assert_eq!(report.corruptions, 3001);
        report.corruptions = 3000;
        assert_eq!((report.corruptions, report.leaks, report.problems.len()), (3000, 6000, MAX_LISTED));
        assert_eq!(report.problems[1].kind, ProblemKind::Leak);
        assert!(!report.is_clean());
    }
}
