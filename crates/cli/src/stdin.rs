//! Standard input that a signal can interrupt while it waits for data.

use std::io::{Cursor, Read, Result};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use diskimg::{Cancel, Error, ErrorKind};

/// The size of a chunk in bytes, and the number of chunks read ahead. Our limits: a pipe holds 64 KiB to 1
/// MiB.
const CHUNK_SIZE: usize = 256 << 10;
const CHUNKS_AHEAD: usize = 4;

/// The longest delay before a read from a stalled pipe notices the cancellation.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Standard input, read by a separate thread. A read that waits for a pipe cannot be cancelled. Here only that
/// thread waits, and the reader can stop and remove its temporary files.
pub(crate) struct CancellableStdin {
    chunks: Receiver<Result<Vec<u8>>>,
    chunk: Cursor<Vec<u8>>,
    cancel: Arc<Cancel>,
}

impl CancellableStdin {
    /// Starts the thread. Reads fail with [`ErrorKind::Cancelled`] once `cancel` is triggered.
    pub(crate) fn new(cancel: Arc<Cancel>) -> Self {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        std::thread::spawn(move || pump(&sender));
        Self { chunks, chunk: Cursor::default(), cancel }
    }

    /// Returns the next chunk, empty at the end.
    fn next(&self) -> Result<Vec<u8>> {
        loop {
            if self.cancel.is_triggered() {
                let stopped = Error::new(ErrorKind::Cancelled).because("the conversion was cancelled");
                return Err(stopped.into());
            }
            match self.chunks.recv_timeout(POLL_INTERVAL) {
                Ok(chunk) => return chunk,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
            }
        }
    }
}

impl Read for CancellableStdin {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let got = self.chunk.read(buf)?;
        if got > 0 || buf.is_empty() {
            return Ok(got);
        }
        self.chunk = Cursor::new(self.next()?);
        self.chunk.read(buf)
    }
}

fn pump(chunks: &SyncSender<Result<Vec<u8>>>) {
    let mut stdin = std::io::stdin().lock();
    loop {
        let mut chunk = vec![0; CHUNK_SIZE];
        let read = match stdin.read(&mut chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let last = !matches!(read, Ok(len) if len > 0);
        let sent = chunks.send(read.map(|len| {
            chunk.truncate(len);
            chunk
        }));
        if last || sent.is_err() {
            return;
        }
    }
}
