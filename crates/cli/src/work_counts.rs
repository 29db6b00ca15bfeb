//! The amount of work done, which any thread can print.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of work done, and the bytes of all work if they are known.
#[derive(Default)]
pub(crate) struct WorkCounts {
    done: AtomicU64,
    /// 0 if unknown.
    total: AtomicU64,
}

impl WorkCounts {
    /// Sets the bytes of all work; 0 if unknown.
    pub(crate) fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The percentage in the form of `qemu-img`, which programs search for: `    (12.34/100%)`. It is 0 while the total
    /// is unknown, and 100 if the work is complete.
    pub(crate) fn percentage(&self, is_complete: bool) -> String {
        let (done, total) = (self.done(), self.total());
        let hundredths = match total {
            _ if is_complete => 10_000,
            0 => 0,
            total => {
                u128::from(done.min(total)).saturating_mul(10_000).checked_div(total.into()).unwrap_or(0)
            }
        };
        format!("    ({}.{:02}/100%)", hundredths / 100, hundredths % 100)
    }

    /// Prints the percentage on a line of standard error.
    pub(crate) fn print(&self) {
        let _ = writeln!(std::io::stderr(), "{}", self.percentage(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentage_has_the_form_of_qemu_img() {
        let counts = WorkCounts::default();
        assert_eq!(counts.percentage(false), "    (0.00/100%)");
        counts.begin(u64::MAX);
        counts.advance(u64::MAX / 8);
        assert_eq!(counts.percentage(false), "    (12.49/100%)");
        counts.advance(u64::MAX / 2);
        assert_eq!(counts.percentage(true), "    (100.00/100%)");
    }
}
