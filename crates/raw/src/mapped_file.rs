//! A host file mapped into memory: the only module of this crate with `unsafe`.
#![allow(unsafe_code, reason = "mapping a file is unsafe; see MappedFile::map")]

use std::fs::File;
use std::ops::Range;

use diskimg_core::{BlockSource, Error, ErrorKind, Extent, ExtentKind, Location, Result, check_range, range};
use memmap2::{Mmap, MmapOptions};

use crate::error::error;
use crate::file_source::FileSource;
use crate::format::RAW;

/// A host file mapped into memory, read as a disk.
///
/// Reads copy from memory, and [`BlockSource::locate`] returns the mapped bytes. Holes are reported as by
/// [`crate::FileSource`].
#[derive(Debug)]
pub struct MappedFile {
    file: FileSource,
    map: Mmap,
}

impl MappedFile {
    /// Maps all of `file`, which must be open for reading.
    ///
    /// # Safety
    /// While the value exists, no process may truncate the file or write to it: reading a page that no longer exists
    /// ends the process with SIGBUS, and changing the bytes of a `&[u8]` is undefined behaviour. Use
    /// [`crate::FileSource`] for files that others may open for writing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is neither a regular file nor a block device;
    /// [`ErrorKind::Limit`] if it does not fit into the address space; [`ErrorKind::Io`] if the system cannot map
    /// it.
    ///
    /// ```
    /// use diskimg_core::BlockSource;
    /// use diskimg_raw::MappedFile;
    ///
    /// let path = std::env::temp_dir().join(format!("diskimg-doc-map-{}", std::process::id()));
    /// std::fs::write(&path, b"a disk")?;
    /// // SAFETY: the file belongs to this example, and nothing writes to it while it is mapped.
    /// let disk = unsafe { MappedFile::map(std::fs::File::open(&path)?)? };
    /// assert_eq!(disk.locate(2..6).bytes, Some(&b"disk"[..]));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn map(file: File) -> Result<Self> {
        let file = FileSource::new(file)?;
        let size = file.size();
        let len = usize::try_from(size).map_err(|_| {
            let error = error(ErrorKind::Limit, "mapping");
            error.found(format_args!("{size} bytes")).expected("a file that fits the address space")
        })?;
        // SAFETY: the caller guarantees that the file neither shrinks nor changes while the map exists. `len` is the
        // length that the system just reported, so every page of the map contains a byte of the file.
        let map = unsafe { MmapOptions::new().len(len).map(file.file()) };
        let map = map.map_err(|error| Error::from(error).format(RAW).field("mapping"))?;
        Ok(Self { file, map })
    }

    /// The file handle.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// All bytes of the disk.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn slice(&self, range: &Range<u64>) -> Option<&[u8]> {
        range::slice(&self.map, 0, range)
    }
}

impl BlockSource for MappedFile {
    fn size(&self) -> u64 {
        self.map.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let bytes = self.slice(&(offset..offset.saturating_add(buf.len() as u64)));
        buf.copy_from_slice(bytes.ok_or_else(|| Error::new(ErrorKind::Internal).format(RAW))?);
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        let mut extent = self.file.extent_at(range)?;
        if extent.kind == ExtentKind::Data {
            extent.location = self.locate(extent.range());
        }
        Ok(extent)
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        let bytes = self.slice(&range);
        Location { bytes, ..self.file.locate(range) }
    }
}
