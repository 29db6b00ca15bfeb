//! One push decompressor for all wrappers.

use diskimg_core::{Error, ErrorKind, Finding, Limits, Result};

use super::decompress_options::DecompressOptions;
use super::gzip::Gzip;
use super::stream_codec::{CodecStep, StreamCodec};
use super::xz::Xz;
use super::zstd::Zstd;
use crate::wrapper::Wrapper;

/// The size of the output buffer. Our limit: large enough that the fixed cost of a call (an inflater copies its
/// last 32 KiB) is small in comparison, small enough for a core's second-level cache.
const OUTPUT_LEN: usize = 128 << 10;

/// The maximum number of bytes of input in a row that may produce no output. Our limit: valid files contain some
/// padding, skippable frames or blocks that other threads still decompress, but empty members could follow forever.
const IDLE_INPUT: u64 = 64 << 20;

/// The bytes that a member, stream or frame without output counts for in addition to its own, because setting
/// up a codec costs more than reading twenty bytes. At most 16384 empty ones can follow each other.
const IDLE_UNIT: u64 = 4 << 10;

/// Decompresses a compressed file that is pushed in pieces. It does no I/O, so any runtime can drive it.
///
/// Concatenated gzip members, xz streams and zstd frames are decompressed one after the other. Checksums are
/// verified, but output is passed on before the checksum that follows it was read: the output is verified once
/// [`Decompressor::finish`] returns `Ok`. After the last gzip member, zeros are ignored, and other bytes with a finding:
/// see [`Decompressor::findings`]. The caller limits the size of the output and the depth of nested
/// wrappers.
///
/// ```
/// use diskimg_codec::{Decompressor, Wrapper};
/// use diskimg_core::Limits;
/// let file = zstd::encode_all(&b"a disk"[..], 0)?;
/// let mut disk = Vec::new();
/// let mut keep = |piece: &[u8]| {
///     disk.extend_from_slice(piece);
///     Ok(())
/// };
/// let mut decompressor = Decompressor::new(Wrapper::Zstd, &Limits::default())?;
/// for piece in file.chunks(3) {
///     decompressor.push(piece, &mut keep)?;
/// }
/// decompressor.finish(&mut keep)?;
/// assert_eq!(disk, b"a disk");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Decompressor {
    wrapper: Wrapper,
    codec: Box<dyn StreamCodec>,
    state: DecompressState,
    /// The input since the last output, see [`IDLE_INPUT`].
    idle: u64,
    /// The units that the codec had begun after the last step.
    units: u64,
    output: Vec<u8>,
}

#[derive(Clone, Copy)]
enum DecompressState {
    Running,
    Finished,
    Failed,
}

impl Decompressor {
    /// Creates a decompressor of one file with the default [`DecompressOptions`].
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the system has no memory for it.
    pub fn new(wrapper: Wrapper, limits: &Limits) -> Result<Self> {
        Self::with_options(wrapper, limits, &DecompressOptions::default())
    }

    /// Creates a decompressor of one file.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the system has no memory for it.
    pub fn with_options(wrapper: Wrapper, limits: &Limits, options: &DecompressOptions) -> Result<Self> {
        let codec: Box<dyn StreamCodec> = match wrapper {
            Wrapper::Gzip => Box::new(Gzip::new(limits.header_bytes)),
            Wrapper::Xz => Box::new(Xz::new(limits.decoder_memory, options)),
            Wrapper::Zstd => {
                Box::new(Zstd::new(limits.decoder_memory).map_err(|e| e.format(wrapper.format()))?)
            }
        };
        Ok(Self { wrapper, codec, state: DecompressState::Running, idle: 0, units: 0, output: Vec::new() })
    }

    /// The wrapper that it decompresses.
    #[must_use]
    pub fn wrapper(&self) -> Wrapper {
        self.wrapper
    }

    /// The findings about the compressed file so far, complete after [`Decompressor::finish`]. Their offsets are in the
    /// compressed file.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.codec.findings()
    }

    /// Decompresses the next bytes of the file, any number at a time. Passes the output to `out` in order, at
    /// most 128 KiB per call. The output does not depend on how the input is split.
    ///
    /// # Errors
    /// With the byte offset in the compressed file if it is known:
    /// [`ErrorKind::Corrupt`] if the file violates its format or a checksum, or has trailing data;
    /// [`ErrorKind::Unsupported`] for an unsupported check or filter, or a dictionary;
    /// [`ErrorKind::Limit`] for a dictionary, window or header larger than the limits, or for 64 MiB of input
    /// in a row without output; the errors of `out`. After an error every call fails.
    pub fn push(&mut self, input: &[u8], out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut rest = input;
        if rest.is_empty() {
            return Ok(());
        }
        self.drain(out, |this, output| {
            let step = this.step(rest, output, false)?;
            rest = rest.get(step.read..).unwrap_or_default();
            Ok((step.written, rest.is_empty() && step.written < output.len()))
        })
    }

    /// Ends the file: passes the rest of the output to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if the file is incomplete; otherwise as [`Decompressor::push`].
    pub fn finish(&mut self, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.drain(out, |this, output| {
            let step = this.step(&[], output, true)?;
            Ok((step.written, step.written == 0))
        })
    }

    /// Calls `step` until it reports that it is done, and passes its output to `out` each time.
    fn drain(
        &mut self,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
        mut step: impl FnMut(&mut Self, &mut [u8]) -> Result<(usize, bool)>,
    ) -> Result<()> {
        let mut output = std::mem::take(&mut self.output);
        output.resize(OUTPUT_LEN, 0);
        let result = loop {
            let (written, done) = match step(self, &mut output) {
                Ok(step) => step,
                Err(error) => break Err(error),
            };
            if written > 0 {
                if let Err(error) = out(output.get(..written).unwrap_or_default()) {
                    self.state = DecompressState::Failed;
                    break Err(error);
                }
            }
            if done {
                break Ok(());
            }
        };
        self.output = output;
        result
    }

    /// Calls [`StreamCodec::step`] and applies the limit on input without output.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8], end: bool) -> Result<CodecStep> {
        match self.state {
            DecompressState::Running => {}
            DecompressState::Finished if end => return Ok(CodecStep::default()),
            DecompressState::Finished | DecompressState::Failed => {
                return Err(Error::new(ErrorKind::InvalidInput)
                    .format(self.wrapper.format())
                    .because("the decompressor has finished or failed before"));
            }
        }
        let step = self.codec.step(input, output, end).and_then(|step| self.count(step).map(|()| step));
        match &step {
            Ok(step) if end && step.written == 0 => self.state = DecompressState::Finished,
            Ok(_) => {}
            Err(_) => self.state = DecompressState::Failed,
        }
        step.map_err(|error| error.format(self.wrapper.format()))
    }

    fn count(&mut self, step: CodecStep) -> Result<()> {
        let units = self.codec.units();
        let begun = units.saturating_sub(self.units);
        self.units = units;
        if step.written > 0 || self.codec.has_ended() {
            self.idle = 0;
            return Ok(());
        }
        self.idle =
            self.idle.saturating_add(step.read as u64).saturating_add(begun.saturating_mul(IDLE_UNIT));
        if self.idle <= IDLE_INPUT {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Limit)
            .field("compressed input without content")
            .expected("at most 64 MiB, or 16384 empty members, streams or frames, in a row"))
    }
}
