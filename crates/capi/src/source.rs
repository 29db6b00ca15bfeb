//! Files of the caller's as sources: behind callbacks, and in memory.

use std::ops::Range;

use diskimg::{BlockSource, Error, ErrorKind, Extent, ExtentKind, Location, Result, check_range};

use crate::guard::invalid;
use crate::io::{Callbacks, broken};

/// A file behind callbacks, read.
pub(crate) struct CallbackSource {
    callbacks: Callbacks,
    size: u64,
}

impl CallbackSource {
    /// Asks for the size, once.
    pub(crate) fn new(callbacks: Callbacks) -> Result<Self> {
        if callbacks.functions().pread.is_none() {
            return Err(invalid("pread", "a function, and not NULL"));
        }
        let size = callbacks.size()?;
        if i64::try_from(size).is_err() {
            return Err(broken("size").found(size).expected("at most 2^63 - 1 bytes"));
        }
        Ok(Self { callbacks, size })
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
                    .because(format_args!("no byte there, in a file of {} bytes", self.size)));
            }
            at = at.saturating_add(read as u64);
            rest = rest.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_range(range.start, range.end.saturating_sub(range.start).max(1), self.size)?;
        let Some(data) = self.callbacks.next_data(range.start)? else {
            return Ok(Extent::new(range, ExtentKind::Data));
        };
        if data.start > range.start {
            let end = range.end.min(data.start);
            return Ok(Extent::new(range.start..end, ExtentKind::Zero));
        }
        if data.end <= range.start {
            return Err(broken("next_data")
                .found(format_args!("{}..{}", data.start, data.end))
                .expected(format_args!("a run that ends behind {}", range.start)));
        }
        Ok(Extent::new(range.start..range.end.min(data.end), ExtentKind::Data))
    }
}

/// Bytes of the caller's, borrowed until the handle is closed.
pub(crate) struct BorrowedBytes {
    data: *const u8,
    len: usize,
}

// SAFETY: the bytes are only read, and the header asks their owner to leave them unchanged until the handle is
// closed.
unsafe impl Send for BorrowedBytes {}
// SAFETY: as above.
unsafe impl Sync for BorrowedBytes {}

impl BorrowedBytes {
    /// # Safety
    /// `data` is readable for `len` bytes, and unchanged, as long as this lives.
    ///
    /// # Errors
    /// NULL with a length.
    pub(crate) unsafe fn new(data: *const u8, len: usize) -> Result<Self> {
        match (data.is_null(), len) {
            (true, 0) => Ok(Self { data: std::ptr::NonNull::dangling().as_ptr(), len: 0 }),
            (true, _) => Err(invalid("data", "bytes, and not NULL")),
            (false, len) if isize::try_from(len).is_err() => {
                Err(invalid("len", "a length in memory").found(len))
            }
            (false, len) => Ok(Self { data, len }),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `new` was promised that they are readable and unchanged as long as this lives.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    fn range(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.bytes().get(start..start.checked_add(usize::try_from(len).ok()?)?)
    }
}

impl BlockSource for BorrowedBytes {
    fn size(&self) -> u64 {
        self.len as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        if let Some(bytes) = self.range(offset, buf.len() as u64) {
            buf.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        Location { host: None, bytes: self.range(range.start, range.end.saturating_sub(range.start)) }
    }
}
