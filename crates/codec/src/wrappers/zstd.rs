//! zstd files: concatenated frames.
//!
//! Source: RFC 8878, section 3.

use diskimg_core::{Error, ErrorKind, LimitKind, Remedy, Result};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_frame_content_size};

use super::stream_codec::{CodecStep, StreamCodec, error_at, trailing_data, truncated};
use crate::zstd_errors::{code, decode_error, no_memory, number};

/// The window sizes that libzstd supports, as powers of two (ZSTD_WINDOWLOG_MIN, ZSTD_WINDOWLOG_MAX_32 and _64).
const WINDOW_LOG: std::ops::RangeInclusive<u32> =
    10..=if cfg!(target_pointer_width = "64") { 31 } else { 30 };

/// The longest frame header in bytes (ZSTD_FRAMEHEADERSIZE_MAX).
const HEADER_LEN: usize = 18;

/// The first byte of a frame with content.
const MAGIC_START: u8 = 0x28;

/// The error number of a frame without magic, from `zstd_errors.h` of zstd 1.5.
const PREFIX_UNKNOWN: usize = 10;

/// Decompresses a zstd file.
pub(super) struct Zstd {
    context: DCtx<'static>,
    window_max: u64,
    /// True if a frame has begun and not ended.
    in_frame: bool,
    /// Offset of the last frame that began.
    frame: u64,
    frames: u64,
    /// True if a frame with content has begun.
    has_content: bool,
    /// The first bytes of that frame.
    header: Vec<u8>,
    /// The bytes of its output so far.
    content: u64,
    /// Bytes of the file read so far.
    offset: u64,
}

impl Zstd {
    pub(super) fn new(memory: u64) -> Result<Self> {
        let mut context = DCtx::try_create().ok_or_else(no_memory)?;
        let log = memory.checked_ilog2().unwrap_or(0).clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
        context.set_parameter(DParameter::WindowLogMax(log)).map_err(decode_error)?;
        Ok(Self {
            context,
            window_max: 1 << log,
            in_frame: false,
            frame: 0,
            frames: 0,
            has_content: false,
            header: Vec::with_capacity(HEADER_LEN),
            content: 0,
            offset: 0,
        })
    }

    /// Converts an error of libzstd. Its offset is the start of the frame, because the position at which libzstd
    /// detects the error depends on how the input is split.
    fn describe(&self, error: zstd::zstd_safe::ErrorCode) -> Error {
        match number(error) {
            PREFIX_UNKNOWN if self.has_content => trailing_data(self.frame),
            PREFIX_UNKNOWN if self.frames > 1 => error_at(ErrorKind::Corrupt, "magic", self.frame)
                .expected("28 b5 2f fd")
                .because("the skippable frames before may also begin an LZ4 file, which is not supported"),
            PREFIX_UNKNOWN => error_at(ErrorKind::Corrupt, "magic", self.frame).expected("28 b5 2f fd"),
            code::WINDOW_TOO_LARGE => self.window_too_large(),
            code::CHECKSUM_WRONG => decode_error(error).field("content checksum").at(self.frame),
            _ => decode_error(error).field("frame").at(self.frame),
        }
    }

    /// The error for a window above the limit. The frame header is complete.
    fn window_too_large(&self) -> Error {
        let error = error_at(ErrorKind::Limit, "window", self.frame)
            .expected(format_args!("at most {} bytes", self.window_max));
        match window_bytes(&self.header) {
            Some(window) if window > 1 << WINDOW_LOG.end() => {
                error.found(window).because("libzstd supports no larger window")
            }
            Some(window) => error
                .found(window)
                .with_remedy(Remedy::RaiseLimitTo(LimitKind::DecoderMemory, window.next_power_of_two())),
            None => error.with_remedy(Remedy::RaiseLimit(LimitKind::DecoderMemory)),
        }
    }

    /// Compares the output of the frame with the content size in its header. In streaming mode libzstd does not
    /// do so if the last block is empty.
    fn check_content_size(&self, content: u64) -> Result<()> {
        match get_frame_content_size(&self.header) {
            Ok(Some(size)) if size != content => {
                Err(error_at(ErrorKind::Corrupt, "frame content size", self.frame)
                    .found(size)
                    .expected(format_args!("{content}, the bytes in the frame")))
            }
            _ => Ok(()),
        }
    }

    fn begin_frame(&mut self, offset: u64) {
        self.in_frame = true;
        self.frame = offset;
        self.frames = self.frames.saturating_add(1);
        self.header.clear();
        self.content = 0;
    }

    /// Continues until it produced output or consumed the input.
    ///
    /// If a complete frame is at the start of its input, libzstd decodes it in one call by other rules, even in the
    /// middle of a frame if the input was split within the header. It therefore gets the header byte by byte and never
    /// sees a complete frame in one call, so that the result does not depend on how the input is split.
    fn advance(&mut self, input: &[u8], output: &mut [u8]) -> Result<CodecStep> {
        let mut read = 0_usize;
        let mut output = OutBuffer::around(output);
        loop {
            let rest = input.get(read..).unwrap_or_default();
            if !self.in_frame {
                if rest.is_empty() {
                    break;
                }
                self.begin_frame(self.offset.saturating_add(read as u64));
            }
            let in_header = self.header.len() < HEADER_LEN;
            let mut piece = InBuffer::around(if in_header { rest.get(..1).unwrap_or(rest) } else { rest });
            let header_len = self.header.len();
            self.header.extend(rest.iter().take(usize::from(in_header)));
            let expected =
                self.context.decompress_stream(&mut output, &mut piece).map_err(|e| self.describe(e))?;
            read = read.saturating_add(piece.pos());
            self.header.truncate(header_len.saturating_add(piece.pos()));
            self.has_content |= self.header.first() == Some(&MAGIC_START);
            self.in_frame = expected != 0;
            let written = output.pos() as u64;
            if !self.in_frame {
                self.check_content_size(self.content.saturating_add(written))?;
            }
            let more = !self.in_frame || (in_header && piece.pos() > 0);
            if written > 0 || !more {
                self.content = self.content.saturating_add(written);
                break;
            }
        }
        Ok(CodecStep { read, written: output.pos() })
    }
}

/// The size in bytes of the window of a frame with this header: RFC 8878, section 3.1.1.1.2. `None` if the header is
/// incomplete.
fn window_bytes(header: &[u8]) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 0x20;
    let descriptor = header.get(4)?;
    if descriptor & SINGLE_SEGMENT != 0 {
        return get_frame_content_size(header).ok()?;
    }
    let window = header.get(5)?;
    let base = 1_u64 << (10 + (window >> 3));
    Some(base + base / 8 * u64::from(window & 7))
}

impl StreamCodec for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8], end: bool) -> Result<CodecStep> {
        let step = self.advance(input, output)?;
        self.offset = self.offset.saturating_add(step.read as u64);
        if end && step.written == 0 && (self.in_frame || self.frames == 0) {
            return Err(truncated("frame", self.offset));
        }
        Ok(step)
    }

    fn units(&self) -> u64 {
        self.frames
    }
}
