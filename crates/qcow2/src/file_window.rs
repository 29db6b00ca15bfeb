//! Small structures of a file, read one after another through one buffer.

use diskimg_core::{BlockSource, Error, Limits, Result};

use crate::errors::truncated;

/// Bytes read at first. A bound of ours: the header and QEMU's feature name table are below 1 KiB.
const FIRST: u64 = 4096;
/// Bytes read whenever something lies outside of what was read before. A bound of ours.
const NEXT: u64 = 65_536;

/// A file and the part of it that was read last.
pub(crate) struct FileWindow<'a> {
    source: &'a dyn BlockSource,
    start: u64,
    bytes: Vec<u8>,
    longest: u64,
}

impl<'a> FileWindow<'a> {
    /// The beginning of a file. Nothing longer than [`Limits::header_bytes`] is ever read in one piece.
    pub(crate) fn new(source: &'a dyn BlockSource, limits: &Limits) -> Result<Self> {
        let mut window = Self { source, start: 0, bytes: Vec::new(), longest: limits.header_bytes };
        window.load(0, FIRST.min(source.size()))?;
        Ok(window)
    }

    /// The first bytes of the file, up to 4 KiB.
    pub(crate) fn beginning(&self) -> &[u8] {
        if self.start == 0 { &self.bytes } else { &[] }
    }

    /// Bytes of the file.
    pub(crate) fn file_size(&self) -> u64 {
        self.source.size()
    }

    /// The `len` bytes at `at`, which are part of `what`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] when the file ends before, [`diskimg_core::ErrorKind::Limit`]
    /// for more than the caller's limit.
    pub(crate) fn read(&mut self, what: &str, at: u64, len: u64) -> Result<&[u8]> {
        let size = self.source.size();
        let end = at.checked_add(len).filter(|end| *end <= size).ok_or_else(|| {
            truncated(what).at(at).because(format_args!("{len} bytes, and the file ends at byte {size}"))
        })?;
        let held = self.start.saturating_add(self.bytes.len() as u64);
        if at < self.start || end > held {
            if len > self.longest {
                return Err(crate::errors::limit(what)
                    .at(at)
                    .found(format_args!("{len} bytes"))
                    .expected(format_args!("at most {}", self.longest)));
            }
            self.load(at, len.max(NEXT).min(size.saturating_sub(at)))?;
        }
        let from = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let to = usize::try_from(end.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.bytes.get(from..to).ok_or_else(|| truncated(what).at(at))
    }

    fn load(&mut self, start: u64, len: u64) -> Result<()> {
        let no_memory = |_| -> Error { crate::errors::limit("memory").found(format_args!("{len} bytes")) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.bytes.clear();
        self.bytes.try_reserve(len).map_err(no_memory)?;
        self.bytes.resize(len, 0);
        self.start = start;
        self.source.read_at(start, &mut self.bytes)
    }
}
