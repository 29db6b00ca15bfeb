//! Converting an image that is pushed.

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSink, Error, ErrorKind, Format, Progress, Result};

use super::one_pass::Pass;
use super::options::{ConvertOptions, Converted};
use crate::archive::{Piece, Unpacker};
use crate::decompress::AutoDecompressor;
use crate::opener::Opener;

/// Converts an image that is pushed in pieces into a sink: an upload or a download that is never kept.
///
/// The stream is unwrapped on the fly if it is gz, xz or zst, and its format recognised, as `opener` says. Of an
/// OVA the disk inside is converted, the only one or that which [`Opener::member`] names. Raw
/// disks and discs go through in one pass, and so does a qcow2 whose tables stand before what they name, as
/// converters write it; the sink then needs [`diskimg_core::WriteOrder::Any`]. Of other qcow2 images, those
/// bytes go to a temporary file that passed before anything named them. What cannot be decoded in order at all,
/// or goes to a sink that wants its bytes in order, is kept whole and converted at the end. Temporary files are
/// the only I/O in here besides the sink, and are made when they are needed, as [`Opener::spool`] allows;
/// otherwise the conversion ends with [`ErrorKind::NeedsSeek`], as late as it can.
///
/// ```
/// use diskimg::{MemorySink, Opener, StreamConvert};
/// let mut disc = vec![0; 100_000];
/// disc[32_769..32_774].copy_from_slice(b"CD001");
/// let sink = MemorySink::new(1 << 20);
///
/// let mut conversion = StreamConvert::new(&Opener::new(), Box::new(sink.clone()));
/// for chunk in disc.chunks(1000) {
///     conversion.push(chunk)?;
/// }
/// let done = conversion.finish(&())?;
/// assert_eq!(done.virtual_size, 100_000);
/// assert_eq!(sink.bytes(), disc);
/// # Ok::<(), diskimg::Error>(())
/// ```
pub struct StreamConvert {
    decompressor: AutoDecompressor,
    unpacker: Unpacker,
    pass: Pass,
    failed: bool,
}

impl StreamConvert {
    /// A conversion of what will be pushed into `sink`, which has to take a disk whose size is known only at
    /// its end, with the default options. Of `opener` all but [`Opener::direct`] is heeded.
    #[must_use]
    pub fn new(opener: &Opener, sink: Box<dyn BlockSink>) -> Self {
        Self::with(opener, sink, &ConvertOptions::default())
    }

    /// The same with options. In one pass [`ConvertOptions::sparse`] alone matters, up to steps of 2 MiB, and no
    /// zeros are searched for across units of the format (clusters, grains); an image that was kept is converted as
    /// [`crate::convert()`] does it.
    ///
    /// ```
    /// use diskimg::{ConvertOptions, MemorySink, Opener, Sparse, StreamConvert};
    /// let mut opener = Opener::new();
    /// opener.allow_raw = true;
    /// let mut options = ConvertOptions::default();
    /// options.sparse = Sparse::Never;
    ///
    /// let mut conversion = StreamConvert::with(&opener, Box::new(MemorySink::new(1 << 20)), &options);
    /// conversion.push(&[0; 100_000])?;
    /// assert_eq!(conversion.finish(&())?.written, 100_000);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    #[must_use]
    pub fn with(opener: &Opener, sink: Box<dyn BlockSink>, options: &ConvertOptions) -> Self {
        Self {
            decompressor: AutoDecompressor::new(opener),
            unpacker: Unpacker::new(opener),
            pass: Pass::new(opener, sink, options),
            failed: false,
        }
    }

    /// Takes the next bytes, any number at a time; the cut points change nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] when the image would have to be kept and that is not allowed; otherwise what
    /// is wrong with the wrapper, the image, or the sink. After an error the conversion takes no more.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        if self.failed {
            return Err(Error::new(ErrorKind::InvalidInput)
                .because("the conversion has failed before and takes no more"));
        }
        let Self { decompressor, unpacker, pass, .. } = self;
        let done =
            decompressor.push(chunk, &mut |bytes| unpacker.push(bytes, &mut |piece| take(pass, piece)));
        self.failed = done.is_err();
        done
    }

    /// How the stream is compressed, as soon as that is known.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.decompressor.wrapper()
    }

    /// The format of the image, as soon as it is known.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.pass.driver().map(|driver| driver.format)
    }

    /// Whether the image goes into a temporary file whole: nothing is written to the sink before the end.
    #[must_use]
    pub fn is_spooling(&self) -> bool {
        self.pass.is_spooling()
    }

    /// The stream has ended: completes the disk, and the sink. If the image was kept it is converted now, and
    /// `progress` told.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] when the stream ended too early; otherwise as [`StreamConvert::push`] and
    /// [`crate::convert()`]. The sink is dropped without being finished then: nothing valid is left.
    pub fn finish(mut self, progress: &dyn Progress) -> Result<Converted> {
        if self.failed {
            return Err(Error::new(ErrorKind::InvalidInput)
                .because("the conversion has failed before and cannot be finished"));
        }
        let Self { decompressor, unpacker, pass, .. } = &mut self;
        decompressor.finish(&mut |bytes| unpacker.push(bytes, &mut |piece| take(pass, piece)))?;
        unpacker.finish(&mut |piece| take(pass, piece))?;
        self.pass.finish(self.decompressor.wrapper(), progress)
    }
}

/// Hands on what comes out of an archive; stops where it is not clear any more which disk is meant.
fn take(pass: &mut Pass, piece: Piece<'_>) -> Result<()> {
    match piece {
        Piece::Disk(disk) => {
            pass.recognised(disk.format);
            Ok(())
        }
        Piece::Bytes(bytes) => pass.push(bytes),
        // Whether there is no other is not known yet.
        Piece::End => Ok(()),
        Piece::Unclear(choice) => choice.check(),
    }
}
