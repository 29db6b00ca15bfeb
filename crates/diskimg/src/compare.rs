//! Comparing two disks as a guest would see them.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use diskimg_core::{BlockSource, Error, ErrorKind, Progress, Result};

/// Bytes compared at a time, by each thread, of each disk.
const STEP: u64 = 1 << 20;

/// How two disks differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// Guest offset of the first byte that differs. A disk that is shorter counts as zeros behind its end.
    pub first_difference: Option<u64>,
    /// Sizes of the two disks in bytes.
    pub sizes: (u64, u64),
}

impl Comparison {
    /// Whether a guest would find the same bytes, but perhaps zeros behind the end of one disk.
    #[must_use]
    pub fn same_content(&self) -> bool {
        self.first_difference.is_none()
    }

    /// Whether the disks are also of one size.
    #[must_use]
    pub fn identical(&self) -> bool {
        self.same_content() && self.sizes.0 == self.sizes.1
    }
}

/// Compares two disks on `threads` threads (0 for one a core) and finds the first difference. Ranges that
/// both know to be zeros are not read.
///
/// # Errors
/// Whatever either source gives; [`ErrorKind::Cancelled`] when `progress` stopped it.
///
/// ```
/// use diskimg::{Memory, compare};
/// let (a, b) = (Memory::new(vec![1; 1000]), Memory::new([vec![1; 999], vec![2]].concat()));
/// assert_eq!(compare(&a, &b, 0, &())?.first_difference, Some(999));
/// # Ok::<(), diskimg::Error>(())
/// ```
pub fn compare(
    a: &dyn BlockSource,
    b: &dyn BlockSource,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Comparison> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let work = Work {
        a,
        b,
        next: Mutex::new(0),
        difference: AtomicU64::new(u64::MAX),
        failed: Mutex::new(None),
        progress,
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work.run());
        }
        work.run();
    });
    if let Some(error) = work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let difference = work.difference.into_inner();
    Ok(Comparison {
        first_difference: (difference != u64::MAX).then_some(difference),
        sizes: (a.size(), b.size()),
    })
}

struct Work<'a> {
    a: &'a dyn BlockSource,
    b: &'a dyn BlockSource,
    next: Mutex<u64>,
    /// The first difference found so far; nothing behind it matters.
    difference: AtomicU64,
    failed: Mutex<Option<Error>>,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    fn run(&self) {
        let mut buffers = (Vec::new(), Vec::new());
        if let Err(error) = self.all(&mut buffers) {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.difference.store(0, Ordering::Relaxed);
        }
    }

    fn all(&self, buffers: &mut (Vec<u8>, Vec<u8>)) -> Result<()> {
        while let Some((range, both_zero)) = self.take()? {
            if !both_zero && let Some(difference) = self.differs(range.clone(), buffers)? {
                self.difference.fetch_min(difference, Ordering::Relaxed);
            }
            if let ControlFlow::Break(()) = self.progress.advance(range.end.saturating_sub(range.start)) {
                return Err(Error::new(ErrorKind::Cancelled).because("the comparison was cancelled"));
            }
        }
        Ok(())
    }

    /// The next range, and whether both disks are known to be zeros there.
    fn take(&self) -> Result<Option<(Range<u64>, bool)>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *next;
        let end = self.a.size().max(self.b.size());
        if start >= end || start >= self.difference.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let zeros_to = zeros_to(self.a, start, end)?.min(zeros_to(self.b, start, end)?);
        let (stop, zeros) = match zeros_to > start {
            true => (zeros_to, true),
            false => (end.min(start.saturating_add(STEP)), false),
        };
        *next = stop;
        Ok(Some((start..stop, zeros)))
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

/// Where the zeros end that `source` is known to have from `start` on; `start` if it has none.
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
    let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or_default();
    buf.clear();
    buf.resize(len, 0);
    let held = source.size().saturating_sub(range.start).min(len as u64);
    match buf.get_mut(..usize::try_from(held).unwrap_or_default()) {
        Some(held) if !held.is_empty() => source.read_at(range.start, held),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::Memory;
    use diskimg_core::conformance::painted;

    fn differences(a: &[u8], b: &[u8]) -> Comparison {
        let (a, b) = (Memory::new(a.to_vec()), Memory::new(b.to_vec()));
        let one = compare(&a, &b, 1, &()).unwrap();
        assert_eq!(one, compare(&a, &b, 3, &()).unwrap());
        one
    }

    #[test]
    fn the_first_difference_is_found_wherever_it_lies() {
        let a = painted(0, 3 << 20);
        for at in [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) - 1] {
            let mut b = a.clone();
            b[at..].iter_mut().step_by(70_001).for_each(|byte| *byte ^= 0x80);
            assert_eq!(differences(&a, &b).first_difference, Some(at as u64));
        }
    }

    #[test]
    fn a_longer_disk_is_the_same_only_with_zeros_at_its_end() {
        let a = painted(0, 1000);
        let longer = [a.clone(), vec![0; 500]].concat();
        let comparison = differences(&a, &longer);
        assert!(comparison.same_content() && !comparison.identical());
        let other = [a.clone(), vec![0; 499], vec![1]].concat();
        assert_eq!(differences(&a, &other).first_difference, Some(1499));
    }

    #[test]
    fn a_stopped_comparison_says_so() {
        let cancel = diskimg_core::Cancel::default();
        cancel.trigger();
        let disk = Memory::new(vec![1; 10]);
        assert_eq!(compare(&disk, &disk, 1, &cancel).unwrap_err().kind(), ErrorKind::Cancelled);
    }

    #[test]
    fn zeros_and_data_differ() {
        let (zero, data) = (vec![0; 1 << 21], painted(1, 1 << 21));
        assert_eq!(differences(&zero, &data).first_difference, Some(0));
    }
}
