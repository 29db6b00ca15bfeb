//! Describing an image without opening the files it refers to.

use std::io::Read;
use std::path::Path;

use diskimg_core::{BlockSource, ImageInfo, Result};

use crate::archive::ArchivedDisk;
use crate::byte_stream::SourceReader;
use crate::extent_name::extent_name_finding;
use crate::host_file::open_stream;
use crate::inspection::{FileSizes, Inspection};
use crate::opener::Opener;
use crate::probe::{Probed, Prober};
use crate::sniff::FileEnds;

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
    /// A compressed file is decoded as far as needed: to its end if it holds a raw disk, whose size is
    /// recorded nowhere else.
    ///
    /// # Errors
    /// [`UnknownFormat`](crate::ErrorKind::UnknownFormat), [`Ambiguous`](crate::ErrorKind::Ambiguous), and defects of
    /// the header. An encrypted image is not an error but a finding: see [`ImageInfo::encryption`].
    pub fn inspect(&self, path: impl AsRef<Path>) -> Result<Inspection> {
        let path = path.as_ref();
        let source = self.file(path)?;
        let mut inspection = self.inspection(&source, || open_stream(path))?;
        let finding = extent_name_finding(path, &inspection.info);
        inspection.info.findings.extend(finding);
        Ok(Inspection { in_use: self.in_use(&source, path)?, ..inspection })
    }

    /// Describes the image in a source, decompressed if [`Opener::decompress`] is set.
    ///
    /// # Errors
    /// As [`Opener::inspect`].
    pub fn inspect_source(&self, source: &dyn BlockSource) -> Result<Inspection> {
        self.inspection(source, || Ok(SourceReader::new(source)))
    }

    fn inspection<R: Read>(
        &self,
        source: &dyn BlockSource,
        stream: impl FnOnce() -> Result<R>,
    ) -> Result<Inspection> {
        let sizes = FileSizes::of(source);
        if self.wrapper_of(source)?.is_some() {
            let inside = self.inspect_stream(stream()?)?;
            return Ok(Inspection::new(inside.info, inside.wrapper, sizes).in_archive(inside.archive));
        }
        Ok(match self.archived_in(source)? {
            Some(disk) => {
                let info = self.inspect_member(&disk)?;
                Inspection::new(info, None, sizes).in_archive(Some(disk.conclusion.member))
            }
            None => Inspection::new(self.inspect_image(source)?, None, sizes),
        })
    }

    /// Describes the disk of an archive.
    fn inspect_member(&self, disk: &ArchivedDisk<&dyn BlockSource>) -> Result<ImageInfo> {
        let ArchivedDisk { source, conclusion } = disk;
        let mut info = match conclusion.member.wrapper {
            Some(_) => self.inside_archive().inspect_stream(SourceReader::new(source))?.info,
            None => self.inside_archive().inspect_image(source)?,
        };
        conclusion.describe(&mut info);
        Ok(info)
    }

    /// Describes the image in a source that is decompressed and extracted already.
    pub(crate) fn inspect_image(&self, source: &dyn BlockSource) -> Result<ImageInfo> {
        let driver = self.driver_for(FileEnds::of(source)?.as_parts())?;
        let mut info = (driver.inspect)(source, &self.limits)?;
        if let Some(survey) = driver.survey {
            let findings = survey(source, &info, &self.limits);
            info.findings.extend(findings);
        }
        Ok(info)
    }

    /// Describes an image that is streamed, reading no more than needed: see [`Prober`].
    ///
    /// # Errors
    /// As [`Opener::inspect`].
    pub fn inspect_stream(&self, mut stream: impl Read) -> Result<Inspection> {
        let mut prober = Prober::with(self);
        let mut buf = vec![0; STEP];
        loop {
            self.check_cancel()?;
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

/// Bytes per read. A pipe holds 64 KiB unless it was enlarged.
const STEP: usize = 256 << 10;
