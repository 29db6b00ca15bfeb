//! Limits the bytes per second that a conversion writes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use diskimg_core::{Progress, Result};

/// The longest wait between two questions if the conversion was cancelled.
const STEP: Duration = Duration::from_millis(50);

/// The time without writes that counts later, our choice: it makes up for waits that were too long.
const CREDIT: Duration = Duration::from_millis(100);

/// A rate that all workers of a conversion share.
pub(super) struct RateLimit {
    /// Bytes per second, at least 1.
    rate: u64,
    /// The time at which all bytes so far are due.
    due: Mutex<Instant>,
}

impl RateLimit {
    /// A limit of `rate` bytes per second; `None` for no limit or 0.
    pub(super) fn new(rate: Option<u64>) -> Option<Self> {
        let rate = rate.filter(|rate| *rate > 0)?;
        Some(Self { rate, due: Mutex::new(Instant::now()) })
    }

    /// Waits until `bytes` more are due.
    ///
    /// # Errors
    /// [`Cancelled`](diskimg_core::ErrorKind::Cancelled) if `progress` stops the conversion.
    pub(super) fn wait(&self, bytes: u64, progress: &dyn Progress) -> Result<()> {
        let due = self.reserve(bytes, Instant::now());
        loop {
            let rest = due.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(());
            }
            std::thread::sleep(rest.min(STEP));
            progress.report(0)?;
        }
    }

    /// Adds `bytes` to those that are due, and returns the time at which they are.
    fn reserve(&self, bytes: u64, now: Instant) -> Instant {
        let nanoseconds = u128::from(bytes).saturating_mul(1_000_000_000).checked_div(self.rate.into());
        let needed = u64::try_from(nanoseconds.unwrap_or(0)).unwrap_or(u64::MAX);
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let from = now.checked_sub(CREDIT).unwrap_or(now).max(*due);
        *due = from.checked_add(Duration::from_nanos(needed)).unwrap_or(from);
        *due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_due_at_the_rate_whatever_their_portions() {
        for portion in [1, 1000, 65_536, 1 << 20] {
            let limit = RateLimit::new(Some(1 << 20)).unwrap();
            let start = *limit.due.lock().unwrap();
            let count = (8 << 20) / portion;
            let due = (0..count).fold(start, |_, _| limit.reserve(portion, start));
            let seconds = due.duration_since(start).as_secs_f64();
            let expected = (count * portion) as f64 / f64::from(1 << 20);
            assert!((seconds - expected).abs() < 0.01, "{portion}: {seconds}");
        }
    }

    #[test]
    fn idle_time_counts_only_up_to_the_credit() {
        let limit = RateLimit::new(Some(1000)).unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(limit.reserve(1000, later), later - CREDIT + Duration::from_secs(1));
        assert!(limit.reserve(u64::MAX, later) > later);
    }

    #[test]
    fn rate_of_zero_is_no_limit() {
        assert!(RateLimit::new(Some(0)).is_none() && RateLimit::new(None).is_none());
    }

    #[test]
    fn wait_ends_if_the_conversion_is_cancelled() {
        let cancel = diskimg_core::Cancel::default();
        cancel.trigger();
        let error = RateLimit::new(Some(1)).unwrap().wait(1 << 40, &cancel).unwrap_err();
        assert_eq!(error.kind(), diskimg_core::ErrorKind::Cancelled);
    }
}
