//! zstd compression of qcow2 clusters.

use diskimg_core::{Error, ErrorKind, Result};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::zstd_frame::window_size;
use crate::zstd_errors::{code, decode_error, no_memory, number};

/// The largest window of a frame, as a power of two. Our limit: 8 MiB is four times the largest cluster, and
/// RFC 8878, section 3.1.1.1.2, recommends that every decoder supports it.
const WINDOW_LOG_MAX: u32 = 23;

/// The error number of an output that is too small, from `zstd_errors.h` of zstd 1.5.
const DST_SIZE_TOO_SMALL: usize = 70;

/// Decodes qcow2 clusters compressed with zstd. Create one per thread.
pub struct ZstdDecoder {
    context: DCtx<'static>,
}

impl ZstdDecoder {
    /// Creates a decoder for any number of calls.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the system has no memory.
    pub fn new() -> Result<Self> {
        let mut context = DCtx::try_create().ok_or_else(no_memory)?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(decode_error)?;
        Ok(Self { context })
    }

    /// Fills all of `output` from one or more frames. The frame that fills it must end there; bytes of `input`
    /// after it are ignored, as in QEMU.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if a frame is invalid, the frames are shorter than `output`, or the last one is
    /// longer; [`ErrorKind::Limit`] for a window larger than 8 MiB; [`ErrorKind::Unsupported`] for a frame that
    /// needs a dictionary.
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
            // libzstd ignores the window of a frame that it can decode in one call.
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

/// Encodes qcow2 clusters with zstd. Create one per thread.
pub struct ZstdEncoder {
    context: CCtx<'static>,
}

impl ZstdEncoder {
    /// Creates an encoder of this level, from the lowest of libzstd (negative: fast) to 22 (small); `None` is 3.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for any other level; [`ErrorKind::Limit`] if the system has no memory.
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

    /// Writes `input` as one frame to the start of `output` and returns its length; `None` if it does not fit,
    /// and the content of `output` is then undefined.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if libzstd has no memory; [`ErrorKind::Internal`] if it fails otherwise.
    pub fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        self.context.reset(ResetDirective::SessionOnly).map_err(encode_error)?;
        match self.context.compress2(output, input) {
            Ok(len) => Ok(Some(len)),
            Err(error) if number(error) == DST_SIZE_TOO_SMALL => Ok(None),
            Err(error) => Err(encode_error(error)),
        }
    }
}

fn encode_error(error: zstd::zstd_safe::ErrorCode) -> Error {
    if number(error) == code::MEMORY_ALLOCATION {
        return no_memory();
    }
    Error::new(ErrorKind::Internal)
        .because(format_args!("zstd failed: {}", zstd::zstd_safe::get_error_name(error)))
}

fn short(len: usize, expected: usize) -> Error {
    Error::new(ErrorKind::Corrupt)
        .because(format_args!("the zstd data ends after {len} of {expected} bytes of output"))
}
