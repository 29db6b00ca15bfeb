//! Converting an image that is pushed.

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSink, Format, Progress, Result};

use super::one_pass::{OnePass, failed};
use super::options::{ConvertOptions, Converted};
use crate::archive::{MemberForm, Unpacked, Unpacker};
use crate::decompress::AutoDecompressor;
use crate::opener::Opener;

/// Converts an image that is pushed in chunks: an upload or a download that is never stored.
///
/// The stream is decompressed if it is gz, xz or zst, and its format is recognised, as `opener` says. From an archive
/// only the disk is converted: the only one, or the one that [`Opener::member`] names.
///
/// Raw disks are converted in one pass, and so are qcow2 images whose tables precede their data, as converters write
/// them, if the sink accepts [any order](diskimg_core::WriteOrder::Any). For other qcow2 images, data that precedes its
/// table entry goes to a temporary file. Images that cannot be decoded in order, and those whose sink needs ascending
/// order, are stored whole and converted at the end. Temporary files are created when needed, as [`Opener::spool`]
/// allows; otherwise the conversion ends with [`NeedsSeek`](crate::ErrorKind::NeedsSeek), as late as possible. There is
/// no I/O other than that of the sink.
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
    pass: OnePass,
    failed: bool,
}

impl StreamConvert {
    /// A conversion into `sink` with the default options. `sink` must accept a disk whose size is known only at its
    /// end. All fields of `opener` apply except [`Opener::direct`].
    #[must_use]
    pub fn new(opener: &Opener, sink: Box<dyn BlockSink>) -> Self {
        Self::with(opener, sink, &ConvertOptions::default())
    }

    /// A conversion into `sink` with options. In one pass only [`ConvertOptions::rate`] applies, and
    /// [`ConvertOptions::sparse`] in steps of up to 2 MiB; runs of zeros are not searched across units of the format (clusters, grains). A stored image is
    /// converted like [`crate::convert()`] does.
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
            unpacker: Unpacker::new(opener, MemberForm::Decoded),
            pass: OnePass::new(opener, sink, options),
            failed: false,
        }
    }

    /// Accepts the next chunk, of any size.
    ///
    /// # Errors
    /// [`NeedsSeek`](crate::ErrorKind::NeedsSeek) if the image must be stored and temporary files are disabled;
    /// otherwise errors of the compression, the image, or the sink. After an error the conversion accepts no more.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        if self.failed {
            return Err(failed("accepts no more bytes"));
        }
        let Self { decompressor, unpacker, pass, .. } = self;
        let done =
            decompressor.push(chunk, &mut |bytes| unpacker.push(bytes, &mut |piece| forward(pass, piece)));
        self.failed = done.is_err();
        done
    }

    /// The compression of the stream, as soon as it is known.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.decompressor.wrapper()
    }

    /// The format of the image, as soon as it is known.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.pass.driver().map(|driver| driver.format)
    }

    /// Ends the stream and finishes the sink. A stored image is converted now, reported to `progress`.
    ///
    /// # Errors
    /// [`Truncated`](crate::ErrorKind::Truncated) if the stream ended too early; otherwise as [`StreamConvert::push`] and
    /// [`crate::convert()`]. The sink is then dropped unfinished and no valid image is left.
    pub fn finish(mut self, progress: &dyn Progress) -> Result<Converted> {
        if self.failed {
            return Err(failed("cannot be finished"));
        }
        let Self { decompressor, unpacker, pass, .. } = &mut self;
        decompressor.finish(&mut |bytes| unpacker.push(bytes, &mut |piece| forward(pass, piece)))?;
        unpacker.finish(&mut |piece| forward(pass, piece))?;
        let Self { decompressor, unpacker, pass, .. } = self;
        let findings = |virtual_size| {
            let archived = unpacker.conclusion().map(|conclusion| conclusion.findings(virtual_size));
            decompressor.findings().into_iter().chain(archived.unwrap_or_default()).collect()
        };
        pass.finish(decompressor.wrapper(), &findings, progress)
    }
}

/// Forwards the disk of an archive to the conversion. Fails at a second disk if none was named.
fn forward(pass: &mut OnePass, piece: Unpacked<'_>) -> Result<()> {
    match piece {
        Unpacked::Disk(disk) => disk.format.map_or((), |format| pass.recognised(format)),
        Unpacked::Bytes(bytes) => return pass.push(bytes, &()),
        // A second disk may follow.
        Unpacked::End | Unpacked::Hole(_) => {}
        Unpacked::Ambiguous(error) => return Err(error),
    }
    Ok(())
}
