//! Sources that can be read only once: standard input, named pipes, terminals. A signal can interrupt a read.

use std::fs::File;
use std::io::{Cursor, Read, Result, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use diskimg::{Cancel, Error, ErrorKind, Progress};

use crate::output::is_dash;

/// The size of a chunk in bytes, and the number of chunks read ahead. Our limits: a pipe holds 64 KiB to 1
/// MiB.
const CHUNK_SIZE: usize = 256 << 10;
const CHUNKS_AHEAD: usize = 4;

/// The longest delay before a read from a stalled pipe notices the cancellation.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Returns true if the file can be read only once: `-`, a named pipe (also `/dev/stdin`, `/dev/fd/N`, `<(...)`), a
/// character device.
pub(crate) fn is_stream(file: &Path) -> bool {
    is_dash(file) || reads_in_order(file)
}

#[cfg(unix)]
fn reads_in_order(file: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = file.metadata().map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device())
}

#[cfg(not(unix))]
fn reads_in_order(_: &Path) -> bool {
    false
}

/// A handle of standard input for `-`, if it is redirected from a file or block device.
#[cfg(unix)]
pub(crate) fn redirected_file(file: &Path) -> Option<File> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let stdin = is_dash(file).then(std::io::stdin)?;
    let source = File::from(stdin.as_fd().try_clone_to_owned().ok()?);
    let kind = source.metadata().ok()?.file_type();
    (kind.is_file() || kind.is_block_device()).then_some(source)
}

#[cfg(not(unix))]
pub(crate) fn redirected_file(_: &Path) -> Option<File> {
    None
}

/// Opens such a file.
pub(crate) fn open(file: &Path) -> Result<Box<dyn Read + Send>> {
    Ok(if is_dash(file) {
        Box::new(WholeStream { stream: std::io::stdin(), rest: rest_of_file(file) })
    } else {
        Box::new(File::open(file)?)
    })
}

/// The number of bytes from the position of a redirected file to its end; 0 for other streams.
fn rest_of_file(file: &Path) -> u64 {
    let rest = |mut file: File| {
        let len = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        Some(len.saturating_sub(file.stream_position().ok()?))
    };
    redirected_file(file).and_then(rest).unwrap_or(0)
}

/// A stream that must have at least a number of bytes: those of the redirected file when it was opened.
struct WholeStream<R> {
    stream: R,
    /// The number of bytes that are still to come.
    rest: u64,
}

impl<R: Read> Read for WholeStream<R> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let got = self.stream.read(buf)?;
        if got == 0 && self.rest > 0 && !buf.is_empty() {
            let error = Error::new(ErrorKind::Truncated).found(format_args!("{} bytes shorter", self.rest));
            return Err(error.because("the file became shorter while it was read").into());
        }
        self.rest = self.rest.saturating_sub(got as u64);
        Ok(got)
    }
}

/// A stream, read by a separate thread. A read that waits for a pipe cannot be cancelled. Here only that thread
/// waits, and the reader can stop and remove its temporary files. Without that thread, if the system starts none, the
/// reader waits.
pub(crate) struct CancellableReader {
    chunks: ChunkSource,
    chunk: Cursor<Vec<u8>>,
    cancel: Arc<Cancel>,
}

enum ChunkSource {
    Thread(Receiver<Result<Vec<u8>>>),
    Stream(Box<dyn Read + Send>),
}

impl CancellableReader {
    /// Opens the file and starts the thread. Reads fail with [`ErrorKind::Cancelled`] once `cancel` is triggered.
    pub(crate) fn open(file: &Path, cancel: Arc<Cancel>) -> Result<Self> {
        let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
        let stream = open(file)?;
        // Started first: a thread that cannot be started would drop the stream.
        let (hand_over, stream_of_thread) = sync_channel(1);
        let pump = move || {
            if let Ok(stream) = stream_of_thread.recv() {
                pump(stream, &sender);
            }
        };
        let chunks = match Builder::new().spawn(pump) {
            Err(_) => ChunkSource::Stream(stream),
            Ok(_) => {
                let _ = hand_over.send(stream);
                ChunkSource::Thread(receiver)
            }
        };
        Ok(Self { chunks, chunk: Cursor::default(), cancel })
    }

    /// Returns the next chunk, empty at the end.
    fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            self.cancel.report(0)?;
            match &mut self.chunks {
                ChunkSource::Stream(stream) => return next_chunk(stream),
                ChunkSource::Thread(chunks) => match chunks.recv_timeout(POLL_INTERVAL) {
                    Ok(chunk) => return chunk,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
                },
            }
        }
    }
}

impl Read for CancellableReader {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let got = self.chunk.read(buf)?;
        if got > 0 || buf.is_empty() {
            return Ok(got);
        }
        self.chunk = Cursor::new(self.next()?);
        self.chunk.read(buf)
    }
}

fn pump(mut stream: Box<dyn Read + Send>, chunks: &SyncSender<Result<Vec<u8>>>) {
    loop {
        let read = next_chunk(&mut stream);
        let last = !matches!(&read, Ok(chunk) if !chunk.is_empty());
        if chunks.send(read).is_err() || last {
            return;
        }
    }
}

/// Reads a chunk, empty at the end.
fn next_chunk(stream: &mut dyn Read) -> Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK_SIZE];
    loop {
        match stream.read(&mut chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            read => {
                chunk.truncate(read?);
                return Ok(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirected_file_that_becomes_shorter_is_an_error() {
        let read = |len: usize, rest: u64| {
            let stream = Cursor::new(vec![7; len]);
            WholeStream { stream, rest }
                .read_to_end(&mut Vec::new())
                .map_err(|error| Error::from(error).kind())
        };
        assert_eq!(read(1000, 1000).ok(), Some(1000));
        // A file that grows, and a pipe.
        assert_eq!((read(1000, 10).ok(), read(1000, 0).ok()), (Some(1000), Some(1000)));
        assert_eq!(read(999, 1000).err(), Some(ErrorKind::Truncated));
        assert_eq!(read(0, 1).err(), Some(ErrorKind::Truncated));
    }
}
