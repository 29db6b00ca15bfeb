//! A target file whose first and last bytes can be withheld until everything else is stored.

use std::fs::File;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use diskimg_core::{BlockSource, HostRange, Result, range, zeros};

use crate::aligned::{self, ALIGN_BYTES};
use crate::error::io_at;
use crate::file_ops::FileOps;
use crate::file_source::FileSource;
use crate::stored_zeros::StoredZeros;

/// The bytes withheld at the beginning. They contain the header of an image, the partition table, and the superblocks
/// of a file system without partitions. Our choice: partitions usually start after 1 MiB.
const HEAD: u64 = 1 << 20;

/// The bytes withheld at the end, at least. They contain the backup of a GUID partition table: 33 blocks of 512 bytes,
/// or 5 of 4096. Our choice.
const TAIL: u64 = 64 << 10;

/// A file that is written, with the same calls as [`FileOps`].
#[derive(Debug)]
pub(crate) struct TargetFile {
    ops: FileOps,
    /// Ascending, not overlapping; empty if nothing is withheld.
    withheld: Vec<WithheldRange>,
    /// If set, the file ends where writing ends, and so do the withheld bytes.
    grows: bool,
}

/// The kind of a file whose ends are withheld.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EndsOf {
    /// A file that grows as it is written. Its end is where writing ends.
    GrowingFile,
    /// A file that keeps its length.
    File,
    Device,
}

/// A range of the file, and the bytes that it will have.
#[derive(Debug)]
struct WithheldRange {
    range: Range<u64>,
    bytes: Mutex<Vec<u8>>,
}

impl TargetFile {
    pub(crate) fn new(ops: FileOps) -> Self {
        Self { ops, withheld: Vec::new(), grows: false }
    }

    pub(crate) fn file(&self) -> &File {
        self.ops.file()
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.ops.is_direct()
    }

    /// Withholds the first 1 MiB of a file of `size` bytes, and the last 64 KiB if the file keeps its length: reads
    /// them, zeroes them in the file, and waits for stable storage if `sync` is set. From then on they are changed in
    /// memory only, until [`TargetFile::release`].
    pub(crate) fn withhold_ends(&mut self, size: u64, ends: EndsOf, sync: bool) -> Result<()> {
        let (head, tail) = match ends {
            // It may become longer than it was.
            EndsOf::GrowingFile => (0..HEAD, size..size),
            EndsOf::File | EndsOf::Device => {
                let head = 0..HEAD.min(size);
                let tail = aligned::floor(size.saturating_sub(TAIL)).max(head.end)..size;
                (head, tail)
            }
        };
        self.grows = ends == EndsOf::GrowingFile;
        let mut is_changed = false;
        let source = FileSource::new(self.file().try_clone().map_err(|error| io_at(error, "file", 0))?)?;
        for range in [head, tail].into_iter().filter(|range| !range.is_empty()) {
            let mut bytes = vec![0; range::buffer_len(&range)];
            let there = range.start..range.end.min(size);
            let old = range::slice_mut(&mut bytes, range.start, &there).unwrap_or_default();
            source.read_at(range.start, old)?;
            if !zeros::is_zero(old) {
                is_changed = true;
                match ends {
                    // The result of a discard depends on the device.
                    EndsOf::Device => self.ops.write_zeros(there)?,
                    EndsOf::File | EndsOf::GrowingFile => {
                        self.ops.make_zero(there, StoredZeros::Allocated)?;
                    }
                }
            }
            self.withheld.push(WithheldRange { range, bytes: Mutex::new(bytes) });
        }
        if is_changed && sync { self.sync() } else { Ok(()) }
    }

    /// Writes the withheld bytes, if any, after everything else is on stable storage. Writing ended at `end`. The first
    /// block, which has the header of an image or the partition table, is written alone and last; it is zeroed again
    /// if that fails. Zeros are written, too, unless they are deallocated.
    pub(crate) fn release(&self, end: u64, zeros: StoredZeros, sync: bool) -> Result<()> {
        let end = if self.grows { end } else { u64::MAX };
        let first = 0..ALIGN_BYTES.min(end);
        self.release_part(&(ALIGN_BYTES..end), zeros, sync)?;
        let released = self.release_part(&first, zeros, sync);
        if released.is_err() {
            let size = self.withheld.first().map_or(0, |head| head.range.end);
            let _ = self.ops.erase(0..first.end.min(size));
        }
        released
    }

    /// Writes the withheld bytes in `part`, those at the end of the file first.
    fn release_part(&self, part: &Range<u64>, zeros: StoredZeros, sync: bool) -> Result<()> {
        for withheld in self.withheld.iter().rev() {
            let Some(range) = range::intersect(part, &withheld.range) else { continue };
            let bytes = withheld.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = range::slice(&bytes, withheld.range.start, &range).unwrap_or_default();
            self.write_stored(range.start, bytes, zeros)?;
        }
        if sync && !self.withheld.is_empty() { self.sync() } else { Ok(()) }
    }

    /// Passes the withheld bytes in `range` to `store`, and returns the parts of `range` that are not withheld.
    fn split(&self, range: &Range<u64>, store: &mut dyn FnMut(Range<u64>, &mut [u8])) -> Vec<Range<u64>> {
        let (mut rest, mut written) = (range.clone(), Vec::new());
        for withheld in &self.withheld {
            let Some(part) = range::intersect(&withheld.range, &rest) else { continue };
            let mut bytes = withheld.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(bytes) = range::slice_mut(&mut bytes, withheld.range.start, &part) {
                store(part.clone(), bytes);
            }
            written.push(rest.start..part.start);
            rest.start = part.end;
        }
        written.push(rest);
        written.retain(|part| !part.is_empty());
        written
    }

    fn write_stored(&self, offset: u64, bytes: &[u8], stored: StoredZeros) -> Result<()> {
        let (end, mut runs) = (offset.saturating_add(bytes.len() as u64), Vec::new());
        if stored == StoredZeros::Deallocated {
            zeros::runs(bytes, zeros::GRANULARITY, offset, &mut runs);
        }
        let mut at = offset;
        for zeros in runs.into_iter().chain(std::iter::once(end..end)) {
            let stored = range::slice(bytes, offset, &(at..zeros.start)).unwrap_or_default();
            if !stored.is_empty() {
                self.ops.write(at, stored)?;
            }
            at = zeros.end;
        }
        Ok(())
    }

    /// Waits until the written bytes are on stable storage.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file().sync_all().map_err(|error| io_at(error, "flush", 0))
    }

    /// Sets the length of the file to zero.
    pub(crate) fn truncate(&self) -> Result<()> {
        self.set_len(0)?;
        self.split(&(0..u64::MAX), &mut |_, bytes| bytes.fill(0));
        Ok(())
    }

    /// Sets the length of the file. The withheld bytes stay the same.
    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        self.file().set_len(len).map_err(|error| io_at(error, "length", len))
    }

    /// As [`FileOps::write`].
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let range = offset..offset.saturating_add(data.len() as u64);
        let part_of = |part: &Range<u64>| range::slice(data, offset, part).unwrap_or_default();
        let written = self.split(&range, &mut |part, bytes| bytes.copy_from_slice(part_of(&part)));
        written.iter().try_for_each(|part| self.ops.write(part.start, part_of(part)))
    }

    /// As [`FileOps::punch`].
    pub(crate) fn punch(&self, range: &Range<u64>) -> Result<bool> {
        for part in self.split(range, &mut |_, _| {}) {
            if !self.ops.punch(&part)? {
                return Ok(false);
            }
        }
        self.split(range, &mut |_, bytes| bytes.fill(0));
        Ok(true)
    }

    /// As [`FileOps::make_zero`].
    pub(crate) fn make_zero(&self, range: &Range<u64>, zeros: StoredZeros) -> Result<()> {
        let written = self.split(range, &mut |_, bytes| bytes.fill(0));
        written.into_iter().try_for_each(|part| self.ops.make_zero(part, zeros))
    }

    /// As [`FileOps::write_zeros`].
    pub(crate) fn write_zeros(&self, range: &Range<u64>) -> Result<()> {
        let written = self.split(range, &mut |_, bytes| bytes.fill(0));
        written.into_iter().try_for_each(|part| self.ops.write_zeros(part))
    }

    /// As [`FileOps::check_cancel`].
    pub(crate) fn check_cancel(&self) -> Result<()> {
        self.ops.check_cancel()
    }

    /// As [`FileOps::allocate`].
    pub(crate) fn allocate(&self, len: u64) -> Result<()> {
        self.ops.allocate(len)
    }

    /// As [`FileOps::copy`]. Withheld bytes are read.
    pub(crate) fn copy(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        if self.withheld.is_empty() {
            return self.ops.copy(offset, from);
        }
        let source = FileSource::new(from.file.try_clone().map_err(|error| io_at(error, "file", 0))?)?;
        let from_offset = |at: u64| from.offset.saturating_add(range::len(&(offset..at)));
        let mut read = Ok(());
        let written = self.split(&(offset..offset.saturating_add(from.len)), &mut |part, bytes| {
            if read.is_ok() {
                read = source.read_at(from_offset(part.start), bytes);
            }
        });
        read?;
        for part in written {
            let host = HostRange { file: from.file, offset: from_offset(part.start), len: range::len(&part) };
            if !self.ops.copy(part.start, host)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
