//! Reading a host file or block device as a disk.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use diskimg_core::{
    BlockSource, Error, Extent, ExtentKind, HostRange, Location, Result, check_extent_range, check_range,
    range,
};

use crate::aligned::{self, BufferPool};
use crate::disk_file::{DiskFile, disk_file};
use crate::error::{ended, io_at, no_disk};
use crate::holes::Holes;
use crate::image_lock::{ImageLock, ImageUse};
use crate::open_mode::open_for_reading;
use crate::platform;

/// Options for reading a host file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// Uses direct I/O (`O_DIRECT`), so that a large disk does not evict other data from the page cache. If the system
    /// or file system does not support it, reads are buffered.
    pub direct: bool,
}

/// A host file or block device read as a disk, from any number of threads.
///
/// The size is determined when it is opened. Holes of a regular file are [`ExtentKind::Zero`], because a raw file has
/// no layer below; everything else is [`ExtentKind::Data`] at its location in the file. The position of the file handle
/// is undefined.
///
/// ```
/// use diskimg_core::{BlockSource, ExtentKind};
/// use diskimg_raw::FileSource;
///
/// let path = std::env::temp_dir().join(format!("diskimg-doc-source-{}", std::process::id()));
/// std::fs::write(&path, [7; 1000])?;
/// let disk = FileSource::open(&path)?;
/// assert_eq!(disk.size(), 1000);
/// let extent = disk.extent_at(10..20)?;
/// assert_eq!(extent.kind, ExtentKind::Data);
/// assert_eq!(extent.location.host.map(|host| host.offset), Some(10));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
    direct: Option<BufferPool>,
    holes: Holes,
    _lock: Option<ImageLock>,
}

impl FileSource {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InvalidInput`] if it is neither a regular file nor a block device; a pipe is refused
    /// without waiting for its writer. [`diskimg_core::ErrorKind::Io`] if the system cannot open it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &SourceOptions::default())
    }

    /// Opens `path` for reading, with options.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &SourceOptions) -> Result<Self> {
        let path = path.as_ref();
        let failed = |error: io::Error| match platform::is_socket(path) {
            true => no_disk("a socket").with_os_error(error.raw_os_error()),
            // Without the format: the failure to open a file does not depend on it.
            false => Error::from(error),
        };
        let file = platform::open_read(path).map_err(failed)?;
        // Checked first, so that a directory or a pipe is reported as such and not as a failure of direct I/O.
        disk_file(&file)?;
        if options.direct {
            if let Ok(direct) = platform::open_direct(path) {
                return Self::new(direct);
            }
        }
        Self::new(file)
    }

    /// Creates a source from an open file. A handle opened with `O_DIRECT` uses direct I/O.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn new(file: File) -> Result<Self> {
        let DiskFile { size, is_device } = disk_file(&file)?;
        open_for_reading(&file)?;
        let direct = platform::set_direct(&file, None).unwrap_or(false).then(BufferPool::default);
        Ok(Self { file, size, direct, holes: Holes::new(!is_device), _lock: None })
    }

    /// Takes QEMU's locks for reading the disk, and holds them as long as this source. `name` is the name of the file
    /// for the error.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InUse`] if another process has locked the file for writing.
    pub fn locked(self, name: impl Display) -> Result<Self> {
        let lock = ImageLock::take(&self.file, ImageUse::Read, name)?;
        Ok(self.with_lock(Some(lock)))
    }

    /// Holds a lock on the file as long as this source.
    #[must_use]
    pub fn with_lock(self, lock: Option<ImageLock>) -> Self {
        Self { _lock: lock, ..self }
    }

    /// The file handle. It must not be used to change the bytes while the disk is read.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// True if direct I/O is used.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Fills `buf` with direct I/O, through an aligned buffer unless `buf` itself is aligned.
    fn read_direct(&self, pool: &BufferPool, offset: u64, buf: &mut [u8]) -> Result<()> {
        if aligned::is_aligned(offset) && aligned::is_aligned_memory(buf) {
            return self.read_whole(offset, buf);
        }
        pool.with(|chunk| {
            let (mut at, mut rest) = (offset, buf);
            while !rest.is_empty() {
                let start = aligned::floor(at);
                let skip = usize::try_from(at.saturating_sub(start)).unwrap_or(0);
                let wanted =
                    skip.saturating_add(rest.len()).next_multiple_of(aligned::ALIGN).min(chunk.len());
                let window = chunk.get_mut(..wanted).unwrap_or_default();
                let got = self.read_some(start, window)?;
                let fresh = window.get(skip..got).unwrap_or_default();
                let len = fresh.len().min(rest.len());
                let (Some(fresh), true) = (fresh.get(..len), len > 0) else {
                    return Err(ended(start.saturating_add(got as u64), self.size));
                };
                let (filled, left) = std::mem::take(&mut rest).split_at_mut(len);
                filled.copy_from_slice(fresh);
                rest = left;
                at = at.saturating_add(len as u64);
            }
            Ok(())
        })
    }

    /// Fills `buf`, with repeated calls after short reads.
    fn read_whole(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let got = self.read_some(at, rest)?;
            if got == 0 {
                return Err(ended(at, self.size));
            }
            rest = std::mem::take(&mut rest).get_mut(got..).unwrap_or_default();
            at = at.saturating_add(got as u64);
        }
        Ok(())
    }

    fn read_some(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        loop {
            match platform::read_at(&self.file, buf, offset) {
                Ok(got) => return Ok(got),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Some file systems accept the flag and then refuse the read, or need a larger alignment.
                Err(error)
                    if error.kind() == io::ErrorKind::InvalidInput
                        && platform::set_direct(&self.file, None).unwrap_or(false) =>
                {
                    platform::set_direct(&self.file, Some(false))
                        .map_err(|_| io_at(error, "read", offset))?;
                }
                Err(error) => return Err(io_at(error, "read", offset)),
            }
        }
    }
}

impl BlockSource for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        match &self.direct {
            None => self.read_whole(offset, buf),
            Some(pool) => self.read_direct(pool, offset, buf),
        }
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_extent_range(&range, self.size)?;
        let (data, end) = self.holes.run_at(&self.file, range.start, self.size)?;
        let range = range.start..end.min(range.end);
        if !data {
            // A hole reserves its own offset.
            let reserved = Some(range.start);
            return Ok(Extent { reserved, ..Extent::new(range, ExtentKind::Zero) });
        }
        let location = self.locate(range.clone());
        Ok(Extent { location, ..Extent::new(range, ExtentKind::Data) })
    }

    /// Returns the range of the file itself; nothing with direct I/O, which other readers cannot use at any offset.
    fn locate(&self, range: Range<u64>) -> Location<'_> {
        let len = range::len(&range);
        if self.direct.is_some() || check_range(range.start, len, self.size).is_err() {
            return Location::default();
        }
        let host = HostRange { file: &self.file, offset: range.start, len };
        Location { host: Some(host), bytes: None }
    }
}
