//! What an image claims and refers to, opening nothing.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Error, ErrorKind, ImageInfo, Result, Window, check_range};

use crate::open::Opener;
use crate::sniff::{driver_for, head_of};
use crate::stream::{Arriving, read_full};

/// What an image claims and refers to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// What the image says about itself.
    pub info: ImageInfo,
    /// How the file is compressed, if it is.
    pub wrapper: Option<Wrapper>,
    /// Length of the file in bytes; `None` for a stream.
    pub file_size: Option<u64>,
    /// Bytes that the file takes up on its file system; `None` for a stream or where that is not known.
    pub allocated_size: Option<u64>,
}

impl Inspection {
    pub(crate) fn new(info: ImageInfo, wrapper: Option<Wrapper>, sizes: Sizes) -> Self {
        Self { info, wrapper, file_size: sizes.file, allocated_size: sizes.allocated }
    }

    /// What the image in a file claims, with the sizes that the file's metadata gives.
    #[must_use]
    pub fn of_file(info: ImageInfo, file: &std::fs::Metadata) -> Self {
        Self { info, wrapper: None, file_size: Some(file.len()), allocated_size: allocated(file) }
    }
}

/// What a file takes up, as far as it is a file.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sizes {
    file: Option<u64>,
    allocated: Option<u64>,
}

impl Sizes {
    /// The sizes of the file that a source lies in.
    pub(crate) fn of(source: &dyn BlockSource) -> Self {
        let host = source.locate(0..source.size().min(1)).host;
        let metadata = host.and_then(|host| host.file.metadata().ok());
        Self { file: Some(source.size()), allocated: metadata.and_then(|file| allocated(&file)) }
    }
}

/// Reads what the image in a file claims, with the default [`Opener`]: see [`Opener::inspect`].
///
/// # Errors
/// As [`Opener::inspect`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    Opener::new().inspect(path)
}

impl Opener {
    /// Reads what the image in a file claims: format, virtual size, names it refers to, findings. Nothing
    /// else is opened, whatever [`Opener::resolver`] allows, and only headers are read.
    ///
    /// A compressed file is decoded as far as is needed: to its end if it holds a raw disk, whose size is
    /// known nowhere else.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`], [`ErrorKind::Ambiguous`] and what is wrong with the header. An
    /// encrypted image is no error: [`ImageInfo::encryption`] says so.
    pub fn inspect(&self, path: impl AsRef<Path>) -> Result<Inspection> {
        let path = path.as_ref();
        let source = self.file(path)?;
        let sizes = Sizes::of(&source);
        match self.wrapper_of(&source)? {
            None => Ok(Inspection::new(self.inspect_source(&source)?, None, sizes)),
            Some(wrapper) => {
                let inside = self.inspect_arriving(self.wrapped(path, wrapper)?)?;
                Ok(Inspection::new(inside.info, inside.wrapper, sizes))
            }
        }
    }

    /// Reads what the image in a source claims, or the one in an OVA; never unwrapped.
    ///
    /// # Errors
    /// As [`Opener::inspect`].
    pub fn inspect_source(&self, source: &dyn BlockSource) -> Result<ImageInfo> {
        match self.archived_in(source)? {
            Some(disk) => self.inspect_image(&Window::new(source, disk.range)?),
            None => self.inspect_image(source),
        }
    }

    fn inspect_image(&self, source: &dyn BlockSource) -> Result<ImageInfo> {
        let head = head_of(source)?;
        let driver = driver_for(&head, Some(source.size()), self.format, self.allow_raw)?;
        (driver.inspect)(source, &self.limits)
    }

    /// Reads what an image claims that arrives once, in order, as far as is needed to tell.
    ///
    /// # Errors
    /// As [`Opener::inspect`]; [`ErrorKind::NeedsSeek`] when what describes the image lies so far behind its
    /// beginning that the image has to be kept, and [`Opener::spool`] forbids that.
    pub fn inspect_stream(&self, stream: impl Read + Send + 'static) -> Result<Inspection> {
        self.inspect_arriving(self.arriving(stream)?)
    }

    pub(crate) fn inspect_arriving(&self, arriving: Arriving) -> Result<Inspection> {
        let wrapper = arriving.wrapper();
        let inspection = |info| Inspection::new(info, wrapper, Sizes::default());
        let driver = crate::drivers::driver_of(arriving.format())?;
        if driver.format == diskimg_raw::DRIVER.format {
            let head = arriving.head().to_vec();
            let size = arriving.count(self.limits.virtual_size)?;
            return Ok(inspection((driver.inspect)(&Prefix::new(&head, size), &self.limits)?));
        }
        let head = arriving.head().to_vec();
        // Of a stream only the beginning is there: its length is not known, and not to be judged.
        let prefix = Prefix::new(&head, i64::MAX.unsigned_abs());
        let info = (driver.inspect)(&prefix, &self.limits);
        if !prefix.missed.load(Ordering::Relaxed) {
            return info.map(inspection);
        }
        let file = arriving.into_file(self)?;
        Ok(inspection((driver.inspect)(&file, &self.limits)?))
    }
}

impl Arriving {
    /// Reads to the end; returns the bytes of the whole image.
    fn count(self, limit: u64) -> Result<u64> {
        let (_, mut bytes) = self.into_parts()?;
        let mut buf = vec![0; 256 << 10];
        let mut total = 0_u64;
        loop {
            let len = read_full(&mut bytes, &mut buf)?;
            total = total.saturating_add(len as u64);
            if total > limit {
                return Err(Error::new(ErrorKind::Limit)
                    .field("virtual size")
                    .expected(format_args!("at most {limit} bytes")));
            }
            if len < buf.len() {
                return Ok(total);
            }
        }
    }
}

/// The first bytes of a source whose rest is not there.
struct Prefix<'a> {
    head: &'a [u8],
    size: u64,
    /// Whether somebody wanted more than is there.
    missed: AtomicBool,
}

impl<'a> Prefix<'a> {
    fn new(head: &'a [u8], size: u64) -> Self {
        Self { head, size, missed: AtomicBool::new(false) }
    }
}

impl BlockSource for Prefix<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.head.get(start..start.saturating_add(buf.len())) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => {
                self.missed.store(true, Ordering::Relaxed);
                Err(Error::new(ErrorKind::NeedsSeek).at(offset).because("only the first bytes are at hand"))
            }
        }
    }
}

#[cfg(unix)]
fn allocated(file: &std::fs::Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    file.blocks().checked_mul(512)
}

#[cfg(not(unix))]
fn allocated(_: &std::fs::Metadata) -> Option<u64> {
    None
}
