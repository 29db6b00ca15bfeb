//! What an image claims and refers to, opening nothing.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, ImageInfo, Probed, Result, Window};

use crate::open::{Opener, name_file};
use crate::probe::Prober;
use crate::sniff::Ends;

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

    /// What an image claims that arrives as a stream, which has no sizes of a file.
    #[must_use]
    pub fn of_stream(info: ImageInfo, wrapper: Option<Wrapper>) -> Self {
        Self::new(info, wrapper, Sizes::default())
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
    /// [`diskimg_core::ErrorKind::UnknownFormat`], [`diskimg_core::ErrorKind::Ambiguous`] and what is wrong with
    /// the header. An encrypted image is no error: [`ImageInfo::encryption`] says so.
    pub fn inspect(&self, path: impl AsRef<Path>) -> Result<Inspection> {
        let path = path.as_ref();
        let source = self.file(path)?;
        let sizes = Sizes::of(&source);
        Ok(match self.wrapper_of(&source)? {
            None => Inspection::new(self.inspect_source(&source)?, None, sizes),
            Some(_) => {
                let inside = self.inspect_stream(File::open(path).map_err(|e| name_file(e.into(), path))?)?;
                Inspection::new(inside.info, inside.wrapper, sizes)
            }
        })
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
        let driver = self.driver_for(Ends::of(source)?.as_parts())?;
        (driver.inspect)(source, &self.limits)
    }

    /// Reads what an image claims that arrives once, in order, as far as is needed to tell: see [`Prober`].
    ///
    /// # Errors
    /// As [`Opener::inspect`].
    pub fn inspect_stream(&self, mut stream: impl Read) -> Result<Inspection> {
        let mut prober = Prober::with(self);
        let mut buf = vec![0; STEP];
        loop {
            let len = match stream.read(&mut buf) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if len == 0 || prober.push(buf.get(..len).unwrap_or(&buf)) == Probed::Done {
                return prober.finish().into_inspection();
            }
        }
    }
}

/// Bytes read at a time: a pipe holds 64 KiB unless it was made longer.
const STEP: usize = 256 << 10;

#[cfg(unix)]
fn allocated(file: &std::fs::Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    file.blocks().checked_mul(512)
}

#[cfg(not(unix))]
fn allocated(_: &std::fs::Metadata) -> Option<u64> {
    None
}
