//! Runs of data and holes in a range of a host file.

use diskimg_core::{HostRange, Result, range};

use crate::error::io_at;
use crate::platform::{self, SeekResult};

/// Returns true if `range` of a host file starts with data, and the length of that run. Everything is data if the system
/// cannot find holes, and past the end of the file.
pub(crate) fn run_at(range: HostRange<'_>) -> Result<(bool, u64)> {
    let failed = |error| io_at(error, "search for holes", range.offset);
    let until = |end: u64| range::len(&(range.offset..end)).min(range.len);
    match platform::next_data(range.file, range.offset).map_err(failed)? {
        SeekResult::At(start) if start > range.offset => Ok((false, until(start))),
        SeekResult::At(_) => match platform::next_hole(range.file, range.offset).map_err(failed)? {
            SeekResult::At(end) if end > range.offset => Ok((true, until(end))),
            _ => Ok((true, range.len)),
        },
        // A hole up to the end of the file, unless that is before the range.
        SeekResult::Nowhere => {
            let end = range.file.metadata().map_err(failed)?.len();
            Ok(if end > range.offset { (false, until(end)) } else { (true, range.len) })
        }
        SeekResult::Unknown => Ok((true, range.len)),
    }
}
