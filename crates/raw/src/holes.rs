//! Where a host file has holes, with as few questions to the system as a walk needs.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use diskimg_core::Result;

use crate::error::{ended, io_at};
use crate::platform::{self, Next, Stamp};

/// Answers where data and holes lie, and remembers the last run.
///
/// Walking from run to run costs one `lseek` each, for a run ends where one of the other kind begins. A hole
/// is believed only as long as the file shows no change since: taken for zeros after somebody wrote into it,
/// it would lose data, while data that became a hole still reads right.
#[derive(Debug)]
pub(crate) struct Holes {
    last: Mutex<Option<Run>>,
    unknown: AtomicBool,
}

#[derive(Clone, Debug)]
struct Run {
    range: Range<u64>,
    data: bool,
    stamp: Stamp,
}

impl Holes {
    /// For a regular file, or (`false`) one that has no holes to tell of.
    pub(crate) fn new(known: bool) -> Self {
        Self { last: Mutex::new(None), unknown: AtomicBool::new(!known) }
    }

    /// Whether there is data at `at`, and the offset at which that ends, at most `size`. `at` is below `size`.
    pub(crate) fn run_at(&self, file: &File, at: u64, size: u64) -> Result<(bool, u64)> {
        if self.unknown.load(Ordering::Relaxed) {
            return Ok((true, size));
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let inside = last.as_ref().filter(|run| run.range.contains(&at));
        if let Some(run) = inside.filter(|run| run.data) {
            return Ok((true, run.range.end));
        }
        let stamp = platform::stamp(file).map_err(|error| io_at(error, "file status", at))?;
        if let Some(run) = inside.filter(|run| run.stamp == stamp) {
            return Ok((false, run.range.end));
        }
        let behind_hole = last.is_some_and(|run| !run.data && run.range.end == at);
        let Some((data, end)) = ask(file, at, size, behind_hole, &stamp)? else {
            self.unknown.store(true, Ordering::Relaxed);
            return Ok((true, size));
        };
        let run = Run { range: at..end, data, stamp };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
        Ok((data, end))
    }
}

/// Asks the system; `None` when it cannot tell.
fn ask(file: &File, at: u64, size: u64, behind_hole: bool, stamp: &Stamp) -> Result<Option<(bool, u64)>> {
    let failed = |error| io_at(error, "search for holes", at);
    let data_end = || match platform::next_hole(file, at).map_err(failed)? {
        Next::At(end) => Ok::<_, diskimg_core::Error>(Some(end.min(size))),
        Next::Nowhere | Next::Unknown => Ok(None),
    };
    if behind_hole && let Some(end) = data_end()?.filter(|end| *end > at) {
        return Ok(Some((true, end)));
    }
    match platform::next_data(file, at).map_err(failed)? {
        Next::At(start) if start > at => Ok(Some((false, start.min(size)))),
        // A hole put there between the two questions has no length here; the truth is then still data.
        Next::At(_) => Ok(data_end()?.map(|end| (true, end.max(at.saturating_add(1))))),
        // Past the end of a file that has shrunk there is no hole, there is nothing.
        Next::Nowhere if stamp.len <= at => Err(ended(stamp.len, size)),
        Next::Nowhere => Ok(Some((false, stamp.len.min(size)))),
        Next::Unknown => Ok(None),
    }
}
