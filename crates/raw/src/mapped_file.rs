//! A host file in memory: the one place of this crate with `unsafe`.
#![allow(unsafe_code, reason = "mapping a file is unsafe by nature; see MappedFile::map")]

use std::fs::File;
use std::ops::Range;

use diskimg_core::{
    BlockSource, Error, ErrorKind, Extent, ExtentKind, HostRange, Location, Result, check_range,
};
use memmap2::{Mmap, MmapOptions};

use crate::error::disk_kind;
use crate::file_source::checked;
use crate::holes::Holes;
use crate::platform::Kind;

/// A host file mapped into memory, read as a disk.
///
/// Reads are copies from memory, and [`BlockSource::locate`] gives the bytes themselves. Holes are told as by
/// [`crate::FileSource`].
#[derive(Debug)]
pub struct MappedFile {
    file: File,
    map: Mmap,
    holes: Holes,
}

impl MappedFile {
    /// Maps all of `file`, which must be open for reading.
    ///
    /// # Safety
    /// As long as the value lives, nobody, in this process or another, may make the file shorter or write to
    /// it: reading a page that is gone ends the process with SIGBUS, and bytes that change behind a `&[u8]`
    /// are undefined behaviour. Files that others may open for writing are for [`crate::FileSource`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is neither a regular file nor a block device;
    /// [`ErrorKind::Limit`] when it does not fit the address space; [`ErrorKind::Io`] when the system cannot
    /// map it.
    ///
    /// ```
    /// use diskimg_core::BlockSource;
    /// use diskimg_raw::MappedFile;
    ///
    /// let path = std::env::temp_dir().join(format!("diskimg-doc-map-{}", std::process::id()));
    /// std::fs::write(&path, b"a disk")?;
    /// // SAFETY: the file is this example's own and nobody writes to it any more.
    /// let disk = unsafe { MappedFile::map(std::fs::File::open(&path)?)? };
    /// assert_eq!(disk.locate(2..6).bytes, Some(&b"disk"[..]));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn map(file: File) -> Result<Self> {
        let (size, holes) = match disk_kind(&file)? {
            Kind::Regular(len) => (len, true),
            Kind::Device(size) => (size, false),
            Kind::Other(_) => (0, false),
        };
        let len = usize::try_from(size).map_err(|_| {
            let error = Error::new(ErrorKind::Limit).format(crate::RAW).field("mapping");
            error.found(format_args!("{size} bytes")).expected("a file that fits the address space")
        })?;
        // SAFETY: the caller promises that the file neither shrinks nor changes while the map lives; `len` is
        // the length the system has just told, so every page of the map has a byte of the file.
        let map = unsafe { MmapOptions::new().len(len).map(&file) };
        let map = map.map_err(|error| Error::from(error).format(crate::RAW).field("mapping"))?;
        Ok(Self { file, map, holes: Holes::new(holes) })
    }

    /// The file handle.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// All bytes of the disk.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn slice(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.map.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    }
}

impl BlockSource for MappedFile {
    fn size(&self) -> u64 {
        self.map.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let bytes = self.slice(offset, buf.len() as u64);
        buf.copy_from_slice(bytes.ok_or_else(|| Error::new(ErrorKind::OutOfBounds).format(crate::RAW))?);
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        let range = checked(range, self.size())?;
        let (data, end) = self.holes.run_at(&self.file, range.start, self.size())?;
        let range = range.start..end.min(range.end);
        if !data {
            return Ok(Extent::new(range, ExtentKind::Zero));
        }
        let location = self.locate(range.clone());
        Ok(Extent { location, ..Extent::new(range, ExtentKind::Data) })
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        let len = range.end.saturating_sub(range.start);
        let Some(bytes) = self.slice(range.start, len).filter(|_| range.start <= range.end) else {
            return Location::default();
        };
        let host = HostRange { file: &self.file, offset: range.start, len };
        Location { host: Some(host), bytes: Some(bytes) }
    }
}
