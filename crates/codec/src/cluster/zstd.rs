//! zstd for one qcow2 cluster.

use diskimg_core::{Error, ErrorKind, Result};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use crate::zstd_format::{code, decode_error, number, window_size};

/// The largest window of a frame, as a power of two. A bound of ours: 8 MiB is four times the largest
/// cluster, and what every decoder of RFC 8878 should support (section 3.1.1.1.2).
const WINDOW_LOG_MAX: u32 = 23;

/// Decodes qcow2 clusters compressed with zstd. Keeps its state between calls: one per thread.
pub struct ZstdDecoder {
    context: DCtx<'static>,
}

impl ZstdDecoder {
    /// A decoder for any number of calls.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the system has no memory.
    pub fn new() -> Result<Self> {
        let mut context = DCtx::try_create().ok_or_else(no_memory)?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(decode_error)?;
        Ok(Self { context })
    }

    /// Fills all of `output` from one or more frames. The frame that fills it has to end there; bytes of
    /// `input` behind it are ignored, as QEMU does.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when a frame is broken, the frames hold less than `output`, or the last one
    /// holds more; [`ErrorKind::Limit`] for a window larger than 8 MiB; [`ErrorKind::Unsupported`] for a
    /// frame that needs a dictionary.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<()> {
        self.context.reset(ResetDirective::SessionOnly).map_err(decode_error)?;
        let len = output.len();
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(output);
        while output.pos() < len {
            let rest = input.src.get(input.pos()..).unwrap_or_default();
            if rest.is_empty() {
                return Err(short(output.pos(), len));
            }
            // The library does not look at the window of a frame that it can decode in one go.
            if window_size(rest).is_some_and(|window| window > 1 << WINDOW_LOG_MAX) {
                return Err(Error::new(ErrorKind::Limit).because(format_args!(
                    "the zstd frame needs a window larger than 2^{WINDOW_LOG_MAX} bytes"
                )));
            }
            self.frame(&mut input, &mut output, len)?;
        }
        Ok(())
    }

    /// Decodes one frame to its end.
    fn frame(
        &mut self,
        input: &mut InBuffer<'_>,
        output: &mut OutBuffer<'_, [u8]>,
        len: usize,
    ) -> Result<()> {
        loop {
            let before = (input.pos(), output.pos());
            if self.context.decompress_stream(output, input).map_err(decode_error)? == 0 {
                return Ok(());
            }
            if before == (input.pos(), output.pos()) {
                return Err(if output.pos() < len {
                    short(output.pos(), len)
                } else {
                    Error::new(ErrorKind::Corrupt)
                        .because(format_args!("the zstd frame does not end within {len} bytes of output"))
                });
            }
        }
    }
}

/// Encodes qcow2 clusters with zstd. Keeps its state between calls: one per thread.
pub struct ZstdEncoder {
    context: CCtx<'static>,
}

impl ZstdEncoder {
    /// An encoder of this level, from the library's lowest (negative: fast) to 22 (small); `None` is 3.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for any other level; [`ErrorKind::Limit`] when the system has no memory.
    pub fn new(level: Option<i32>) -> Result<Self> {
        let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
        let known = zstd::compression_level_range();
        if !known.contains(&level) {
            return Err(Error::new(ErrorKind::InvalidInput)
                .field("compression level")
                .found(level)
                .expected(format_args!("{} to {} for zstd", known.start(), known.end())));
        }
        let mut context = CCtx::try_create().ok_or_else(no_memory)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(encode_error)?;
        Ok(Self { context })
    }

    /// Writes `input` as one frame to the start of `output` and returns its length; `None` when it does not
    /// fit, and `output` then holds nothing to rely on.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the library gives up, for want of memory.
    pub fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        self.context.reset(ResetDirective::SessionOnly).map_err(encode_error)?;
        match self.context.compress2(output, input) {
            Ok(len) => Ok(Some(len)),
            Err(error) if number(error) == code::DST_SIZE_TOO_SMALL => Ok(None),
            Err(error) => Err(encode_error(error)),
        }
    }
}

impl std::fmt::Debug for ZstdDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZstdDecoder").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ZstdEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZstdEncoder").finish_non_exhaustive()
    }
}

fn encode_error(error: zstd::zstd_safe::ErrorCode) -> Error {
    Error::new(ErrorKind::Limit)
        .because(format_args!("zstd gave up: {}", zstd::zstd_safe::get_error_name(error)))
}

fn no_memory() -> Error {
    Error::new(ErrorKind::Limit).because("no memory for a zstd context")
}

fn short(len: usize, expected: usize) -> Error {
    Error::new(ErrorKind::Corrupt)
        .because(format_args!("the zstd data ends after {len} of {expected} bytes of output"))
}
