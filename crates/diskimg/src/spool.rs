//! An anonymous temporary file for images that have to be read out of order and cannot be.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use diskimg_core::{BlockSink, Error, ErrorKind, Result, zeros};
use diskimg_raw::{FileSink, SinkOptions};

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

/// Bytes read at a time.
const STEP: usize = 1 << 20;

/// Writes `head` and then all of `stream` into a temporary file.
pub(crate) fn spool(how: &Spool, head: &[u8], stream: Box<dyn Read + Send>, most: u64) -> Result<File> {
    let Spool::Temporary { directory, limit } = how else {
        return Err(Error::new(ErrorKind::NeedsSeek)
            .because("the image has to be read out of order, and temporary files are not allowed")
            .hint("allow a temporary file, or unpack the image first"));
    };
    let file = match directory {
        Some(directory) => tempfile::tempfile_in(directory),
        None => tempfile::tempfile(),
    }
    .map_err(|e| Error::from(e).field("temporary file"))?;
    let sink = FileSink::new(
        file.try_clone().map_err(Error::from)?,
        SinkOptions { is_zero: true, sync: false, ..SinkOptions::default() },
    )?;
    let mut input = std::io::Cursor::new(head.to_vec()).chain(stream);
    copy_sparse(&mut input, &sink, (*limit).min(most))?;
    Box::new(sink).finish()?;
    Ok(file)
}

fn copy_sparse(input: &mut dyn Read, sink: &dyn BlockSink, limit: u64) -> Result<()> {
    let mut buf = vec![0; STEP];
    let mut at = 0_u64;
    loop {
        let len = crate::stream::read_full(input, &mut buf)?;
        let Some(bytes) = buf.get(..len).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        let end = at.saturating_add(len as u64);
        if end > limit {
            return Err(Error::new(ErrorKind::Limit)
                .field("temporary file")
                .expected(format_args!("at most {limit} bytes"))
                .hint("raise the limit for temporary files, or unpack the image first"));
        }
        crate::convert::write_sparse(sink, at, bytes, zeros::GRANULARITY)?;
        at = end;
    }
}
