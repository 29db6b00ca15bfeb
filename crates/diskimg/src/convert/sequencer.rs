//! Orders the work of several threads by segment, and stops all threads after a failure.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use diskimg_core::{Error, Result};

/// Runs work in the order of the segments, whichever worker has the segment.
///
/// Each worker has one segment at a time and takes segments in order, so that a worker always has the next segment: no
/// worker waits forever. After a failure all workers stop.
pub(super) struct Sequencer {
    state: Mutex<SequencerState>,
    /// The worker with segment `n` waits at index `n` modulo the number of workers: each turn wakes one worker.
    waiting: Vec<Condvar>,
}

struct SequencerState {
    next: u64,
    failed: Option<Error>,
    stopped: bool,
}

impl Sequencer {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            state: Mutex::new(SequencerState { next: 0, failed: None, stopped: false }),
            waiting: (0..workers.max(1)).map(|_| Condvar::new()).collect(),
        }
    }

    /// Waits for the turn of segment `number`, runs `work`, and lets the next segment run.
    ///
    /// # Errors
    /// The error of `work`; [`Cancelled`](diskimg_core::ErrorKind::Cancelled) if another worker failed during the wait.
    pub(super) fn in_turn(&self, number: u64, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut state = self.lock();
        while state.next != number && !state.stopped {
            state = match self.condvar(number) {
                Some(condvar) => condvar.wait(state).unwrap_or_else(PoisonError::into_inner),
                None => state,
            };
        }
        if state.stopped {
            return Err(Error::cancelled());
        }
        drop(state);
        work()?;
        self.lock().next = number.saturating_add(1);
        if let Some(condvar) = self.condvar(number.saturating_add(1)) {
            condvar.notify_one();
        }
        Ok(())
    }

    /// Stops all workers because of `error`. Only the first error is kept.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.lock();
        state.stopped = true;
        state.failed.get_or_insert(error);
        drop(state);
        for condvar in &self.waiting {
            condvar.notify_all();
        }
    }

    /// True if all workers should stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Returns the first error of any worker.
    ///
    /// # Errors
    /// That error.
    pub(super) fn outcome(&self) -> Result<()> {
        self.lock().failed.take().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, SequencerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn condvar(&self, number: u64) -> Option<&Condvar> {
        let index = number.checked_rem(self.waiting.len() as u64)?;
        self.waiting.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn segments_run_in_order_with_any_number_of_workers() {
        let sequencer = Sequencer::new(7);
        let (cursor, seen) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..7 {
                scope.spawn(|| {
                    loop {
                        let number = cursor.fetch_add(1, Ordering::Relaxed);
                        if number >= 500 {
                            return;
                        }
                        sequencer
                            .in_turn(number, || {
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
    fn failure_wakes_and_stops_all_workers_and_is_returned() {
        let sequencer = Sequencer::new(2);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| sequencer.in_turn(5, || Ok(())));
            sequencer.fail(Error::new(diskimg_core::ErrorKind::Corrupt));
            sequencer.fail(Error::new(diskimg_core::ErrorKind::Io));
            assert_eq!(waiting.join().unwrap().unwrap_err().kind(), diskimg_core::ErrorKind::Cancelled);
        });
        assert_eq!(sequencer.outcome().unwrap_err().kind(), diskimg_core::ErrorKind::Corrupt);
    }
}
