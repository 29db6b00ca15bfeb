//! Deflating one qcow2 cluster.

use diskimg_core::{Error, ErrorKind, Result};
use flate2::{Compress, Compression, FlushCompress, Status};

/// The window of 4 KiB that QEMU writes (`qcow2_zlib_compress`, `windowBits` -12). QEMU reads any window;
/// readers that take the same number for reading refuse distances beyond it.
const WINDOW_BITS: u8 = 12;

/// zlib's own default.
const DEFAULT_LEVEL: i32 = 6;

/// Deflates qcow2 clusters: raw deflate streams with a window of 4 KiB, as QEMU writes them.
///
/// Keeps its state between calls: one per thread.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
    level: Compression,
}

impl Deflater {
    /// A deflater of this level, 1 (fast) to 9 (small); `None` is 6.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for any other level.
    pub fn new(level: Option<i32>) -> Result<Self> {
        let level = level.unwrap_or(DEFAULT_LEVEL);
        let known = u32::try_from(level).ok().filter(|level| (1..=9).contains(level)).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput)
                .field("compression level")
                .found(level)
                .expected("1 to 9 for deflate")
        })?;
        let level = Compression::new(known);
        Ok(Self { stream: new_stream(level), level })
    }

    /// Writes `input` as one raw deflate stream to the start of `output` and returns its length; `None` when
    /// it does not fit, and `output` then holds nothing to rely on.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the library gives up, for want of memory.
    pub fn raw_deflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        self.stream.reset();
        let room = output.len();
        if self.finish(input, output)? == Status::StreamEnd {
            return Ok(usize::try_from(self.stream.total_out()).ok());
        }
        // An output that is just full may hold the whole stream: the library tells only when asked again,
        // and with room for more.
        let read = usize::try_from(self.stream.total_in()).unwrap_or_default();
        let rest = input.get(read..).unwrap_or_default();
        let ended = rest.is_empty() && self.finish(rest, &mut [0])? == Status::StreamEnd;
        if ended && self.stream.total_out() == room as u64 {
            return Ok(Some(room));
        }
        // zlib-rs 0.6.8 forgets on reset where its pending output began, and panics once that has crept to
        // the end of its buffer: a stream that ended early is not used again.
        self.stream = new_stream(self.level);
        Ok(None)
    }

    fn finish(&mut self, input: &[u8], output: &mut [u8]) -> Result<Status> {
        self.stream
            .compress(input, output, FlushCompress::Finish)
            .map_err(|error| Error::new(ErrorKind::Limit).because("deflate gave up").source(error))
    }
}

fn new_stream(level: Compression) -> Compress {
    Compress::new_with_window_bits(level, false, WINDOW_BITS)
}
