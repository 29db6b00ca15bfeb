//! Writing a host file or block device as a disk.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::{
    BlockSink, Cancel, Error, ErrorKind, HostRange, Result, SinkProperties, check_range, range,
};

use crate::coverage::Coverage;
use crate::disk_file::{DiskFile, MAX_FILE_LEN, check_length, disk_file};
use crate::error::error;
use crate::file_ops::{FileOps, WriteModes};
use crate::host_run::run_at;
use crate::image_lock::ImageLock;
use crate::open_mode::open_for_writing;
use crate::platform;
use crate::sink_options::{Copies, Preallocation, SinkOptions};
use crate::stored_zeros::StoredZeros;
use crate::target_file::{EndsOf, TargetFile};

/// A host file or block device written as a disk, from any number of threads and in any order.
///
/// Bytes may be written more than once, and the last call wins. A target that may contain old bytes is zeroed as
/// described at [`SinkOptions::is_zero`]. Dropping the sink without [`BlockSink::finish`] leaves the bytes written so
/// far; a caller that needs all or nothing writes to a temporary file.
///
/// ```
/// use diskimg_core::BlockSink;
/// use diskimg_raw::{FileSink, SinkOptions};
///
/// let path = std::env::temp_dir().join(format!("diskimg-doc-sink-{}", std::process::id()));
/// let sink = FileSink::create_new(&path, SinkOptions { size: Some(10), ..SinkOptions::default() })?;
/// sink.write_at(2, b"disk")?;
/// Box::new(sink).finish()?;
/// assert_eq!(std::fs::read(&path)?, b"\0\0disk\0\0\0\0");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileSink {
    copies: bool,
    target: TargetFile,
    /// The first offset that must not be written.
    limit: u64,
    /// The final length of the file so far; `None` if it already has its length.
    end: Option<AtomicU64>,
    /// The way in which zeros are stored after the preparation.
    zeros: StoredZeros,
    sync: bool,
    keeps_length: bool,
    background: Background,
    covered: Mutex<Coverage>,
    pub(crate) _lock: Option<ImageLock>,
}

/// The content of ranges that were neither written nor zeroed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Background {
    /// Zeros, allocated as requested. Only written ranges must be zeroed. The coverage is the written ranges; a closed
    /// gap only costs an unnecessary call.
    Zeros,
    /// Old bytes, or zeros that must still be allocated. The coverage is the written and zeroed ranges, and the gaps
    /// are zeroed at the end.
    Unknown,
}

impl FileSink {
    /// Creates the file `path`, which must not exist. [`SinkOptions::is_zero`] is ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if it exists; [`ErrorKind::Io`] if it cannot be created; otherwise as [`FileSink::new`],
    /// and the file remains.
    pub fn create_new(path: impl AsRef<Path>, options: SinkOptions) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::from(error).with_kind(ErrorKind::Exists),
            _ => Error::from(error),
        })?;
        Self::new(file, SinkOptions { is_zero: true, ..options })
    }

    /// Creates a sink from a file or block device that is open for reading and writing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is neither a regular file nor a block device, for
    /// [`SinkOptions::preallocation`] without a size, for a size past [`MAX_FILE_LEN`], and for a file that is open for
    /// appending or not for writing;
    /// [`ErrorKind::OutOfBounds`] if a block device is smaller than the size; [`ErrorKind::Io`] if the length cannot be
    /// set or the blocks cannot be allocated.
    pub fn new(file: File, options: SinkOptions) -> Result<Self> {
        Self::cancellable(file, options, None)
    }

    /// Creates a sink as [`FileSink::new`] does. Once `cancel` is triggered, each write of data or zeros fails
    /// ([`ErrorKind::Cancelled`]): also the preallocation here, and the ranges that [`BlockSink::finish`] fills.
    ///
    /// ```
    /// use diskimg_core::{Cancel, ErrorKind};
    /// use diskimg_raw::{FileSink, Preallocation, SinkOptions};
    /// use std::sync::Arc;
    ///
    /// let file = tempfile::tempfile()?;
    /// let options = SinkOptions {
    ///     size: Some(1 << 40),
    ///     preallocation: Preallocation::Full,
    ///     ..SinkOptions::default()
    /// };
    /// let cancel = Arc::new(Cancel::default());
    /// cancel.trigger();
    /// let error = FileSink::cancellable(file, options, Some(cancel)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Cancelled);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`FileSink::new`]; [`ErrorKind::Cancelled`].
    pub fn cancellable(file: File, options: SinkOptions, cancel: Option<Arc<Cancel>>) -> Result<Self> {
        let disk = disk_file(&file)?;
        if options.size.is_none() && options.preallocation != Preallocation::Off {
            return Err(error(ErrorKind::InvalidInput, "preallocation").because("it needs a size"));
        }
        open_for_writing(&file, options.ends_last && disk.size > 0)?;
        options.size.map_or(Ok(()), check_length)?;
        if options.no_copy_on_write && !disk.is_device {
            platform::set_no_copy_on_write(&file);
        }
        let zeros = match options.preallocation {
            Preallocation::Off => options.zeros,
            Preallocation::Full if disk.is_device => StoredZeros::Written,
            Preallocation::Falloc | Preallocation::Full => options.zeros.max(StoredZeros::Allocated),
        };
        let options = SinkOptions { zeros, ..options };
        let modes = WriteModes {
            direct: options.direct,
            write_back: options.sync,
            write_through: options.write_through,
        };
        let is_fixed = disk.is_device || options.keep_length;
        if let Some(size) = options.size.filter(|_| is_fixed) {
            check_range(0, size, disk.size)?;
        }
        let ops = FileOps::new(file, disk.is_device, modes, cancel);
        let mut target = TargetFile::new(ops);
        if options.ends_last {
            let ends = match is_fixed {
                _ if disk.is_device => EndsOf::Device,
                true => EndsOf::File,
                false => EndsOf::GrowingFile,
            };
            target.withhold_ends(disk.size, ends, options.sync)?;
        }
        let background = match disk.is_device {
            true => prepare_device(&target, &options)?,
            false => prepare_file(&target, disk.size, &options)?,
        };
        let limit = options.size.unwrap_or(if is_fixed { disk.size } else { MAX_FILE_LEN });
        let end = options.size.is_none().then(AtomicU64::default);
        let covered = Mutex::default();
        let copies = options.copies == Copies::Always || platform::shares_blocks(target.file());
        let (sync, keeps_length, _lock) = (options.sync, options.keep_length, None);
        Ok(Self { copies, target, limit, end, zeros, sync, keeps_length, background, covered, _lock })
    }

    /// The buffered file handle. Direct I/O uses another one.
    #[must_use]
    pub fn file(&self) -> &File {
        self.target.file()
    }

    /// True if whole blocks are written with direct I/O.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.target.is_direct()
    }

    /// Checks that a range of the disk is within the target.
    fn check(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, self.limit).map_err(|error| {
            let error = error.field("target").found(format_args!("{} bytes long", self.limit));
            let error = error.expected(format_args!("room for {len} bytes at {offset}"));
            match &self.end {
                Some(end) => error.because(format_args!(
                    "the disk is larger; the first {} bytes of the target were overwritten",
                    end.load(Ordering::Relaxed)
                )),
                None => error.because("the disk is larger"),
            }
        })
    }

    /// Adds `range` to the coverage before it is written or zeroed, so that no other thread zeroes it as a gap.
    fn cover(&self, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        if let Some(end) = &self.end {
            end.fetch_max(range.end, Ordering::Relaxed);
        }
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        match (covered.insert(range), self.background) {
            // Under the lock, so that no other thread can start to write there.
            (Some(gap), Background::Unknown) => self.target.make_zero(&gap, self.zeros),
            _ => Ok(()),
        }
    }

    /// Zeroes the ranges that were not written, and sets the length of the file.
    fn complete(&self) -> Result<()> {
        let end = self.end.as_ref().map_or(self.limit, |end| end.load(Ordering::Relaxed));
        if self.background == Background::Unknown {
            let covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
            for gap in covered.gaps(end) {
                self.target.make_zero(&gap, self.zeros)?;
            }
        }
        let grows = self.end.is_some() && !self.keeps_length;
        if grows {
            match disk_file(self.file())? {
                DiskFile { size, is_device: false } if size != end => self.target.set_len(end)?,
                _ => {}
            }
        }
        if self.sync {
            self.target.sync()?;
        }
        self.target.release(end, self.zeros, self.sync)
    }
}

impl BlockSink for FileSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let len = data.len() as u64;
        self.check(offset, len)?;
        self.target.check_cancel()?;
        self.cover(offset..offset.saturating_add(len))?;
        self.target.write(offset, data)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.check(range.start, range::len(&range))?;
        if range.is_empty() {
            return Ok(());
        }
        if self.background == Background::Zeros {
            if let Some(end) = &self.end {
                end.fetch_max(range.end, Ordering::Relaxed);
            }
            if !self.covered.lock().unwrap_or_else(PoisonError::into_inner).overlaps(&range) {
                return Ok(());
            }
        } else {
            self.cover(range.clone())?;
        }
        self.target.make_zero(&range, self.zeros)
    }

    /// Copies with `copy_file_range`, which shares the blocks if the file system supports it. Holes of the source are
    /// zeroed and not copied. It may return `false` after a part was copied; the caller then writes all bytes.
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.check(offset, from.len)?;
        if self.target.is_direct() || !self.copies {
            return Ok(false);
        }
        let (mut at, mut rest) = (offset, from);
        while rest.len > 0 {
            let (data, len) = run_at(rest)?;
            let range = at..at.saturating_add(len);
            if data {
                self.cover(range)?;
                if !self.target.copy(at, HostRange { len, ..rest })? {
                    return Ok(false);
                }
            } else {
                self.zero(range)?;
            }
            at = at.saturating_add(len);
            rest.offset = rest.offset.saturating_add(len);
            rest.len = rest.len.saturating_sub(len);
        }
        Ok(true)
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties { stores_zeros: self.zeros == StoredZeros::Written, ..SinkProperties::default() }
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()
    }
}

/// Gives a regular file its length and allocation.
fn prepare_file(target: &TargetFile, len: u64, options: &SinkOptions) -> Result<Background> {
    if options.keep_length && options.size.is_none() && !options.is_zero {
        // Old bytes are zeroed up to the end of the disk, which is not known yet.
        return Ok(Background::Unknown);
    }
    let kept = options.size.filter(|_| options.keep_length);
    match kept {
        _ if options.is_zero => {}
        Some(size) if size < len => target.make_zero(&(0..size), StoredZeros::Deallocated)?,
        // Without support for holes, zeros would be written to the whole file.
        Some(size) if !target.punch(&(0..size))? => {
            target.truncate()?;
            target.set_len(size)?;
        }
        Some(_) => {}
        None => target.truncate()?,
    }
    let Some(size) = options.size else {
        let holes = options.zeros == StoredZeros::Deallocated;
        return Ok(if holes { Background::Zeros } else { Background::Unknown });
    };
    if kept.is_none() {
        target.set_len(size)?;
    }
    match (options.preallocation, options.zeros) {
        (Preallocation::Full, _) => target.write_zeros(&(0..size))?,
        (_, StoredZeros::Written) => return Ok(Background::Unknown),
        (_, StoredZeros::Allocated) => target.allocate(size)?,
        (_, StoredZeros::Deallocated) => {}
    }
    Ok(Background::Zeros)
}

/// Zeroes a block device as far as it can do so in one call.
fn prepare_device(target: &TargetFile, options: &SinkOptions) -> Result<Background> {
    // Bytes that already read as zeros need not have blocks.
    let allocates = options.zeros == StoredZeros::Written || options.preallocation != Preallocation::Off;
    if options.is_zero && !allocates {
        return Ok(Background::Zeros);
    }
    let size = options.size.unwrap_or(0);
    let whole = crate::aligned::floor(size);
    if options.zeros == StoredZeros::Deallocated && whole > 0 && target.punch(&(0..whole))? {
        target.write_zeros(&(whole..size))?;
        return Ok(Background::Zeros);
    }
    Ok(Background::Unknown)
}
