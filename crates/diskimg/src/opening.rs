//! Opening images: from files, sources and streams.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use diskimg_core::{BlockSource, Image, Progress, Result};

use crate::archive::{ArchivedDisk, MemberVerification};
use crate::byte_stream::SourceReader;
use crate::disk::Disk;
use crate::extent_name::extent_name_finding;
use crate::host_id::HostId;
use crate::inspection::FileSizes;
use crate::opener::Opener;
use crate::stream_input::StreamInput;

/// An image to convert: with random access, or streamed.
pub enum Input {
    /// An image with random access.
    Disk(Disk),
    /// An image that is read once, in order.
    Stream(StreamInput),
}

impl Input {
    /// Opens the image for random access: stores a streamed image in a temporary file first.
    ///
    /// # Errors
    /// As [`StreamInput::into_disk`].
    pub fn into_disk(self, progress: &dyn Progress) -> Result<Disk> {
        match self {
            Self::Disk(disk) => Ok(disk),
            Self::Stream(input) => input.into_disk(progress),
        }
    }
}

impl Opener {
    /// Opens the image in a file or block device, with all layers below it that the resolver allows.
    ///
    /// A compressed file is decompressed to an anonymous temporary file first, as [`Opener::spool`] allows.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) if the image needs another file that the resolver refuses;
    /// [`InUse`](crate::ErrorKind::InUse) as [`Opener::locking`] requires; otherwise
    /// defects of the file, by [`ErrorKind`](crate::ErrorKind).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Disk> {
        self.open_with(path, &())
    }

    /// Opens the image in a file as [`Opener::open`] does. Reports the decompressed bytes of a compressed image to
    /// `progress`, which may stop the opening; see also [`Opener::cancel`].
    ///
    /// # Errors
    /// As [`Opener::open`]; [`Cancelled`](crate::ErrorKind::Cancelled) if `progress` stops it.
    pub fn open_with(&self, path: impl AsRef<Path>, progress: &dyn Progress) -> Result<Disk> {
        let path = path.as_ref();
        let (file, in_use) = self.locked_file(path)?;
        let file: Arc<dyn BlockSource> = Arc::new(file);
        let disk = self.disk_in(&file, || self.locked_stream(path), progress)?;
        self.named(disk.with_in_use(in_use), path)
    }

    /// Opens the image in a source, decompressed if [`Opener::decompress`] is set.
    ///
    /// # Errors
    /// As [`Opener::open`].
    ///
    /// ```
    /// use diskimg::{BlockSource, Memory, Opener};
    /// use std::sync::Arc;
    /// let mut opener = Opener::new();
    /// opener.allow_raw = true;
    /// assert_eq!(opener.open_source(Arc::new(Memory::new(vec![1; 512])))?.size(), 512);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    pub fn open_source(&self, source: Arc<dyn BlockSource>) -> Result<Disk> {
        self.open_source_with(source, &())
    }

    /// Opens the image in a source as [`Opener::open_source`] does, with progress as [`Opener::open_with`] reports it.
    ///
    /// # Errors
    /// As [`Opener::open_with`].
    pub fn open_source_with(&self, source: Arc<dyn BlockSource>, progress: &dyn Progress) -> Result<Disk> {
        self.without_locks().disk_in(&Arc::clone(&source), || Ok(SourceReader::new(source)), progress)
    }

    /// Reads the head of a streamed image: a pipe, a download. The stream is decompressed if it is compressed, and
    /// from an archive only the disk is read.
    ///
    /// # Errors
    /// [`UnknownFormat`](crate::ErrorKind::UnknownFormat) and other defects that the head of the image, or of the
    /// disk in the archive, shows.
    pub fn stream(&self, stream: impl Read + Send + 'static) -> Result<StreamInput> {
        StreamInput::new(Box::new(stream), &self.without_locks())
    }

    /// Opens the image in a file for a conversion: with random access, or as a stream if it is compressed.
    ///
    /// # Errors
    /// As [`Opener::open`] and [`Opener::stream`].
    pub fn input(&self, path: impl AsRef<Path>) -> Result<Input> {
        let path = path.as_ref();
        let (file, in_use) = self.locked_file(path)?;
        let input = self.input_in(&(Arc::new(file) as Arc<dyn BlockSource>), || self.locked_stream(path))?;
        Ok(match input {
            Input::Disk(disk) => Input::Disk(self.named(disk.with_in_use(in_use), path)?),
            stream @ Input::Stream(_) => stream,
        })
    }

    /// The image in a source, whose bytes `stream` returns in order if they are compressed.
    fn input_in<R: Read + Send + 'static>(
        &self,
        source: &Arc<dyn BlockSource>,
        stream: impl FnOnce() -> Result<R>,
    ) -> Result<Input> {
        if let Some(wrapper) = self.wrapper_of(source)? {
            let mut input = StreamInput::compressed(stream()?, wrapper, self)?;
            input.origin = HostId::of_source(source);
            return Ok(Input::Stream(input));
        }
        match self.archived_in(Arc::clone(source))? {
            Some(disk) => self.open_member(disk, source),
            None => self.open_image(source, None, None).map(Input::Disk),
        }
    }

    /// Adds the finding about the name of the file.
    fn named(&self, mut disk: Disk, path: &Path) -> Result<Disk> {
        let finding = extent_name_finding(path, disk.info());
        self.accept(disk.info().format, finding.as_slice())?;
        disk.add_findings(finding.into_iter().collect());
        Ok(disk)
    }

    /// The disk of an archive in `archive`.
    fn open_member(
        &self,
        disk: ArchivedDisk<Arc<dyn BlockSource>>,
        archive: &Arc<dyn BlockSource>,
    ) -> Result<Input> {
        let ArchivedDisk { source, conclusion } = disk;
        conclusion.check()?;
        if conclusion.member.wrapper.is_some() {
            let mut input = StreamInput::compressed_member(source, conclusion, self)?;
            input.origin = HostId::of_source(archive);
            return Ok(Input::Stream(input));
        }
        let source: Arc<dyn BlockSource> = Arc::new(source);
        let mut disk = self.inside_archive().open_image(&source, None, Some(conclusion.member.clone()))?;
        disk.add_findings(conclusion.findings(disk.info().virtual_size));
        self.accept(disk.info().format, &disk.findings())?;
        let verifies = self.verify && !conclusion.digests.is_empty();
        disk.verify_with(verifies.then(|| MemberVerification { source, digests: conclusion.digests }));
        disk.sizes = FileSizes::of(archive);
        // A hole of a sparse member has no place in the archive.
        disk.origin = HostId::of_source(archive);
        Ok(Input::Disk(disk))
    }

    fn disk_in<R: Read + Send + 'static>(
        &self,
        source: &Arc<dyn BlockSource>,
        stream: impl FnOnce() -> Result<R>,
        progress: &dyn Progress,
    ) -> Result<Disk> {
        self.check_cancel()?;
        let mut disk = self.input_in(source, stream)?.into_disk(progress)?;
        if disk.wrapper().is_some() || disk.archive().is_some() {
            disk.sizes = FileSizes::of(source);
        }
        Ok(disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_codec::Wrapper;
    use diskimg_core::{Image, Memory};
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_source_is_decompressed() {
        let packed = gz(&[7; 100_000]);
        let source: Arc<dyn BlockSource> = Arc::new(Memory::new(packed.clone()));
        let mut opener = Opener::new();
        opener.allow_raw = true;
        let disk = opener.open_source(Arc::clone(&source)).unwrap();
        assert_eq!((disk.size(), disk.wrapper()), (100_000, Some(Wrapper::Gzip)));
        let inspection = opener.inspect_source(&source).unwrap();
        assert_eq!(inspection.info.virtual_size, disk.info().virtual_size);
        assert_eq!(inspection.file_size, Some(packed.len() as u64));
        assert_eq!(disk.inspection(), inspection);
    }

    #[test]
    fn compressed_source_stays_compressed_if_decompression_is_off() {
        let packed = gz(&[7; 100_000]);
        let mut opener = Opener::new();
        (opener.decompress, opener.format) = (false, Some(diskimg_raw::DRIVER.format));
        let disk = opener.open_source(Arc::new(Memory::new(packed.clone()))).unwrap();
        assert_eq!((disk.size(), disk.wrapper()), (packed.len() as u64, None));
    }
}
