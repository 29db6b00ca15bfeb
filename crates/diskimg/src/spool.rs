//! Anonymous temporary files for images that need random access.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use diskimg_core::{BlockSink, Error, ErrorKind, LimitKind, Progress, Remedy, Result, SpillFile, zeros};
use diskimg_raw::{FileSink, FileSource, SinkOptions};

use crate::byte_stream::read_full;

/// The storage for a compressed or streamed image that needs random access.
///
/// ```
/// use diskimg::{Opener, Spool};
/// let mut opener = Opener::new();
/// opener.spool = Spool::Temporary { directory: Some("/var/tmp".into()), limit: 10 << 30 };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spool {
    /// None: such an image gives [`ErrorKind::NeedsSeek`].
    Never,
    /// An anonymous temporary file, sparse where the image has zeros, removed when it is closed.
    Temporary {
        /// The directory; `None` for the system's. An empty path is the current directory.
        directory: Option<PathBuf>,
        /// The largest size of the file in bytes; a larger image gives [`ErrorKind::Limit`].
        limit: u64,
    },
}

impl Default for Spool {
    /// The system's directory for temporary files, and 64 GiB, our limit.
    fn default() -> Self {
        Self::Temporary { directory: None, limit: 64 << 30 }
    }
}

/// Creates a temporary file in this directory, or in the system's.
fn temporary(directory: Option<&Path>) -> Result<File> {
    let file = match directory {
        None => tempfile::tempfile(),
        // The parent of a bare file name.
        Some(directory) if directory.as_os_str().is_empty() => tempfile::tempfile_in("."),
        Some(directory) => tempfile::tempfile_in(directory),
    };
    file.map_err(|error| in_temporary_file(error.into()))
}

/// Names the file in an error of the system, which is not about the image or the target.
fn in_temporary_file(error: Error) -> Error {
    error.field("temporary file")
}

fn too_long(limit: u64, kind: LimitKind) -> Error {
    Error::new(ErrorKind::Limit)
        .field("temporary file")
        .expected(format_args!("at most {limit} bytes"))
        .with_remedy(Remedy::RaiseLimit(kind))
}

/// A temporary file that a whole image is written to.
pub(crate) struct ImageSpool {
    file: File,
    sink: FileSink,
    limit: u64,
    limited_by: LimitKind,
    length: u64,
}

impl ImageSpool {
    /// An empty file for at most `most` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] if temporary files are disabled.
    pub(crate) fn new(spool: &Spool, most: u64) -> Result<Self> {
        let Spool::Temporary { directory, limit } = spool else {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .because("the image needs random access, and temporary files are not allowed")
                .with_remedy(Remedy::AllowSpool));
        };
        let file = temporary(directory.as_deref())?;
        let options = SinkOptions { is_zero: true, sync: false, ..SinkOptions::default() };
        let sink = FileSink::new(file.try_clone()?, options)?;
        let limited_by = if most < *limit { LimitKind::VirtualSize } else { LimitKind::TemporaryFiles };
        Ok(Self { file, sink, limit: most.min(*limit), limited_by, length: 0 })
    }

    /// Appends bytes, zeros as holes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.length.checked_add(bytes.len() as u64).filter(|end| *end <= self.limit);
        let end = end.ok_or_else(|| too_long(self.limit, self.limited_by))?;
        zeros::write(&self.sink, self.length, bytes, zeros::GRANULARITY).map_err(in_temporary_file)?;
        self.length = end;
        Ok(())
    }

    /// Returns the complete file.
    pub(crate) fn finish(self) -> Result<FileSource> {
        Box::new(self.sink).finish().map_err(in_temporary_file)?;
        FileSource::new(self.file)
    }
}

/// Bytes per read.
const STEP: usize = 1 << 20;

/// Writes `head` and then all of `stream` to a temporary file, and reports the bytes of both to `progress`.
///
/// # Errors
/// [`ErrorKind::Cancelled`] if `progress` stops it; errors of the stream and the file.
pub(crate) fn spool(
    how: &Spool,
    head: &[u8],
    stream: &mut dyn Read,
    most: u64,
    progress: &dyn Progress,
) -> Result<FileSource> {
    let mut spool = ImageSpool::new(how, most)?;
    progress.report(head.len() as u64)?;
    spool.push(head)?;
    let mut buf = vec![0; STEP];
    loop {
        let len = read_full(stream, &mut buf)?;
        progress.report(len as u64)?;
        match buf.get(..len).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => spool.push(bytes)?,
            None => return spool.finish(),
        }
    }
}

/// A temporary file for the parts of a stream that a decoder reads later. Created by the first write.
pub(crate) struct TemporarySpillFile {
    directory: Option<PathBuf>,
    limit: u64,
    used: u64,
    file: Option<File>,
}

impl TemporarySpillFile {
    /// A file as `spool` allows; `None` if temporary files are disabled.
    pub(crate) fn new(spool: &Spool) -> Option<Self> {
        match spool {
            Spool::Never => None,
            Spool::Temporary { directory, limit } => {
                Some(Self { directory: directory.clone(), limit: *limit, used: 0, file: None })
            }
        }
    }

    fn file(&mut self) -> Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(temporary(self.directory.as_deref())?)),
        }
    }
}

impl SpillFile for TemporarySpillFile {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let used = self.used.checked_add(bytes.len() as u64).filter(|used| *used <= self.limit);
        self.used = used.ok_or_else(|| too_long(self.limit, LimitKind::TemporaryFiles))?;
        let file = self.file()?;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.write_all(bytes))
            .map_err(|error| in_temporary_file(error.into()))
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let file = self.file()?;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(buf))
            .map_err(|error| in_temporary_file(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spill_file_returns_the_bytes_put_and_accepts_no_more_than_its_limit() {
        assert!(TemporarySpillFile::new(&Spool::Never).is_none());
        let spool = Spool::Temporary { directory: None, limit: 100 };
        let mut file = TemporarySpillFile::new(&spool).unwrap();
        file.put(1 << 30, &[1; 60]).unwrap();
        file.put((1 << 30) + 60, &[2; 40]).unwrap();
        let mut back = [0; 20];
        file.read_at((1 << 30) + 50, &mut back).unwrap();
        assert_eq!(back, [[1; 10], [2; 10]].concat()[..]);
        assert_eq!(file.put(0, &[3]).unwrap_err().kind(), ErrorKind::Limit);
    }
}
