//! Converting an image as it arrives, in one pass.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use diskimg_core::{BlockSink, Error, ErrorKind, Progress, Result};

use super::one_pass::Pass;
use super::options::{ConvertOptions, Converted};
use crate::byte_stream::read_full;
use crate::stream_input::StreamInput;

/// Bytes handed from the reading to the writing thread at a time, and how many such pieces may wait: enough
/// that neither waits for the other over a short hitch, and little memory.
const STEP: usize = 1 << 20;
const AHEAD: usize = 4;

/// Converts an arriving image into `sink` as it comes, and finishes the sink. One thread reads and unwraps
/// while another decodes and writes. `sink` has to take a disk whose size is known only at its end.
///
/// An image that does not come in an order in which it can be decoded is kept in a temporary file, in part or
/// whole, as [`crate::Opener::spool`] allows: see [`super::StreamConvert`]. `options` are heeded as in
/// [`super::StreamConvert::with`]. `progress` is told of the bytes of the image that arrived, unwrapped, and then, if it
/// was kept whole, of those of the disk beside them.
///
/// # Errors
/// As [`super::StreamConvert`]; [`ErrorKind::Cancelled`] when `progress` stopped it.
pub fn convert_stream(
    arriving: StreamInput,
    sink: Box<dyn BlockSink>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Converted> {
    let (opener, wrapper, mut input) = arriving.into_parts();
    let mut pass = Pass::new(&opener, sink, options);
    let (full, filled) = sync_channel(AHEAD);
    let (empty, emptied) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || read_ahead(&mut input, &full, &emptied));
        for piece in filled {
            let (bytes, len) = piece?;
            pass.push(bytes.get(..len).unwrap_or_default())?;
            if let ControlFlow::Break(()) = progress.advance(len as u64) {
                return Err(Error::new(ErrorKind::Cancelled).because("the conversion was cancelled"));
            }
            // Nobody takes it back once the reader is done.
            let _ = empty.try_send(bytes);
        }
        Ok(())
    })?;
    pass.finish(wrapper, progress)
}

type Piece = Result<(Vec<u8>, usize)>;

fn read_ahead(input: &mut dyn std::io::Read, full: &SyncSender<Piece>, emptied: &Receiver<Vec<u8>>) {
    loop {
        let mut bytes = emptied.try_recv().unwrap_or_else(|_| vec![0; STEP]);
        let piece = read_full(input, &mut bytes);
        let last = !matches!(piece, Ok(len) if len == bytes.len());
        let sent = full.send(piece.map(|len| (bytes, len)));
        // The writer has stopped, or there is no more.
        if sent.is_err() || last {
            return;
        }
    }
}
