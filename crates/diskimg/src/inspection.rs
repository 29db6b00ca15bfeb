//! The description of an image and the sizes of its file.

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, ImageInfo, ReferenceRole, Resolver, Result};

use crate::other_files::{OtherFile, other_files};

use crate::archive::ArchiveMember;
use crate::resolve::ReadAlone;

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
    /// The other files that the image names as parts of itself, in its order.
    pub other_files: Vec<OtherFile>,
    /// The message about another process that has locked the file for writing: the description may be out of date.
    /// [`Opener::inspect`](crate::Opener::inspect) sets it, unless [`Opener::locking`](crate::Opener::locking) is off.
    pub in_use: Option<String>,
}

impl Inspection {
    pub(crate) fn new(info: ImageInfo, wrapper: Option<Wrapper>, sizes: FileSizes) -> Self {
        Self {
            other_files: other_files(&info),
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

    /// Opens the other files of the image to learn their sizes.
    ///
    /// ```
    /// use diskimg::core::DenyReferences;
    /// use diskimg::inspect;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let mut inspection = inspect(&path)?;
    /// inspection.open_other_files(&DenyReferences)?;
    /// assert!(inspection.other_files.is_empty(), "this image is one file");
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of the resolver; [`Denied`](crate::ErrorKind::Denied) for a disk in an archive, whose names are not
    /// followed.
    pub fn open_other_files(&mut self, resolver: &dyn Resolver) -> Result<()> {
        let resolver: &dyn Resolver = if self.archive.is_some() { &ReadAlone } else { resolver };
        let extents = self.info.references.iter().filter(|found| found.role == ReferenceRole::Extent);
        for (file, reference) in self.other_files.iter_mut().zip(extents) {
            let sizes = FileSizes::of(resolver.resolve(reference)?.as_ref());
            (file.file_size, file.allocated_size) = (sizes.file, sizes.allocated);
        }
        Ok(())
    }

    /// Bytes allocated for all files of the image that were opened; `None` if that of its own file is unknown.
    #[must_use]
    pub fn allocated_in_all_files(&self) -> Option<u64> {
        let others = self.other_files.iter().filter_map(|file| file.allocated_size);
        self.allocated_size.map(|own| others.fold(own, u64::saturating_add))
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
