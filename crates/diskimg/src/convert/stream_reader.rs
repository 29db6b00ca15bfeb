//! Converting a streamed image: one thread reads while another decodes and writes.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use diskimg_core::{BlockSink, Error, ErrorKind, Progress, Result};

use super::one_pass::OnePass;
use super::options::{ConvertOptions, Converted};
use crate::byte_stream::read_full;
use crate::stream_input::StreamInput;

/// Bytes per buffer, and the number of full buffers between the two threads: enough that neither thread waits for a
/// short delay of the other.
const STEP: usize = 1 << 20;
const BUFFERS_AHEAD: usize = 4;

/// Converts a streamed image into `sink` and finishes the sink. One thread reads and decompresses while another
/// decodes and writes. `sink` must accept a disk whose size is known only at its end.
///
/// An image that cannot be decoded in order is stored in a temporary file, in part or whole, as
/// [`crate::Opener::spool`] allows: see [`super::StreamConvert`]. The options apply as in
/// [`super::StreamConvert::with`]. `progress` receives the decompressed bytes of the image and then, if the image was
/// stored whole, the bytes of the disk.
///
/// # Errors
/// As [`super::StreamConvert`]; [`ErrorKind::Cancelled`] if `progress` stops it.
pub(super) fn convert_stream(
    input: StreamInput,
    sink: Box<dyn BlockSink>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Converted> {
    let (opener, wrapper, mut stream, log) = input.into_parts();
    let mut pass = OnePass::new(&opener, sink, options);
    let (full, filled) = sync_channel(BUFFERS_AHEAD);
    let (empty, emptied) = sync_channel(BUFFERS_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || read_ahead(&mut stream, &full, &emptied));
        for buffer in filled {
            let (bytes, len) = buffer?;
            pass.push(bytes.get(..len).unwrap_or_default(), progress)?;
            if let ControlFlow::Break(()) = progress.advance(len as u64) {
                return Err(Error::new(ErrorKind::Cancelled).because("the conversion was cancelled"));
            }
            // Fails if the reader has ended and reuses no buffer.
            let _ = empty.try_send(bytes);
        }
        Ok(())
    })?;
    pass.finish(wrapper, &|size| log.findings(size), progress)
}

/// A buffer and the number of its bytes that were read.
type FilledBuffer = Result<(Vec<u8>, usize)>;

fn read_ahead(stream: &mut dyn Read, full: &SyncSender<FilledBuffer>, emptied: &Receiver<Vec<u8>>) {
    loop {
        let mut bytes = emptied.try_recv().unwrap_or_else(|_| vec![0; STEP]);
        let read = read_full(stream, &mut bytes);
        let last = !matches!(read, Ok(len) if len == bytes.len());
        let sent = full.send(read.map(|len| (bytes, len)));
        // The writer has stopped, or the stream has ended.
        if sent.is_err() || last {
            return;
        }
    }
}
