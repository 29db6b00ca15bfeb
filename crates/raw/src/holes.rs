//! The holes of a host file, with few system calls.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use diskimg_core::Result;

use crate::error::{ended, io_at};
use crate::platform::{self, FileStamp, SeekResult};

/// Finds the data and holes of a file, and caches the last run.
///
/// A sequence of runs costs one `lseek` each, because a run ends where one of the other kind begins. A cached hole is
/// valid only while the file is unmodified: a hole that was written to since would lose data, while data that became a
/// hole still reads correctly.
#[derive(Debug)]
pub(crate) struct Holes {
    last: Mutex<Option<FileRun>>,
    /// True if the system cannot find holes in this file.
    unknown: AtomicBool,
}

/// A run of data, or a hole.
#[derive(Clone, Debug)]
struct FileRun {
    range: Range<u64>,
    data: bool,
    stamp: FileStamp,
}

impl Holes {
    /// Creates the cache of a file. If `known` is false, the file has no detectable holes.
    pub(crate) fn new(known: bool) -> Self {
        Self { last: Mutex::new(None), unknown: AtomicBool::new(!known) }
    }

    /// Returns true if there is data at `at`, and the end of that run, at most `size`. `at` must be below `size`.
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
        let after_hole = last.is_some_and(|run| !run.data && run.range.end == at);
        let Some((data, end)) = find_run(file, at, size, after_hole)? else {
            self.unknown.store(true, Ordering::Relaxed);
            return Ok((true, size));
        };
        let run = FileRun { range: at..end, data, stamp };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
        Ok((data, end))
    }
}

/// Finds the run at `at`; `None` if the system cannot.
fn find_run(file: &File, at: u64, size: u64, after_hole: bool) -> Result<Option<(bool, u64)>> {
    let failed = |error| io_at(error, "search for holes", at);
    let data_end = || match platform::next_hole(file, at).map_err(failed)? {
        SeekResult::At(end) => Ok::<_, diskimg_core::Error>(Some(end.min(size))),
        SeekResult::Nowhere | SeekResult::Unknown => Ok(None),
    };
    if after_hole {
        if let Some(end) = data_end()?.filter(|end| *end > at) {
            return Ok(Some((true, end)));
        }
    }
    match platform::next_data(file, at).map_err(failed)? {
        SeekResult::At(start) if start > at => Ok(Some((false, start.min(size)))),
        // If a hole was punched there between the two calls, the run is still reported as data of at least one byte.
        SeekResult::At(_) => Ok(data_end()?.map(|end| (true, end.max(at.saturating_add(1))))),
        SeekResult::Nowhere => hole_to_end(file, at, size).map(|end| Some((false, end))),
        SeekResult::Unknown => Ok(None),
    }
}

/// Returns the end of a hole after which the system finds no data. It finds none past the end of a file that has
/// become shorter either, so the length is read after the search: an earlier one may be outdated.
fn hole_to_end(file: &File, at: u64, size: u64) -> Result<u64> {
    let len = platform::stamp(file).map_err(|error| io_at(error, "file status", at))?.len;
    if len < size { Err(ended(len, size)) } else { Ok(size) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    #[test]
    fn file_that_becomes_shorter_has_no_hole_at_its_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        assert_eq!(hole_to_end(&file, 1 << 20, 8 << 20).unwrap(), 8 << 20);
        // The length that the caller knows is that of the open file.
        for len in [4 << 20, 1 << 20, 0] {
            file.set_len(len).unwrap();
            let error = hole_to_end(&file, 1 << 20, 8 << 20).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, Some(len)));
            let error = Holes::new(true).run_at(&file, 1 << 20, 8 << 20).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated);
        }
    }
}
