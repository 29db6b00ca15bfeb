//! Describing an image without opening the files it refers to.

use std::io::Read;
use std::path::Path;

use diskimg_core::{BlockSource, ImageInfo, Progress, Result};

use crate::archive::ArchivedDisk;
use crate::byte_stream::SourceReader;
use crate::extent_name::extent_name_finding;
use crate::host_file::open_stream;
use crate::inspection::{FileSizes, Inspection};
use crate::opener::Opener;
use crate::probe::{Probed, Prober};

/// Describes the image in a file with the default [`Opener`]: see [`Opener::inspect`].
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.qcow2");
/// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 30))?.finish()?;
/// let info = diskimg::inspect(&path)?.info;
/// assert_eq!((info.format.name(), info.virtual_size), ("qcow2", 1 << 30));
/// assert!(info.references.is_empty() && info.findings.is_empty());
/// # Ok::<(), diskimg::Error>(())
/// ```
///
/// # Errors
/// As [`Opener::inspect`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    Opener::new().inspect(path)
}

impl Opener {
    /// Describes the image in a file: format, virtual size, references, findings. Reads headers and, to compare them with
    /// the length of the file, at most [`Limits::metadata_cache`](crate::Limits::metadata_cache) bytes of tables. Opens
    /// no other file, whatever [`Opener::resolver`] allows.
    ///
    /// A compressed file is decompressed to its end, an image with tables to a temporary file as [`Opener::spool`] allows.
    /// If it must not be stored, the finding `tables_not_compared` gives the reason. With [`Opener::heads_only`], a
    /// compressed file is read like a stream: see [`Opener::inspect_stream`].
    ///
    /// # Errors
    /// [`UnknownFormat`](crate::ErrorKind::UnknownFormat), [`Ambiguous`](crate::ErrorKind::Ambiguous), and defects of
    /// the header; [`Limit`](crate::ErrorKind::Limit) for a disk larger than
    /// [`Limits::virtual_size`](crate::Limits::virtual_size). An encrypted image is not an error but a finding: see
    /// [`ImageInfo::encryption`].
    pub fn inspect(&self, path: impl AsRef<Path>) -> Result<Inspection> {
        self.inspect_with(path, &())
    }

    /// Describes the image in a file as [`Opener::inspect`] does. Reports the bytes of a compressed file that were read to
    /// `progress`, which may stop it.
    ///
    /// ```
    /// use diskimg::{Cancel, Opener};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let cancel = Cancel::default(); // another thread may trigger it
    /// let info = Opener::new().inspect_with(&path, &cancel)?.info;
    /// assert_eq!(info.virtual_size, 1 << 20);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Opener::inspect`]; [`Cancelled`](diskimg_core::ErrorKind::Cancelled) if `progress` stops it.
    pub fn inspect_with(&self, path: impl AsRef<Path>, progress: &dyn Progress) -> Result<Inspection> {
        let path = path.as_ref();
        let source = self.file(path)?;
        let mut inspection = self.inspection(&source, || open_stream(path), progress)?;
        let finding = extent_name_finding(path, &inspection.info);
        inspection.info.findings.extend(finding);
        Ok(Inspection { in_use: self.in_use(&source, path)?, ..inspection })
    }

    /// Describes the image in a source, decompressed if [`Opener::decompress`] is set.
    ///
    /// # Errors
    /// As [`Opener::inspect`].
    pub fn inspect_source(&self, source: &dyn BlockSource) -> Result<Inspection> {
        self.inspect_source_with(source, &())
    }

    /// Describes the image in a source as [`Opener::inspect_with`] does.
    ///
    /// # Errors
    /// As [`Opener::inspect_with`].
    pub fn inspect_source_with(
        &self,
        source: &dyn BlockSource,
        progress: &dyn Progress,
    ) -> Result<Inspection> {
        self.inspection(source, || Ok(SourceReader::new(source)), progress)
    }

    fn inspection<R: Read>(
        &self,
        source: &dyn BlockSource,
        stream: impl FnOnce() -> Result<R>,
        progress: &dyn Progress,
    ) -> Result<Inspection> {
        let sizes = FileSizes::of(source);
        if self.wrapper_of(source)?.is_some() {
            progress.begin(Some(source.size()));
            let inside = self.inspect_compressed(stream()?, progress)?;
            return Ok(Inspection::new(inside.info, inside.wrapper, sizes).in_archive(inside.archive));
        }
        Ok(match self.archived_in(source)? {
            Some(disk) => {
                let info = self.inspect_member(&disk, progress)?;
                Inspection::new(info, None, sizes).in_archive(Some(disk.conclusion.member))
            }
            None => Inspection::new(self.inspect_image(source)?, None, sizes),
        })
    }

    /// Describes the disk of an archive.
    fn inspect_member(
        &self,
        disk: &ArchivedDisk<&dyn BlockSource>,
        progress: &dyn Progress,
    ) -> Result<ImageInfo> {
        let ArchivedDisk { source, conclusion } = disk;
        let mut info = match conclusion.member.wrapper {
            Some(_) => {
                progress.begin(Some(source.size()));
                self.inside_archive().inspect_compressed(SourceReader::new(source), progress)?.info
            }
            None => self.inside_archive().inspect_image(source)?,
        };
        conclusion.describe(&mut info);
        Ok(info)
    }

    /// Describes an image that is streamed, reading no more than needed: see [`Prober`]. Its tables are not compared with
    /// its length: see [`Opener::inspect_whole_stream`].
    ///
    /// # Errors
    /// As [`Opener::inspect`].
    pub fn inspect_stream(&self, stream: impl Read) -> Result<Inspection> {
        self.probe(Prober::with(self), stream, &())
    }

    /// Describes an image that is streamed as [`Opener::inspect`] does: reads an image with tables to its end and compares
    /// them with its length. It is stored in a temporary file meanwhile, as [`Opener::spool`] allows; if it must not be
    /// stored, the finding `tables_not_compared` gives the reason. Reports the bytes of the stream to `progress`.
    ///
    /// ```
    /// use diskimg::Opener;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # let sink = diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?;
    /// # sink.write_at(0, &[1; 1 << 20])?;
    /// # sink.finish()?;
    /// let image = std::fs::read(&path)?;
    /// let half = &image[..image.len() / 2];
    /// let info = Opener::new().inspect_whole_stream(half, &())?.info;
    /// let checks: Vec<_> = info.findings.iter().map(|finding| finding.check).collect();
    /// assert_eq!(checks, ["truncated_cluster", "truncated"]);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Opener::inspect`]; [`Cancelled`](diskimg_core::ErrorKind::Cancelled) if `progress` stops it.
    pub fn inspect_whole_stream(&self, stream: impl Read, progress: &dyn Progress) -> Result<Inspection> {
        self.probe(Prober::of_whole_images(self), stream, progress)
    }

    fn inspect_compressed(&self, stream: impl Read, progress: &dyn Progress) -> Result<Inspection> {
        match self.heads_only {
            true => self.probe(Prober::with(self), stream, progress),
            false => self.inspect_whole_stream(stream, progress),
        }
    }

    /// Pushes a stream into a prober until everything is certain.
    fn probe(
        &self,
        mut prober: Prober,
        mut stream: impl Read,
        progress: &dyn Progress,
    ) -> Result<Inspection> {
        let mut buf = vec![0; STEP];
        loop {
            self.check_cancel()?;
            let len = match stream.read(&mut buf) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            progress.report(len as u64)?;
            if len == 0 || prober.push(buf.get(..len).unwrap_or(&buf)) == Probed::Done {
                return prober.finish().into_inspection();
            }
        }
    }
}

/// Bytes per read. A pipe holds 64 KiB unless it was enlarged.
const STEP: usize = 256 << 10;
