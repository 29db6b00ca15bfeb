//! An anonymous temporary file for images that have to be read out of order and cannot be.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use diskimg_core::{BlockSink, Error, ErrorKind, LimitKind, Progress, Remedy, Result, SpillFile, zeros};
use diskimg_raw::{FileSink, FileSource, SinkOptions};

use crate::byte_stream::read_full;

/// Where an image goes that is compressed, or comes from a stream, and has to be read out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spool {
    /// Nowhere: such an image gives [`ErrorKind::NeedsSeek`].
    Never,
    /// Into an anonymous temporary file, gone when it is closed, sparse where the image holds zeros.
    Temporary {
        /// The directory; `None` for the system's.
        directory: Option<PathBuf>,
        /// The most bytes the file may have; an image that is longer gives [`ErrorKind::Limit`].
        limit: u64,
    },
}

impl Default for Spool {
    /// The system's directory for temporary files, 64 GiB: a bound of ours.
    fn default() -> Self {
        Self::Temporary { directory: None, limit: 64 << 30 }
    }
}

/// A temporary file as `how` allows it, and the most bytes it may have.
///
/// # Errors
/// [`ErrorKind::NeedsSeek`] when it is not allowed.
fn temporary(how: &Spool) -> Result<(File, u64)> {
    let Spool::Temporary { directory, limit } = how else {
        return Err(Error::new(ErrorKind::NeedsSeek)
            .because("the image has to be read out of order, and temporary files are not allowed")
            .with_remedy(Remedy::AllowSpool));
    };
    let file = match directory {
        Some(directory) => tempfile::tempfile_in(directory),
        None => tempfile::tempfile(),
    }
    .map_err(|e| Error::from(e).field("temporary file"))?;
    Ok((file, *limit))
}

fn too_long(limit: u64) -> Error {
    Error::new(ErrorKind::Limit)
        .field("temporary file")
        .expected(format_args!("at most {limit} bytes"))
        .with_remedy(Remedy::RaiseLimit(LimitKind::TemporaryFiles))
}

/// A whole image on its way into a temporary file.
pub(crate) struct Spooling {
    file: File,
    sink: FileSink,
    limit: u64,
    length: u64,
}

impl Spooling {
    /// An empty file, for at most `most` bytes.
    pub(crate) fn new(how: &Spool, most: u64) -> Result<Self> {
        let (file, limit) = temporary(how)?;
        let options = SinkOptions { is_zero: true, sync: false, ..SinkOptions::default() };
        let sink = FileSink::new(file.try_clone()?, options)?;
        Ok(Self { file, sink, limit: limit.min(most), length: 0 })
    }

    /// Writes the next bytes, zeros as holes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.length.saturating_add(bytes.len() as u64);
        if end > self.limit {
            return Err(too_long(self.limit));
        }
        zeros::write(&self.sink, self.length, bytes, zeros::GRANULARITY)?;
        self.length = end;
        Ok(())
    }

    /// The file, with all that was pushed.
    pub(crate) fn finish(self) -> Result<FileSource> {
        Box::new(self.sink).finish()?;
        FileSource::new(self.file)
    }
}

/// Bytes read at a time.
const STEP: usize = 1 << 20;

/// Writes `head` and then all of `stream` into a temporary file, and tells `progress` of its bytes.
///
/// # Errors
/// [`ErrorKind::Cancelled`] when `progress` stopped it; those of the stream and the file.
pub(crate) fn spool(
    how: &Spool,
    head: &[u8],
    stream: &mut dyn Read,
    most: u64,
    progress: &dyn Progress,
) -> Result<FileSource> {
    let mut spooling = Spooling::new(how, most)?;
    spooling.push(head)?;
    let mut buf = vec![0; STEP];
    loop {
        let len = read_full(stream, &mut buf)?;
        if let ControlFlow::Break(()) = progress.advance(len as u64) {
            return Err(Error::new(ErrorKind::Cancelled).because("cancelled while the image was kept"));
        }
        match buf.get(..len).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => spooling.push(bytes)?,
            None => return spooling.finish(),
        }
    }
}

/// A temporary file for bytes of a stream that its tables may name later; made when the first come.
pub(crate) struct TemporarySpillFile {
    how: Spool,
    file: Option<File>,
    left: u64,
}

impl TemporarySpillFile {
    /// Room as `how` allows it; `None` when it allows none.
    pub(crate) fn new(how: &Spool) -> Option<Self> {
        match how {
            Spool::Never => None,
            Spool::Temporary { limit, .. } => Some(Self { how: how.clone(), file: None, left: *limit }),
        }
    }

    fn file(&mut self) -> Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(temporary(&self.how)?.0);
        }
        self.file.as_mut().ok_or_else(|| Error::new(ErrorKind::Io).field("temporary file"))
    }
}

impl SpillFile for TemporarySpillFile {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            let Spool::Temporary { limit, .. } = self.how else { return Err(too_long(0)) };
            return Err(too_long(limit));
        };
        self.left = left;
        let file = self.file()?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes).map_err(|error| Error::from(error).field("temporary file"))
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let file = self.file()?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buf).map_err(|error| Error::from(error).field("temporary file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_gives_back_what_was_put_and_takes_no_more_than_it_may() {
        assert!(TemporarySpillFile::new(&Spool::Never).is_none());
        let how = Spool::Temporary { directory: None, limit: 100 };
        let mut shelf = TemporarySpillFile::new(&how).unwrap();
        shelf.put(1 << 30, &[1; 60]).unwrap();
        shelf.put((1 << 30) + 60, &[2; 40]).unwrap();
        let mut back = [0; 20];
        shelf.read_at((1 << 30) + 50, &mut back).unwrap();
        assert_eq!(back, [[1; 10], [2; 10]].concat()[..]);
        assert_eq!(shelf.put(0, &[3]).unwrap_err().kind(), ErrorKind::Limit);
    }
}
