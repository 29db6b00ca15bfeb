//! One push decoder for all wrappers.

use diskimg_core::{Error, ErrorKind, Limits, Result};

use crate::codec::{Codec, Step};
use crate::gzip::Gzip;
use crate::wrapper::Wrapper;
use crate::xz::Xz;
use crate::zstd_stream::ZstdStream;

/// Bytes handed out at a time. A bound of ours: large enough that what an inflater does once per call (it
/// keeps the last 32 KiB) is small beside it, small enough to stay in a core's second-level cache.
const OUTPUT_LEN: usize = 128 << 10;

/// Input in a row that may yield nothing. A bound of ours: an honest file has some padding, skippable frames
/// or blocks that other threads are still decoding, but a stream of empty members would go on forever.
const IDLE_INPUT: u64 = 64 << 20;

/// What each member, stream or frame that yields nothing counts for beside its bytes, since setting up a
/// decoder costs more than reading twenty bytes: 16384 empty ones in a row are the most.
const IDLE_UNIT: u64 = 4 << 10;

/// How a [`Decoder`] works; what it accepts is in [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecoderOptions {
    /// Threads that decode an xz file of several blocks; 0, the default, is one per core. The bytes that
    /// come out are the same with any number.
    pub threads: u32,
    /// Bytes that decoding on several threads may take. Where it would take more, fewer threads work, down
    /// to one. Default 48 MiB, a bound of ours, so that a conversion stays below 64 MiB. It is enough for the
    /// small blocks of `xz -T -1`; those of `xz -T -6` hold 24 MiB and want about 48 MiB for each thread.
    pub thread_memory: u64,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self { threads: 0, thread_memory: 48 << 20 }
    }
}

/// Decodes a compressed file that arrives in pieces. No I/O inside: any runtime can drive it.
///
/// What was put one behind the other comes out that way: gzip members, xz streams, zstd frames. Checksums are
/// verified, but a piece is handed out before the checksum behind it was seen: the bytes are sound once
/// [`Decoder::finish`] says so. How much comes out, and whether it is wrapped once more, is for the caller to
/// bound.
///
/// ```
/// use diskimg_codec::{Decoder, Wrapper};
/// use diskimg_core::Limits;
/// let file = zstd::encode_all(&b"a disk"[..], 0)?;
/// let mut disk = Vec::new();
/// let mut keep = |piece: &[u8]| {
///     disk.extend_from_slice(piece);
///     Ok(())
/// };
/// let mut decoder = Decoder::new(Wrapper::Zstd, &Limits::default())?;
/// for piece in file.chunks(3) {
///     decoder.push(piece, &mut keep)?;
/// }
/// decoder.finish(&mut keep)?;
/// assert_eq!(disk, b"a disk");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Decoder {
    wrapper: Wrapper,
    codec: Box<dyn Codec>,
    state: State,
    idle: u64,
    units: u64,
    output: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Finished,
    Failed,
}

impl Decoder {
    /// A decoder of one file, with the default [`DecoderOptions`].
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the system has no memory for it.
    pub fn new(wrapper: Wrapper, limits: &Limits) -> Result<Self> {
        Self::with_options(wrapper, limits, &DecoderOptions::default())
    }

    /// A decoder of one file.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the system has no memory for it.
    pub fn with_options(wrapper: Wrapper, limits: &Limits, options: &DecoderOptions) -> Result<Self> {
        let codec: Box<dyn Codec> = match wrapper {
            Wrapper::Gzip => Box::new(Gzip::new(limits.header_bytes)),
            Wrapper::Xz => Box::new(Xz::new(limits.decoder_memory, options)),
            Wrapper::Zstd => {
                Box::new(ZstdStream::new(limits.decoder_memory).map_err(|e| e.format(wrapper.format()))?)
            }
        };
        Ok(Self { wrapper, codec, state: State::Running, idle: 0, units: 0, output: Vec::new() })
    }

    /// Which wrapper it decodes.
    #[must_use]
    pub fn wrapper(&self) -> Wrapper {
        self.wrapper
    }

    /// Decodes the next bytes of the file, any number at a time; the cut points change nothing. Hands to
    /// `out` what they yield, in order, in pieces of at most 128 KiB.
    ///
    /// # Errors
    /// With the byte offset in the compressed file where it is known:
    /// [`ErrorKind::Corrupt`] for what contradicts the format or a checksum, and for trailing data;
    /// [`ErrorKind::Unsupported`] for a check, filter or dictionary this build has not;
    /// [`ErrorKind::Limit`] for a dictionary, window or header larger than the limits, or for 64 MiB of input
    /// in a row that yield nothing; what `out` gives. After an error the decoder takes no more.
    pub fn push(&mut self, input: &[u8], out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut rest = input;
        if rest.is_empty() {
            return Ok(());
        }
        self.drain(out, |decoder, output| {
            let step = decoder.step(rest, output, false)?;
            rest = rest.get(step.read..).unwrap_or_default();
            Ok((step.written, rest.is_empty() && step.written < output.len()))
        })
    }

    /// The file has ended: hands out what is left, and says whether the file was whole.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] when it was not; otherwise as [`Decoder::push`].
    pub fn finish(&mut self, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.drain(out, |decoder, output| {
            let step = decoder.step(&[], output, true)?;
            Ok((step.written, step.written == 0))
        })
    }

    /// Calls `step` until it says that it is done, and hands out what it wrote each time.
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
            if written > 0
                && let Err(error) = out(output.get(..written).unwrap_or_default())
            {
                self.state = State::Failed;
                break Err(error);
            }
            if done {
                break Ok(());
            }
        };
        self.output = output;
        result
    }

    /// One step of the codec, as [`Codec::step`], with the bound on input that yields nothing.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8], end: bool) -> Result<Step> {
        match self.state {
            State::Running => {}
            State::Finished if end => return Ok(Step::default()),
            State::Finished | State::Failed => {
                return Err(Error::new(ErrorKind::InvalidInput)
                    .format(self.wrapper.format())
                    .because("the decoder has ended or failed before and takes no more"));
            }
        }
        let step = self.codec.step(input, output, end).and_then(|step| self.count(step).map(|()| step));
        match &step {
            Ok(step) if end && step.written == 0 => self.state = State::Finished,
            Ok(_) => {}
            Err(_) => self.state = State::Failed,
        }
        step.map_err(|error| error.format(self.wrapper.format()))
    }

    fn count(&mut self, step: Step) -> Result<()> {
        let units = self.codec.units();
        let begun = units.saturating_sub(self.units);
        self.units = units;
        if step.written > 0 {
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

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("wrapper", &self.wrapper)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
