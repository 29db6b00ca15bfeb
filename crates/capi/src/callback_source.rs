//! Files of the caller as sources: files that callbacks provide, and bytes in memory.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use diskimg::core::{Location, check_range, range};
use diskimg::{BlockSource, Error, ErrorKind, Extent, ExtentKind, Result};

use crate::argument::{self, invalid};
use crate::io::{Callbacks, broken};

/// A source that reads through callbacks.
pub(crate) struct CallbackSource {
    callbacks: Callbacks,
    size: u64,
    /// The last answer of `next_data`, which the next one must agree with.
    last: Mutex<Option<NextData>>,
}

/// An answer of `next_data`: `asked..data.start` is a hole, and `data` is data.
#[derive(Clone)]
struct NextData {
    asked: u64,
    data: Range<u64>,
}

impl NextData {
    /// Returns false if the other answer contradicts this one: one says hole where the other says data.
    fn agrees_with(&self, other: &Self) -> bool {
        let (hole, data) = (self.asked..self.data.start, &self.data);
        let (other_hole, other_data) = (other.asked..other.data.start, &other.data);
        range::intersect(&hole, other_data).is_none() && range::intersect(data, &other_hole).is_none()
    }
}

impl CallbackSource {
    /// Requests the size once.
    pub(crate) fn new(callbacks: Callbacks) -> Result<Self> {
        if callbacks.functions().pread.is_none() {
            return Err(invalid("pread", "a function, not NULL"));
        }
        let size = callbacks.size()?;
        if i64::try_from(size).is_err() {
            return Err(broken("size").found(size).expected("at most 2^63 - 1 bytes"));
        }
        Ok(Self { callbacks, size, last: Mutex::new(None) })
    }

    /// Returns the next data range that ends after `asked`; `None` without a function for it. After the last data it is the
    /// empty range at the end of the file.
    ///
    /// # Errors
    /// Rejects a range that cannot be right, and one that contradicts the last one.
    fn next_data(&self, asked: u64) -> Result<Option<Range<u64>>> {
        let Some(data) = self.callbacks.next_data(asked)? else { return Ok(None) };
        let invalid = |expected: std::fmt::Arguments<'_>| {
            let found = format!("{}..{} for offset {asked}", data.start, data.end);
            Err(broken("next_data").found(found).expected(expected))
        };
        if data.end < data.start {
            return invalid(format_args!("a range that ends after its start"));
        }
        if data.start > self.size {
            return invalid(format_args!("a range that starts in the file of {} bytes", self.size));
        }
        if data.start < self.size && data.end <= data.start.max(asked) {
            return invalid(format_args!("a range of at least one byte that ends after the offset"));
        }
        let answer = NextData { asked, data: data.start..data.end.min(self.size) };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.replace(answer.clone()).filter(|earlier| !answer.agrees_with(earlier)) {
            None => Ok(Some(answer.data)),
            Some(earlier) => invalid(format_args!(
                "the same holes as in {}..{} for offset {}",
                earlier.data.start, earlier.data.end, earlier.asked
            )),
        }
    }
}

impl BlockSource for CallbackSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let read = self.callbacks.pread(rest, at)?;
            if read == 0 {
                return Err(Error::new(ErrorKind::Truncated)
                    .field("callback pread")
                    .at(at)
                    .because(format_args!("no bytes were read, in a file of {} bytes", self.size)));
            }
            at = at.saturating_add(read as u64);
            rest = rest.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_range(range.start, range::len(&range).max(1), self.size)?;
        let Some(data) = self.next_data(range.start)? else {
            return Ok(Extent::new(range, ExtentKind::Data));
        };
        if data.start > range.start {
            let end = range.end.min(data.start);
            return Ok(Extent::new(range.start..end, ExtentKind::Zero));
        }
        Ok(Extent::new(range.start..range.end.min(data.end), ExtentKind::Data))
    }
}

/// Bytes in memory of the caller, borrowed until the handle is closed.
pub(crate) struct BorrowedBytes(&'static [u8]);

impl BorrowedBytes {
    /// # Safety
    /// `data` is NULL, or readable for `len` bytes that stay unchanged while this lives.
    ///
    /// # Errors
    /// Rejects NULL with a length, and a length larger than memory.
    pub(crate) unsafe fn new(data: *const c_void, len: usize) -> Result<Self> {
        // SAFETY: guaranteed by the caller. The bytes are borrowed for no longer than `self`.
        unsafe { argument::bytes(data, len, "data") }.map(Self)
    }
}

impl BlockSource for BorrowedBytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let bytes = range::slice(self.0, 0, &(offset..offset.saturating_add(buf.len() as u64)));
        buf.copy_from_slice(bytes.ok_or_else(|| Error::new(ErrorKind::Internal))?);
        Ok(())
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        Location { host: None, bytes: range::slice(self.0, 0, &range) }
    }
}
