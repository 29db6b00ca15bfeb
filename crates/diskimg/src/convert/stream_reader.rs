//! Converting a streamed image: one thread reads while another decodes and writes.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use diskimg_core::{BlockSink, Progress, Result};

use super::one_pass::OnePass;
use super::options::{ConvertOptions, Converted};
use crate::byte_stream::read_full;
use crate::stream_input::StreamInput;
use crate::workers::{join, spawn_worker};

/// Bytes per buffer, and the number of full buffers between the two threads: enough that neither thread waits for a
/// short delay of the other.
const STEP: usize = 1 << 20;
const BUFFERS_AHEAD: usize = 4;

/// Converts a streamed image into `sink` and finishes the sink. One thread reads and decompresses while another
/// decodes and writes, or one does both if the system starts no other. `sink` must accept a disk whose size is known only at its end.
///
/// An image that cannot be decoded in order is stored in a temporary file, in part or whole, as
/// [`crate::Opener::spool`] allows: see [`super::StreamConvert`]. The options apply as in
/// [`super::StreamConvert::with`]. `progress` receives the decompressed bytes of the image and then, if the image was
/// stored whole, the bytes of the disk.
///
/// # Errors
/// As [`super::StreamConvert`]; [`Cancelled`](diskimg_core::ErrorKind::Cancelled) if `progress` stops it.
pub(super) fn convert_stream(
    input: StreamInput,
    sink: Box<dyn BlockSink>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Converted> {
    let (opener, wrapper, mut stream, log) = input.into_parts();
    let mut pass = OnePass::new(&opener, sink, options);
    let mut decode = |bytes: &[u8]| {
        pass.push(bytes, progress)?;
        progress.report(bytes.len() as u64)
    };
    if !decode_beside_reading(&mut stream, &mut decode)? {
        decode_after_reading(&mut stream, &mut decode)?;
    }
    pass.finish(wrapper, &|size| log.findings(size), progress)
}

/// Reads a stream on another thread and passes its bytes to `decode`. Returns false, without having read, if the system
/// starts no thread.
fn decode_beside_reading(
    stream: &mut (impl Read + Send),
    decode: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<bool> {
    let (full, filled) = sync_channel(BUFFERS_AHEAD);
    let (empty, emptied) = sync_channel(BUFFERS_AHEAD);
    std::thread::scope(|scope| {
        let read = move || read_ahead(stream, &full, &emptied);
        let Ok(reader) = spawn_worker(scope, read) else { return Ok(false) };
        // The reader ends once the receiver is dropped.
        let decoded = decode_buffers(filled, &empty, decode);
        join(reader);
        decoded.map(|()| true)
    })
}

/// Passes each buffer to `decode` and returns it to the reader.
fn decode_buffers(
    filled: Receiver<FilledBuffer>,
    empty: &SyncSender<Vec<u8>>,
    decode: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    for buffer in filled {
        let (bytes, len) = buffer?;
        decode(bytes.get(..len).unwrap_or_default())?;
        // Fails if the reader has ended and reuses no buffer.
        let _ = empty.try_send(bytes);
    }
    Ok(())
}

/// Reads a stream and passes its bytes to `decode`, all on this thread.
fn decode_after_reading(stream: &mut impl Read, decode: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut bytes = vec![0; STEP];
    loop {
        let len = read_full(stream, &mut bytes)?;
        decode(bytes.get(..len).unwrap_or_default())?;
        if len < bytes.len() {
            return Ok(());
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_passes_the_same_bytes_as_two() {
        for len in [0, 1, STEP - 1, STEP, 3 * STEP + 5] {
            let stream: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let (mut two, mut one) = (Vec::new(), Vec::new());
            let started = decode_beside_reading(&mut stream.as_slice(), &mut |bytes| {
                two.extend_from_slice(bytes);
                Ok(())
            });
            assert!(started.unwrap());
            decode_after_reading(&mut stream.as_slice(), &mut |bytes| {
                one.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
            assert!(one == stream && two == stream, "{len}");
        }
    }
}
