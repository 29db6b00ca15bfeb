//! Standard input that a signal can interrupt, even when nothing arrives.

use std::io::{Cursor, Read, Result};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use diskimg::{Cancel, Error, ErrorKind};

/// Bytes read at a time, and how many such pieces may wait. Bounds of ours: a pipe holds 64 KiB to 1 MiB.
const PIECE: usize = 256 << 10;
const AHEAD: usize = 4;

/// How long the stop of a stalled pipe may take.
const LOOK: Duration = Duration::from_millis(100);

/// Standard input, read by a thread of its own. A read that is waiting for the other end of a pipe cannot be
/// taken back; here only that thread waits, and whoever reads leaves in good order, temporary files and all.
pub(crate) struct Stdin {
    pieces: Receiver<Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
    cancel: Arc<Cancel>,
}

impl Stdin {
    /// Begins to read; reads give [`ErrorKind::Cancelled`] once `cancel` is triggered.
    pub(crate) fn new(cancel: Arc<Cancel>) -> Self {
        let (sender, pieces) = sync_channel(AHEAD);
        std::thread::spawn(move || pump(&sender));
        Self { pieces, piece: Cursor::default(), cancel }
    }

    /// The next piece, empty at the end.
    fn next(&self) -> Result<Vec<u8>> {
        loop {
            if self.cancel.is_triggered() {
                let stopped = Error::new(ErrorKind::Cancelled).because("the conversion was cancelled");
                return Err(stopped.into());
            }
            match self.pieces.recv_timeout(LOOK) {
                Ok(piece) => return piece,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
            }
        }
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let got = self.piece.read(buf)?;
        if got > 0 || buf.is_empty() {
            return Ok(got);
        }
        self.piece = Cursor::new(self.next()?);
        self.piece.read(buf)
    }
}

fn pump(pieces: &SyncSender<Result<Vec<u8>>>) {
    let mut stdin = std::io::stdin().lock();
    loop {
        let mut piece = vec![0; PIECE];
        let read = match stdin.read(&mut piece) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let last = !matches!(read, Ok(len) if len > 0);
        let sent = pieces.send(read.map(|len| {
            piece.truncate(len);
            piece
        }));
        if last || sent.is_err() {
            return;
        }
    }
}
