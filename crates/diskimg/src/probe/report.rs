//! The result of a prober.

use diskimg_codec::Wrapper;
use diskimg_core::{Format, ImageInfo, Result};
use diskimg_raw::Content;

use crate::archive::ArchiveMember;
use crate::inspection::Inspection;

/// The result of a [`crate::Prober`].
///
/// ```
/// use diskimg::{ErrorKind, ProbeReport, Prober};
/// let mut prober = Prober::new();
/// prober.push(b"not an image");
/// let ProbeReport { formats, image, pushed, .. } = prober.finish();
/// assert!(formats.is_empty());
/// assert_eq!((image.unwrap_err().kind(), pushed), (ErrorKind::UnknownFormat, 12));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ProbeReport {
    /// The compression of the stream, if any. The other fields describe the image inside.
    pub wrapper: Option<Wrapper>,
    /// The formats in which the bytes are valid, including unsupported ones. The stream is ambiguous if there are several,
    /// or one and [`ProbeReport::content`]. For an archive, the formats of its disk; `ova` or
    /// `tar` if it has no disk, or several and no name is requested.
    pub formats: Vec<Format>,
    /// The content of the first bytes, if they are a raw disk.
    pub content: Option<Content>,
    /// The description of the image: size, names, findings. Or an error: [`diskimg_core::ErrorKind::UnknownFormat`],
    /// [`diskimg_core::ErrorKind::Ambiguous`], [`diskimg_core::ErrorKind::Unsupported`] for a format that is recognised
    /// but not supported, and defects of the header or the compression.
    pub image: Result<ImageInfo>,
    /// The name of the disk's member in an archive; not yet escaped for a terminal.
    pub member: Option<String>,
    /// The member of an archive that [`ProbeReport::image`] describes, if the stream is an archive with one disk.
    pub archive: Option<ArchiveMember>,
    /// The number of bytes pushed, before decompression.
    pub pushed: u64,
}

impl ProbeReport {
    /// Returns the result as [`crate::Opener::inspect`] does for a file.
    ///
    /// # Errors
    /// The error in [`ProbeReport::image`].
    pub fn into_inspection(self) -> Result<Inspection> {
        Ok(Inspection::of_stream(self.image?, self.wrapper).in_archive(self.archive))
    }
}
