//! Deflate compression of qcow2 clusters.

use diskimg_core::{Error, ErrorKind, Result};
use flate2::{Compress, Compression, FlushCompress, Status};

use super::deflate_level::deflate_level;

/// The window of 4 KiB that QEMU writes (`qcow2_zlib_compress`, `windowBits` -12). QEMU reads any window, but
/// readers that also read with this window refuse longer distances.
const WINDOW_BITS: u8 = 12;

/// Deflates qcow2 clusters to raw deflate streams with a window of 4 KiB, as QEMU does. Create one per thread.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
    level: Compression,
}

impl Deflater {
    /// Creates a deflater of this level, 1 (fast) to 9 (small); `None` is 6.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for any other level.
    pub fn new(level: Option<i32>) -> Result<Self> {
        let level = Compression::new(deflate_level(level)?);
        Ok(Self { stream: new_stream(level), level })
    }

    /// Writes `input` as one raw deflate stream to the start of `output` and returns its length; `None` if it
    /// does not fit, and the content of `output` is then undefined.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if zlib-rs fails.
    pub fn raw_deflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        self.stream.reset();
        let room = output.len();
        if self.finish(input, output)? == Status::StreamEnd {
            return Ok(usize::try_from(self.stream.total_out()).ok());
        }
        // A full output may contain the complete stream. zlib-rs reports that only on another call with room for
        // more.
        let read = usize::try_from(self.stream.total_in()).unwrap_or_default();
        let rest = input.get(read..).unwrap_or_default();
        let ended = rest.is_empty() && self.finish(rest, &mut [0])? == Status::StreamEnd;
        if ended && self.stream.total_out() == room as u64 {
            return Ok(Some(room));
        }
        // On reset zlib-rs 0.6.8 does not move its pending output back to the start of its buffer, and panics
        // once it reaches the end: a stream that did not finish is not reused.
        self.stream = new_stream(self.level);
        Ok(None)
    }

    fn finish(&mut self, input: &[u8], output: &mut [u8]) -> Result<Status> {
        self.stream
            .compress(input, output, FlushCompress::Finish)
            .map_err(|error| Error::new(ErrorKind::Internal).because("deflate failed").source(error))
    }
}

fn new_stream(level: Compression) -> Compress {
    Compress::new_with_window_bits(level, false, WINDOW_BITS)
}
