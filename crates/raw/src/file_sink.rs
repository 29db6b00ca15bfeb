//! A host file or block device, written as a disk.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use diskimg_core::{BlockSink, Error, ErrorKind, HostRange, Result, SinkProperties, check_range};

use crate::coverage::Coverage;
use crate::error::{RAW, disk_kind, io_at};
use crate::file_ops::Target;
use crate::platform::{self, Kind, Next};

/// The longest file. A bound of the systems: offsets are signed 64-bit numbers.
const LONGEST: u64 = i64::MAX as u64;

/// How a host file or block device is written.
///
/// ```
/// use diskimg_raw::SinkOptions;
/// let options = SinkOptions { size: Some(1 << 30), ..SinkOptions::default() };
/// assert!(options.sparse && options.sync && !options.is_zero);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkOptions {
    /// Size of the disk in bytes: a regular file gets exactly this length at once, and writes past it are
    /// [`ErrorKind::OutOfBounds`]. `None`: the file grows as it is written and ends behind the last byte that
    /// was written or zeroed, as image files do.
    pub size: Option<u64>,
    /// Whether a regular file longer than `size` keeps its length, and the bytes behind the disk. Block devices do
    /// in any case.
    pub keep_longer: bool,
    /// Whether the target is known to read as zeros already. If not, a regular file is emptied first, and a
    /// block device is zeroed wherever nothing else is written: all at once if it can do that by itself, and
    /// otherwise range by range, the ranges never mentioned in [`BlockSink::finish`].
    pub is_zero: bool,
    /// Whether zeros become holes (or are discarded on a block device) or stay allocated.
    pub sparse: bool,
    /// What is allocated before the first write. Needs a size.
    pub preallocation: Preallocation,
    /// Writes past the page cache (`O_DIRECT`), so that a large disk does not push out what others use. What
    /// does not fill whole blocks of 4096 bytes goes through the page cache all the same, and so does all
    /// where the system or file system cannot; see [`FileSink::is_direct`].
    pub direct: bool,
    /// Whether the kernel copies what lies verbatim in another file.
    pub copies: Copies,
    /// Whether [`BlockSink::finish`] waits until the bytes are on stable storage. Write-back then starts
    /// early, so that little is left to wait for.
    pub sync: bool,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            size: None,
            keep_longer: false,
            is_zero: false,
            sparse: true,
            preallocation: Preallocation::Off,
            direct: false,
            copies: Copies::WhereShared,
            sync: true,
        }
    }
}

/// Whether the kernel copies from file to file for [`BlockSink::copy_from`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copies {
    /// Where the file system shares the blocks, or its server copies them. Elsewhere such a copy holds the
    /// lock of the target all along: two threads that read and write are faster, and find zeros on the way.
    #[default]
    WhereShared,
    /// Wherever the system can.
    Always,
}

/// What is allocated before the first write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preallocation {
    /// Nothing.
    #[default]
    Off,
    /// All blocks, by `fallocate`; zeros are written where the file system has no such call.
    Falloc,
    /// All blocks, by writing zeros.
    Full,
}

/// A host file or block device, written as a disk, from any number of threads and in any order.
///
/// Bytes may be written more than once, and the last call wins. A target that is not known to read as zeros
/// is made so as [`SinkOptions::is_zero`] tells. Dropping the sink without [`BlockSink::finish`] leaves
/// whatever was written so far; a caller who needs all or nothing writes to a temporary file.
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
    target: Target,
    /// No byte may be written from here on.
    limit: u64,
    /// Length the file gets in the end; `None` where it has its length.
    end: Option<AtomicU64>,
    /// Whether zeros stay allocated.
    allocated: bool,
    sync: bool,
    background: Background,
    covered: Mutex<Coverage>,
}

/// What is at the bytes that nobody has mentioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Background {
    /// Zeros, allocated or not as was asked: zeroing is for what was written before. The coverage is what
    /// was written; a gap given up only costs a needless call.
    Zeros,
    /// Old bytes, or zeros that still have to be allocated. The coverage is what was written or zeroed, and
    /// the gaps are zeroed in the end.
    Unknown,
}

impl FileSink {
    /// Creates the file `path`, which must not exist, and writes to it. It reads as zeros, whatever
    /// [`SinkOptions::is_zero`] says.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it exists or cannot be created; otherwise as [`FileSink::new`], and the file is
    /// left behind.
    pub fn create_new(path: impl AsRef<Path>, options: SinkOptions) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        Self::new(file.map_err(Error::from)?, SinkOptions { is_zero: true, ..options })
    }

    /// Writes to a file or block device that is open for reading and writing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is neither a regular file nor a block device, for
    /// [`SinkOptions::preallocation`] without a size, and for a file open for appending;
    /// [`ErrorKind::OutOfBounds`] for a size that a block device does not have; [`ErrorKind::Io`] when the
    /// file cannot be given its length or its blocks.
    pub fn new(file: File, options: SinkOptions) -> Result<Self> {
        let kind = disk_kind(&file)?;
        if options.size.is_none() && options.preallocation != Preallocation::Off {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(RAW)
                .field("preallocation")
                .because("it needs a size"));
        }
        if platform::is_append(&file).map_err(|error| io_at(error, "file flags", 0))? {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(RAW)
                .field("file")
                .found("open for appending")
                .expected("a file that takes writes at any offset"));
        }
        let allocated = !options.sparse || options.preallocation != Preallocation::Off;
        let target = Target::new(file, matches!(kind, Kind::Device(_)), options.direct, options.sync);
        let background = match kind {
            Kind::Device(device) => prepare_device(&target, device, &options)?,
            Kind::Regular(len) => prepare_file(&target, len, &options)?,
            Kind::Other(_) => prepare_file(&target, 0, &options)?,
        };
        let (limit, end) = match (options.size, kind) {
            (Some(size), _) => (size, None),
            (None, Kind::Device(size)) => (size, Some(AtomicU64::new(0))),
            (None, _) => (LONGEST, Some(AtomicU64::new(0))),
        };
        let covered = Mutex::default();
        let copies = options.copies == Copies::Always || platform::shares_blocks(target.file());
        Ok(Self { copies, target, limit, end, allocated, sync: options.sync, background, covered })
    }

    /// The file handle that bytes go through; those past the page cache have one of their own.
    #[must_use]
    pub fn file(&self) -> &File {
        self.target.file()
    }

    /// Whether whole blocks are written past the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.target.is_direct()
    }

    /// Notes that `range` is about to be written or zeroed, before it is: whoever fills a gap then knows
    /// that this is none.
    fn cover(&self, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        if let Some(end) = &self.end {
            end.fetch_max(range.end, Ordering::Relaxed);
        }
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        match (covered.insert(range), self.background) {
            // Under the lock: nobody may begin to write there meanwhile.
            (Some(gap), Background::Unknown) => self.target.make_zero(gap, self.allocated),
            _ => Ok(()),
        }
    }

    /// Zeroes what nobody mentioned, and gives the file its length.
    fn complete(&self) -> Result<()> {
        let end = self.end.as_ref().map_or(self.limit, |end| end.load(Ordering::Relaxed));
        if self.background == Background::Unknown {
            let covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
            for gap in covered.gaps(end) {
                self.target.make_zero(gap, self.allocated)?;
            }
        }
        if self.end.is_some() && matches!(disk_kind(self.file())?, Kind::Regular(len) if len != end) {
            self.file().set_len(end).map_err(|error| io_at(error, "length", end))?;
        }
        if self.sync {
            self.file().sync_all().map_err(|error| io_at(error, "flush", 0))?;
        }
        Ok(())
    }
}

impl BlockSink for FileSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let len = data.len() as u64;
        check_range(offset, len, self.limit)?;
        self.cover(offset..offset.saturating_add(len))?;
        self.target.write(offset, data)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_range(range.start, range.end.saturating_sub(range.start), self.limit)?;
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
        self.target.make_zero(range, self.allocated)
    }

    /// Copies with `copy_file_range`, which shares the blocks where the file system can. Holes of the source
    /// become zeros here and are not copied. `false` may also come in the middle; the bytes are then to be
    /// written all the same.
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        check_range(offset, from.len, self.limit)?;
        if self.target.is_direct() || !self.copies {
            return Ok(false);
        }
        let mut done = 0;
        while done < from.len {
            let rest = HostRange {
                offset: from.offset.saturating_add(done),
                len: from.len.saturating_sub(done),
                ..from
            };
            let (data, len) = run_at(rest)?;
            let at = offset.saturating_add(done);
            let range = at..at.saturating_add(len);
            if data {
                self.cover(range)?;
                if !self.target.copy(at, HostRange { len, ..rest })? {
                    return Ok(false);
                }
            } else {
                self.zero(range)?;
            }
            done = done.saturating_add(len);
        }
        Ok(true)
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()
    }
}

/// Whether `range` of a host file begins with data, and the bytes of that run; all is data where the system
/// cannot tell, and where the file has ended.
fn run_at(range: HostRange<'_>) -> Result<(bool, u64)> {
    let failed = |error| io_at(error, "search for holes", range.offset);
    let until = |end: u64| end.saturating_sub(range.offset).min(range.len);
    match platform::next_data(range.file, range.offset).map_err(failed)? {
        Next::At(start) if start > range.offset => Ok((false, until(start))),
        Next::At(_) => match platform::next_hole(range.file, range.offset).map_err(failed)? {
            Next::At(end) if end > range.offset => Ok((true, until(end))),
            _ => Ok((true, range.len)),
        },
        // Nothing but a hole up to the end of the file, if that is not before the range.
        Next::Nowhere => {
            let end = range.file.metadata().map_err(failed)?.len();
            Ok(if end > range.offset { (false, until(end)) } else { (true, range.len) })
        }
        Next::Unknown => Ok((true, range.len)),
    }
}

fn prepare_file(target: &Target, len: u64, options: &SinkOptions) -> Result<Background> {
    let set_len = |len| target.file().set_len(len).map_err(|error| io_at(error, "length", len));
    let kept = options.size.filter(|size| options.keep_longer && *size < len);
    match kept {
        _ if options.is_zero => {}
        Some(size) => target.make_zero(0..size, false)?,
        None => set_len(0)?,
    }
    let Some(size) = options.size else {
        return Ok(if options.sparse { Background::Zeros } else { Background::Unknown });
    };
    if kept.is_none() {
        set_len(size)?;
    }
    if options.preallocation == Preallocation::Full {
        target.write_zeros(0..size)?;
    } else if options.preallocation == Preallocation::Falloc || !options.sparse {
        target.allocate(size)?;
    }
    Ok(Background::Zeros)
}

fn prepare_device(target: &Target, device: u64, options: &SinkOptions) -> Result<Background> {
    let Some(size) = options.size else {
        return Ok(if options.is_zero { Background::Zeros } else { Background::Unknown });
    };
    check_range(0, size, device)?;
    if options.preallocation == Preallocation::Full {
        target.make_zero(0..size, true)?;
        return Ok(Background::Zeros);
    }
    if options.is_zero {
        return Ok(Background::Zeros);
    }
    let whole = crate::aligned::floor(size);
    if options.sparse && whole > 0 && target.punch(&(0..whole))? {
        target.write_zeros(whole..size)?;
        return Ok(Background::Zeros);
    }
    Ok(Background::Unknown)
}
