//! Write operations on a host file or block device: bytes, zeros and copies, each with the best call that the system
//! supports.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::{Cancel, Error, ErrorKind, HostRange, Progress, Result, range, zeros};

use crate::aligned::{self, ALIGN_BYTES, BufferPool};
use crate::error::{error, io_at};
use crate::platform;
use crate::stored_zeros::StoredZeros;

/// The bytes written between two requests to start write-back. Our choice: with steps of 1 to 32 MiB, `fsync` after
/// 2 GiB took at most 0.25 s, without any 0.6 to 1.4 s. Differences between steps, and in the total time, were within
/// the noise of a busy disk.
const WRITE_BACK_STEP: u64 = 8 << 20;

/// The maximum number of bytes of one copy inside the kernel.
const COPY_STEP: u64 = 1 << 30;

/// An open file and the calls that it supports.
#[derive(Debug)]
pub(crate) struct FileOps {
    file: File,
    /// A handle for direct I/O and its buffers.
    direct: Option<(File, BufferPool)>,
    is_device: bool,
    can_punch: AtomicBool,
    can_zero_range: AtomicBool,
    written: Option<Mutex<DirtyRange>>,
    write_through: bool,
    cancel: Option<Arc<Cancel>>,
}

/// The ways in which a file is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteModes {
    /// Uses direct I/O where it is supported.
    pub(crate) direct: bool,
    /// Starts write-back early.
    pub(crate) write_back: bool,
    /// Waits after each write until its bytes are on stable storage.
    pub(crate) write_through: bool,
}

/// The range written since write-back was last started, and the bytes written in it.
#[derive(Debug, Default)]
struct DirtyRange {
    range: Range<u64>,
    bytes: u64,
}

impl FileOps {
    /// Creates the operations on `file`.
    pub(crate) fn new(file: File, is_device: bool, modes: WriteModes, cancel: Option<Arc<Cancel>>) -> Self {
        let (file, direct) = with_direct(file, modes.direct);
        Self {
            file,
            direct: direct.map(|direct| (direct, BufferPool::default())),
            is_device,
            can_punch: AtomicBool::new(true),
            can_zero_range: AtomicBool::new(true),
            written: (modes.write_back && !modes.write_through).then(Mutex::default),
            write_through: modes.write_through,
            cancel,
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Writes all of `data`.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let Some((direct, pool)) = &self.direct else {
            return self.write_buffered(offset, data);
        };
        // Other threads may write to the rest of the first and last block. Buffered writes keep such bytes separate;
        // a read-modify-write of whole blocks would not.
        let start = offset.next_multiple_of(ALIGN_BYTES);
        let head = range::buffer_len(&(offset..start));
        let Some((head, rest)) = data.split_at_checked(head) else {
            return self.write_buffered(offset, data);
        };
        let whole = rest.len().saturating_sub(rest.len() % aligned::ALIGN);
        let (body, tail) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
        self.write_buffered(offset, head)?;
        self.write_direct(direct, pool, start, body)?;
        self.write_buffered(start.saturating_add(body.len() as u64), tail)
    }

    fn write_buffered(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.write_all(&self.file, offset, data).map_err(|error| io_at(error, "write", offset))?;
        self.wrote(offset, data.len() as u64);
        Ok(())
    }

    /// Writes whole blocks with direct I/O, or buffered if the system refuses them.
    fn write_direct(&self, direct: &File, pool: &BufferPool, offset: u64, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let wrote = if aligned::is_aligned_memory(data) {
            self.write_all(direct, offset, data)
        } else {
            pool.with(|chunk| {
                let mut at = offset;
                for piece in data.chunks(aligned::CHUNK) {
                    let bytes = chunk.get_mut(..piece.len()).unwrap_or_default();
                    bytes.copy_from_slice(piece);
                    self.write_all(direct, at, bytes)?;
                    at = at.saturating_add(piece.len() as u64);
                }
                Ok(())
            })
        };
        match wrote {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.write_buffered(offset, data),
            wrote => wrote.map_err(|error| io_at(error, "write", offset)),
        }
    }

    /// Writes all of `data`, with repeated calls after short writes.
    fn write_all(&self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        let write = if self.write_through { platform::write_through_at } else { platform::write_at };
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            match write(file, rest, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(wrote) => {
                    rest = rest.get(wrote..).unwrap_or_default();
                    at = at.saturating_add(wrote as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until a change by another call than a write is on stable storage, if each write waits.
    fn changed(&self, offset: u64) -> Result<()> {
        if self.write_through {
            self.file.sync_data().map_err(|error| io_at(error, "flush", offset))?;
        }
        Ok(())
    }

    /// Records a write, and starts write-back if enough was written.
    fn wrote(&self, offset: u64, len: u64) {
        let Some(written) = &self.written else { return };
        let end = offset.saturating_add(len);
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        written.range = if written.bytes == 0 {
            offset..end
        } else {
            written.range.start.min(offset)..written.range.end.max(end)
        };
        written.bytes = written.bytes.saturating_add(len);
        if written.bytes >= WRITE_BACK_STEP {
            let range = std::mem::take(&mut *written).range;
            platform::start_write_back(&self.file, range.start, range::len(&range));
        }
    }

    /// Deallocates `range`. Returns false if that is not supported.
    pub(crate) fn punch(&self, range: &Range<u64>) -> Result<bool> {
        attempt(&self.can_punch, range, |offset, len| platform::punch_hole(&self.file, offset, len))
    }

    /// Makes `range` read as zeros, stored in this way.
    pub(crate) fn make_zero(&self, range: Range<u64>, zeros: StoredZeros) -> Result<()> {
        if !self.is_device {
            return self.make_zero_within(range, zeros);
        }
        // A device accepts only whole blocks.
        let start = range.start.next_multiple_of(ALIGN_BYTES).min(range.end);
        let end = aligned::floor(range.end).max(start);
        self.write_zeros(range.start..start)?;
        self.make_zero_within(start..end, zeros)?;
        self.write_zeros(end..range.end)
    }

    fn make_zero_within(&self, range: Range<u64>, zeros: StoredZeros) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let zero = |offset, len| platform::zero_range(&self.file, offset, len);
        let done = match zeros {
            StoredZeros::Written => false,
            StoredZeros::Deallocated if self.punch(&range)? => true,
            StoredZeros::Deallocated | StoredZeros::Allocated => attempt(&self.can_zero_range, &range, zero)?,
        };
        if done { self.changed(range.start) } else { self.write_zeros(range) }
    }

    /// Writes zeros, which can take as long as writing the disk.
    ///
    /// # Errors
    /// As [`FileOps::check_cancel`].
    pub(crate) fn write_zeros(&self, range: Range<u64>) -> Result<()> {
        zeros::pieces(range).try_for_each(|(at, piece)| {
            self.check_cancel()?;
            self.write(at, piece)
        })
    }

    /// Writes zeros, even if the caller cancels.
    pub(crate) fn erase(&self, range: Range<u64>) -> Result<()> {
        zeros::pieces(range).try_for_each(|(at, piece)| self.write(at, piece))
    }

    /// # Errors
    /// [`ErrorKind::Cancelled`] once the caller cancels.
    pub(crate) fn check_cancel(&self) -> Result<()> {
        self.cancel.as_ref().map_or(Ok(()), |cancel| cancel.report(0))
    }

    /// Allocates the first `len` bytes, which already read as zeros.
    pub(crate) fn allocate(&self, len: u64) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        match platform::allocate(&self.file, 0, len) {
            Ok(()) => self.changed(0),
            Err(error) if platform::is_unsupported(&error) => self.write_zeros(0..len),
            Err(error) => Err(io_at(error, "preallocation", 0)),
        }
    }

    /// Copies inside the kernel. Returns false if that is not supported; some of the bytes may have been copied then.
    pub(crate) fn copy(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        let step = if self.written.is_some() { WRITE_BACK_STEP } else { COPY_STEP };
        let mut done = 0;
        while done < from.len {
            let (source, target) = (from.offset.saturating_add(done), offset.saturating_add(done));
            let len = from.len.saturating_sub(done).min(step);
            match platform::copy_range(from.file, source, &self.file, target, len) {
                // At the end of the source, or on a file system that reports a missing call this way.
                Ok(0) => match from.file.metadata() {
                    Ok(metadata) if metadata.len() <= source => return Err(ended_early(from, source)),
                    _ => return Ok(false),
                },
                Ok(copied) => {
                    self.wrote(target, copied as u64);
                    self.changed(target)?;
                    done = done.saturating_add(copied as u64);
                }
                Err(error) if platform::is_unsupported(&error) => return Ok(false),
                Err(error) => return Err(io_at(error, "copy", target)),
            }
        }
        Ok(true)
    }
}

/// Returns a buffered handle, and one for direct I/O if possible.
fn with_direct(file: File, direct: bool) -> (File, Option<File>) {
    if platform::set_direct(&file, None).unwrap_or(false) {
        // Opened for direct I/O by the caller. Partial blocks need a buffered handle; without one, all is buffered.
        return match platform::reopen(&file, false) {
            Ok(buffered) => (buffered, Some(file)),
            Err(_) => {
                let _ = platform::set_direct(&file, Some(false));
                (file, None)
            }
        };
    }
    let direct = if direct { platform::reopen(&file, true).ok() } else { None };
    (file, direct)
}

fn ended_early(from: HostRange<'_>, at: u64) -> Error {
    error(ErrorKind::Truncated, "source of the copy")
        .at(at)
        .found("at its end")
        .expected(format_args!("{} bytes at {}", from.len, from.offset))
}

/// Calls `call` on `range`. Once the system has reported that it does not support the call, returns false immediately.
fn attempt(
    can: &AtomicBool,
    range: &Range<u64>,
    call: impl FnOnce(u64, u64) -> io::Result<()>,
) -> Result<bool> {
    if !can.load(Ordering::Relaxed) {
        return Ok(false);
    }
    match call(range.start, range::len(range)) {
        Ok(()) => Ok(true),
        Err(error) if platform::is_unsupported(&error) => {
            can.store(false, Ordering::Relaxed);
            Ok(false)
        }
        Err(error) => Err(io_at(error, "zeroing", range.start)),
    }
}
