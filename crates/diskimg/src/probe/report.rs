//! What a prober found.

use diskimg_codec::Wrapper;
use diskimg_core::{Format, ImageInfo, Result};
use diskimg_raw::Content;

use crate::inspection::Inspection;

/// What a [`crate::Prober`] found.
#[derive(Debug)]
#[non_exhaustive]
pub struct ProbeReport {
    /// How the stream is compressed, if it is; what follows is about the image inside.
    pub wrapper: Option<Wrapper>,
    /// The formats that the bytes are valid as, those among them that this build cannot read. With more than
    /// one, or with one and [`ProbeReport::content`], the stream is ambiguous. Of an OVA, those of its disk; `ova`
    /// if it has none, or several and none was named.
    pub formats: Vec<Format>,
    /// What the bytes begin with if they are a raw disk.
    pub content: Option<Content>,
    /// What the image says about itself: size, names, findings. Or why that cannot be told:
    /// [`diskimg_core::ErrorKind::UnknownFormat`], [`diskimg_core::ErrorKind::Ambiguous`],
    /// [`diskimg_core::ErrorKind::Unsupported`] for a format that is known and not read here, and what is
    /// wrong with the header or the wrapper.
    pub image: Result<ImageInfo>,
    /// The name of the disk's file in the OVA that was pushed; not yet escaped for a terminal.
    pub member: Option<String>,
    /// Bytes that were pushed, still compressed if they were.
    pub pushed: u64,
}

impl ProbeReport {
    /// The same as [`crate::Opener::inspect`] gives for a file.
    ///
    /// # Errors
    /// The error in [`ProbeReport::image`].
    pub fn into_inspection(self) -> Result<Inspection> {
        Ok(Inspection::of_stream(self.image?, self.wrapper))
    }
}
