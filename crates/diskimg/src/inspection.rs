//! The description of an image and the sizes of its file.

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, ImageInfo};

use crate::archive::ArchiveMember;

/// The description of an image, as [`Opener::inspect`](crate::Opener::inspect) returns it.
///
/// ```
/// use diskimg::{ImageInfo, Inspection, Severity, inspect};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.qcow2");
/// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
/// let Inspection { info, wrapper, .. } = inspect(&path)?;
/// assert_eq!(wrapper, None, "the file is not compressed");
/// let ImageInfo { virtual_size, findings, .. } = info;
/// assert_eq!(virtual_size, 1 << 20);
/// assert!(findings.iter().all(|finding| finding.severity != Severity::Unsafe));
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// The properties that the image states: format, size, references, findings.
    pub info: ImageInfo,
    /// The compression of the file, if any.
    pub wrapper: Option<Wrapper>,
    /// The member of an archive that is described, if the file is an archive.
    pub archive: Option<ArchiveMember>,
    /// Length of the file in bytes; `None` for a stream.
    pub file_size: Option<u64>,
    /// Bytes allocated for the file on its file system; `None` for a stream or where it is unknown.
    pub allocated_size: Option<u64>,
    /// The message about another process that has locked the file for writing: the description may be out of date.
    /// [`Opener::inspect`](crate::Opener::inspect) sets it, unless [`Opener::locking`](crate::Opener::locking) is off.
    pub in_use: Option<String>,
}

impl Inspection {
    pub(crate) fn new(info: ImageInfo, wrapper: Option<Wrapper>, sizes: FileSizes) -> Self {
        Self {
            info,
            wrapper,
            archive: None,
            file_size: sizes.file,
            allocated_size: sizes.allocated,
            in_use: None,
        }
    }

    /// The description of an image in an uncompressed file with this metadata.
    #[must_use]
    pub fn of_file(info: ImageInfo, file: &std::fs::Metadata) -> Self {
        Self::new(info, None, FileSizes { file: Some(file.len()), allocated: allocated(file) })
    }

    /// The description of an image in a stream, which has no file sizes.
    #[must_use]
    pub fn of_stream(info: ImageInfo, wrapper: Option<Wrapper>) -> Self {
        Self::new(info, wrapper, FileSizes::default())
    }

    /// Adds the member that is described.
    pub(crate) fn in_archive(mut self, archive: Option<ArchiveMember>) -> Self {
        self.archive = archive;
        self
    }
}

/// The length and the allocated bytes of a file, as far as they are known.
#[derive(Clone, Copy, Default)]
pub(crate) struct FileSizes {
    file: Option<u64>,
    allocated: Option<u64>,
}

impl FileSizes {
    /// The sizes of the file that a source reads.
    pub(crate) fn of(source: &dyn BlockSource) -> Self {
        let host = source.locate(0..source.size().min(1)).host;
        let metadata = host.and_then(|host| host.file.metadata().ok());
        Self { file: Some(source.size()), allocated: metadata.and_then(|file| allocated(&file)) }
    }
}

/// The bytes that the file system has allocated for a file, if known.
#[cfg(unix)]
pub(crate) fn allocated(file: &std::fs::Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    file.blocks().checked_mul(512)
}

#[cfg(not(unix))]
pub(crate) fn allocated(_: &std::fs::Metadata) -> Option<u64> {
    None
}
