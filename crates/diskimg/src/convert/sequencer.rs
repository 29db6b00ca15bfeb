//! Sequencer for work that must happen in the order of the disk, and the end of all work when some of it fails.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use diskimg_core::{Error, ErrorKind, Result};

/// Gives segment after segment its turn, whichever worker holds it.
///
/// Each worker holds one segment at a time and segments are handed out in order, so that the next in turn is
/// always held by someone: nobody waits for ever. After a failure everyone stops.
pub(super) struct Sequencer {
    state: Mutex<State>,
    /// Whoever waits for segment `n` waits here at `n` modulo the number of workers: a turn wakes one worker.
    waiting: Vec<Condvar>,
}

struct State {
    next: u64,
    failed: Option<Error>,
    stopped: bool,
}

impl Sequencer {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            state: Mutex::new(State { next: 0, failed: None, stopped: false }),
            waiting: (0..workers.max(1)).map(|_| Condvar::new()).collect(),
        }
    }

    /// Waits for the turn of segment `number`, does `work`, and passes the turn on.
    ///
    /// # Errors
    /// What `work` gives; [`ErrorKind::Cancelled`] when another worker failed meanwhile.
    pub(super) fn take(&self, number: u64, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut state = self.lock();
        while state.next != number && !state.stopped {
            state = match self.place(number) {
                Some(condvar) => condvar.wait(state).unwrap_or_else(PoisonError::into_inner),
                None => state,
            };
        }
        if state.stopped {
            return Err(stopped());
        }
        drop(state);
        work()?;
        self.lock().next = number.saturating_add(1);
        if let Some(condvar) = self.place(number.saturating_add(1)) {
            condvar.notify_one();
        }
        Ok(())
    }

    /// Stops all workers because of `error`; the first one is kept.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.lock();
        state.stopped = true;
        state.failed.get_or_insert(error);
        drop(state);
        for condvar in &self.waiting {
            condvar.notify_all();
        }
    }

    /// Whether all workers should stop.
    pub(super) fn stopped(&self) -> bool {
        self.lock().stopped
    }

    /// What stopped the work, if something did.
    ///
    /// # Errors
    /// The first failure of any worker.
    pub(super) fn outcome(&self) -> Result<()> {
        match self.lock().failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, number: u64) -> Option<&Condvar> {
        let place = number.checked_rem(self.waiting.len() as u64)?;
        self.waiting.get(usize::try_from(place).ok()?)
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled).because("another worker stopped the conversion")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn turns_come_in_order_whoever_holds_them() {
        let turns = Sequencer::new(7);
        let (cursor, seen) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..7 {
                scope.spawn(|| {
                    loop {
                        let number = cursor.fetch_add(1, Ordering::Relaxed);
                        if number >= 500 {
                            return;
                        }
                        turns
                            .take(number, || {
                                seen.lock().unwrap().push(number);
                                Ok(())
                            })
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(seen.into_inner().unwrap(), (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn a_failure_wakes_and_stops_everyone_and_is_kept() {
        let turns = Sequencer::new(2);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take(5, || Ok(())));
            turns.fail(Error::new(ErrorKind::Corrupt));
            turns.fail(Error::new(ErrorKind::Io));
            assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        });
        assert_eq!(turns.outcome().unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
