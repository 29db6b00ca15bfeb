//! Converting an image as it arrives, in one pass.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use diskimg_core::{BlockSink, Error, ErrorKind, Progress, Result};

use super::options::Converted;
use crate::stream::{Arriving, read_full};

/// Bytes handed from the reading to the writing thread at a time, and how many such pieces may wait: enough
/// that neither waits for the other over a short hitch, and little memory.
const STEP: usize = 1 << 20;
const AHEAD: usize = 4;

/// Decodes an arriving image into `sink` as it comes, and finishes the sink. One thread reads and unwraps
/// while another writes. `sink` has to take a disk whose size is known only at its end.
///
/// # Errors
/// As [`super::convert`]; [`ErrorKind::NeedsSeek`] when the format cannot be read in order.
pub fn convert_stream(
    arriving: Arriving,
    sink: Box<dyn BlockSink>,
    progress: &dyn Progress,
) -> Result<Converted> {
    let (mut decoder, mut input) = arriving.into_parts()?;
    let counting = Counting { sink: &*sink, counts: super::Counts::default() };
    let (full, filled) = sync_channel(AHEAD);
    let (empty, emptied) = sync_channel(AHEAD);
    let size = std::thread::scope(|scope| {
        scope.spawn(move || read_ahead(&mut input, &full, &emptied));
        for piece in filled {
            let (bytes, len) = piece?;
            decoder.push(bytes.get(..len).unwrap_or_default(), &counting)?;
            if let ControlFlow::Break(()) = progress.advance(len as u64) {
                return Err(Error::new(ErrorKind::Cancelled).because("the conversion was cancelled"));
            }
            // Nobody takes it back once the reader is done.
            let _ = empty.try_send(bytes);
        }
        decoder.finish(&counting)
    })?;
    let done = counting.counts.totals();
    sink.finish()?;
    let zeros = size.saturating_sub(done.written);
    Ok(Converted { virtual_size: size, zeros, ..done })
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

/// Counts what goes into a sink.
struct Counting<'a> {
    sink: &'a dyn BlockSink,
    counts: super::Counts,
}

impl BlockSink for Counting<'_> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.counts.written(data.len() as u64);
        self.sink.write_at(offset, data)
    }

    fn zero(&self, range: std::ops::Range<u64>) -> Result<()> {
        self.counts.zeros(range.end.saturating_sub(range.start));
        self.sink.zero(range)
    }

    fn order(&self) -> diskimg_core::WriteOrder {
        self.sink.order()
    }

    fn granularity(&self) -> u64 {
        self.sink.granularity()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
