//! Reading small structures through one buffer.

use diskimg_core::{BlockSource, Error, Fault, LimitKind, Limits, Remedy, Result, range};

use crate::errors::{internal, limit, truncated};

/// The length of the first read in bytes. Our limit: the header and QEMU's feature name table are below 1 KiB.
const FIRST: u64 = 4096;
/// The least length of every later read in bytes. Our limit.
const NEXT: u64 = 65_536;

/// A file, and the part of it that was read last.
pub(crate) struct FileWindow<'a> {
    source: &'a dyn BlockSource,
    start: u64,
    bytes: Vec<u8>,
    /// The longest structure that may be read, in bytes.
    longest: u64,
}

impl<'a> FileWindow<'a> {
    /// Reads the beginning of a file. Structures longer than [`Limits::header_bytes`] are errors.
    pub(crate) fn new(source: &'a dyn BlockSource, limits: &Limits) -> Result<Self> {
        let mut window = Self { source, start: 0, bytes: Vec::new(), longest: limits.header_bytes };
        window.load(0, FIRST.min(source.size()))?;
        Ok(window)
    }

    /// The first bytes of the file, up to 4 KiB.
    pub(crate) fn beginning(&self) -> &[u8] {
        if self.start == 0 { &self.bytes } else { &[] }
    }

    /// The size of the file in bytes.
    pub(crate) fn file_size(&self) -> u64 {
        self.source.size()
    }

    /// Returns the `len` bytes at `at`, which belong to `field`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] if the file ends before them; [`diskimg_core::ErrorKind::Limit`]
    /// if they are more than the caller's limit.
    pub(crate) fn read(&mut self, field: &str, at: u64, len: u64) -> Result<&[u8]> {
        let size = self.source.size();
        let end = at.checked_add(len).filter(|end| *end <= size).ok_or_else(|| {
            truncated(field).at(at).because(format_args!("{len} bytes, and the file ends at byte {size}"))
        })?;
        let loaded = self.start..self.start.saturating_add(self.bytes.len() as u64);
        if at < loaded.start || end > loaded.end {
            if len > self.longest {
                let expected = format!("at most {}", self.longest);
                let error = limit(field).at(at).found(format_args!("{len} bytes")).expected(expected);
                return Err(error.with_remedy(Remedy::RaiseLimit(LimitKind::HeaderBytes)));
            }
            self.load(at, len.max(NEXT).min(size - at))?;
        }
        range::slice(&self.bytes, self.start, &(at..end))
            .ok_or_else(|| internal("file window").because("a structure was not loaded"))
    }

    fn load(&mut self, start: u64, len: u64) -> Result<()> {
        let no_memory =
            |_| -> Error { limit("memory").found(format_args!("{len} bytes")).with_fault(Fault::Machine) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.bytes.clear();
        self.bytes.try_reserve(len).map_err(no_memory)?;
        self.bytes.resize(len, 0);
        self.start = start;
        self.source.read_at(start, &mut self.bytes)
    }
}
