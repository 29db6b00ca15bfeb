//! The scan of two disks, by several threads in parallel.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use diskimg_core::{BlockSource, Error, ErrorKind, Fault, Progress, Result, range};

use super::comparison::{CompareOptions, Comparison, Difference, Status};
use crate::workers::{run_on, thread_count};

/// The bytes that a thread compares at a time.
const STEP: u64 = 1 << 20;

/// Compares two disks and finds the first difference. Ranges that are known zeros in both are not read. Each thread
/// uses 2 MiB of memory.
///
/// # Errors
/// Errors of the sources; [`ErrorKind::Cancelled`] if `progress` cancelled it.
///
/// ```
/// use diskimg::{CompareOptions, Difference, Memory, compare};
/// let (a, b) = (Memory::new(vec![1; 1000]), Memory::new([vec![1; 999], vec![2]].concat()));
/// let compared = compare(&a, &b, &CompareOptions::default(), &())?;
/// assert_eq!(compared.difference, Some(Difference::Content { offset: 999 }));
/// # Ok::<(), diskimg::Error>(())
/// ```
pub fn compare(
    a: &dyn BlockSource,
    b: &dyn BlockSource,
    options: &CompareOptions,
    progress: &dyn Progress,
) -> Result<Comparison> {
    let sizes = (a.size(), b.size());
    if options.strict && sizes.0 != sizes.1 {
        return Ok(Comparison { difference: Some(Difference::Size), sizes });
    }
    let work = CompareJob {
        a,
        b,
        strict: options.strict,
        cursor: Mutex::default(),
        difference: AtomicU64::new(u64::MAX),
        failed: Mutex::new(None),
        progress,
    };
    run_on(thread_count(options.threads), || work.run());
    if let Some(error) = work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    // Content is compared only up to the first difference in status.
    let difference = match work.difference.into_inner() {
        u64::MAX => work.cursor.into_inner().unwrap_or_else(PoisonError::into_inner).status,
        offset => Some(Difference::Content { offset }),
    };
    Ok(Comparison { difference, sizes })
}

struct CompareJob<'a> {
    a: &'a dyn BlockSource,
    b: &'a dyn BlockSource,
    strict: bool,
    cursor: Mutex<ScanCursor>,
    /// The offset of the first difference in content so far. Bytes after it are not compared.
    difference: AtomicU64,
    failed: Mutex<Option<Error>>,
    progress: &'a dyn Progress,
}

/// The progress of the scan, shared by the threads.
#[derive(Default)]
struct ScanCursor {
    next: u64,
    /// The first difference in status. Bytes after it are not compared.
    status: Option<Difference>,
}

impl CompareJob<'_> {
    fn run(&self) {
        let mut buffers = (Vec::new(), Vec::new());
        if let Err(error) = self.all(&mut buffers) {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.difference.store(0, Ordering::Relaxed);
        }
    }

    fn all(&self, buffers: &mut (Vec<u8>, Vec<u8>)) -> Result<()> {
        while let Some((range, both_zero)) = self.take()? {
            if !both_zero {
                if let Some(difference) = self.differs(range.clone(), buffers)? {
                    self.difference.fetch_min(difference, Ordering::Relaxed);
                }
            }
            self.progress.report(range::len(&range))?;
        }
        Ok(())
    }

    /// Returns the next range, with true if both disks are known zeros there.
    fn take(&self) -> Result<Option<(Range<u64>, bool)>> {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let start = cursor.next;
        let end = self.a.size().max(self.b.size());
        if start >= end || cursor.status.is_some() || start >= self.difference.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let zeros_to = zeros_to(self.a, start, end)?.min(zeros_to(self.b, start, end)?);
        let (mut stop, zeros) = match zeros_to > start {
            true => (zeros_to, true),
            false => (end.min(start.saturating_add(STEP)), false),
        };
        if self.strict {
            cursor.status = self.first_status(start..stop)?;
            stop = cursor.status.and_then(|status| status.offset()).unwrap_or(stop);
        }
        cursor.next = stop;
        Ok((start < stop).then_some((start..stop, zeros)))
    }

    /// Finds the first difference in status in `range`, which is inside both disks.
    fn first_status(&self, range: Range<u64>) -> Result<Option<Difference>> {
        let mut offset = range.start;
        while offset < range.end {
            let a = self.a.extent_at(offset..range.end)?;
            let b = self.b.extent_at(offset..range.end)?;
            let statuses = (Status::from(&a), Status::from(&b));
            if statuses.0 != statuses.1 {
                return Ok(Some(Difference::Status { offset, statuses }));
            }
            // The scan must end even if a source of the caller returns empty extents.
            offset = a.end().min(b.end()).max(offset.saturating_add(1));
        }
        Ok(None)
    }

    fn differs(&self, range: Range<u64>, (a, b): &mut (Vec<u8>, Vec<u8>)) -> Result<Option<u64>> {
        read_padded(self.a, &range, a)?;
        read_padded(self.b, &range, b)?;
        if a == b {
            return Ok(None);
        }
        let at = a.iter().zip(b.iter()).position(|(a, b)| a != b).unwrap_or(0);
        Ok(Some(range.start.saturating_add(at as u64)))
    }
}

/// Returns the end of the known zeros at `start`; `start` if there are none.
fn zeros_to(source: &dyn BlockSource, start: u64, end: u64) -> Result<u64> {
    if start >= source.size() {
        return Ok(end);
    }
    let extent = source.extent_at(start..end.min(source.size()))?;
    match extent.kind.reads_as_zeros() {
        false => Ok(start),
        true if extent.end() >= source.size() => Ok(end),
        true => Ok(extent.end()),
    }
}

fn read_padded(source: &dyn BlockSource, range: &Range<u64>, buf: &mut Vec<u8>) -> Result<()> {
    let len = range::buffer_len(range);
    buf.clear();
    let no_memory = |_| {
        Error::new(ErrorKind::Limit)
            .because(format_args!("no memory for a buffer of {len} bytes"))
            .with_fault(Fault::Machine)
    };
    buf.try_reserve(len).map_err(no_memory)?;
    buf.resize(len, 0);
    let stored = range::buffer_len(&(range.start..source.size())).min(len);
    match buf.get_mut(..stored) {
        Some(stored) if !stored.is_empty() => source.read_at(range.start, stored),
        _ => Ok(()),
    }
}
