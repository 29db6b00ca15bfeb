//! The prober that a stream is pushed into.

use diskimg_codec::Wrapper;
use diskimg_core::{Error, ImageInfo, Probed};

use super::archive_probe::Inside;
use super::report::ProbeReport;
use crate::decompress::AutoDecompressor;
use crate::opener::Opener;

/// Tells what a stream holds that is pushed in pieces: an upload, a download, a layer of a registry.
///
/// It never goes back, writes no file, starts no process and does no I/O, so any runtime can drive it. gz, xz
/// and zst are unwrapped on the fly, one level deep. Whatever arrives, it keeps less than 2 MiB from push to push,
/// apart from the window of a decoder, which [`crate::Limits::decoder_memory`] bounds. The cut points change nothing.
///
/// Each push says what is certain, and that is never taken back:
/// - [`Probed::Format`]: which format it is. There may still be an error of what is damaged or missing, and no
///   other format. It takes the first 68 KiB: until then an optical disc may follow, or a file system. A raw disk is
///   never said to be one before its end, where the trailer of a VHD or DMG may stand.
/// - [`Prober::size_is_known`]: how large the disk is. There may still be findings, and an error as above.
/// - [`Probed::Done`]: all of it. Nothing that follows changes [`Prober::info`], and [`Prober::finish`] tells the same.
///
/// | format | the size is known after | done after |
/// |---|---|---|
/// | qcow2 | the first 68 KiB | L1 table, snapshot table and bitmap directory |
/// | VMDK, one sparse file | its descriptor, within the first 68 KiB as a rule | the same; with a footer, the end |
/// | VMDK, a descriptor alone | the end | the end |
/// | VDI | the first 68 KiB | the last block that the header counts |
/// | raw, and what nothing recognises | the end | the end |
/// | formats that are only named | never | the first 68 KiB |
///
/// A stream shorter than 68 KiB is told of at its end. A disk in an OVA is the one that is meant only when the archive
/// has ended without another, and its size is known then.
///
/// ```
/// use diskimg::{Probed, Prober};
/// let mut disc = vec![0; 100_000];
/// disc[32_769..32_774].copy_from_slice(b"CD001");
///
/// let mut prober = Prober::new();
/// for chunk in disc.chunks(1000) {
///     if prober.push(chunk) == Probed::Done {
///         break;
///     }
/// }
/// let report = prober.finish();
/// let info = report.image?;
/// assert_eq!(info.virtual_size, 100_000);
/// assert!(info.is_optical_disc);
/// # Ok::<(), diskimg::Error>(())
/// ```
pub struct Prober {
    decompressor: AutoDecompressor,
    inside: Inside,
    failed: Option<Error>,
    pushed: u64,
}

impl Default for Prober {
    fn default() -> Self {
        Self::new()
    }
}

impl Prober {
    /// A prober with the defaults of [`Opener`], but for threads: it starts none.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&Opener { threads: 1, ..Opener::new() })
    }

    /// A prober that heeds [`Opener::format`], [`Opener::allow_raw`], [`Opener::unwrap`],
    /// [`Opener::member`], [`Opener::limits`] and [`Opener::threads`].
    #[must_use]
    pub fn with(opener: &Opener) -> Self {
        Self {
            decompressor: AutoDecompressor::new(opener),
            inside: Inside::new(opener),
            failed: None,
            pushed: 0,
        }
    }

    /// Takes the next bytes of the stream, any number at a time, and says what is certain. What comes after
    /// [`Probed::Done`] is only counted.
    pub fn push(&mut self, chunk: &[u8]) -> Probed {
        self.pushed = self.pushed.saturating_add(chunk.len() as u64);
        if self.state() != Probed::Done {
            let inside = &mut self.inside;
            let decoded = self.decompressor.push(chunk, &mut |bytes| inside.push(bytes));
            self.keep(decoded);
        }
        self.state()
    }

    /// What is certain so far.
    #[must_use]
    pub fn state(&self) -> Probed {
        if self.failed.is_some() { Probed::Done } else { self.inside.state() }
    }

    /// How the stream is compressed, as soon as that is known.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.decompressor.wrapper()
    }

    /// Whether the virtual size that [`Prober::info`] tells is final: whatever follows, there is this size or an
    /// error. Who wants no more may stop here; [`Prober::finish`] would take the stream for one that was cut.
    ///
    /// ```
    /// use diskimg::{Prober, Target, driver};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.vdi");
    /// # let sink = Target::file(&path, driver("vdi")?.format).create(Some(8 << 20))?;
    /// # sink.write_at(0, &[1; 1 << 20])?;
    /// # sink.finish()?;
    /// let image = std::fs::read(&path)?; // a VDI with a block of 1 MiB
    /// let mut prober = Prober::new();
    /// prober.push(&image[..100_000]);
    /// assert!(prober.size_is_known());
    /// assert_eq!(prober.info().map(|info| info.virtual_size), Some(8 << 20));
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    #[must_use]
    pub fn size_is_known(&self) -> bool {
        self.failed.is_none() && self.inside.is_sized()
    }

    /// What the image says about itself, as far as is known; `None` when [`Prober::finish`] will tell an error. Before
    /// [`Probed::Done`] findings on a stream that was cut short may be missing or too many, lists may be
    /// incomplete, and the size is that of what was looked at unless [`Prober::size_is_known`]. A list that is too long
    /// to be kept ends early, with the finding `list_cut`; [`Prober::finish`] tells all of it.
    #[must_use]
    pub fn info(&self) -> Option<&ImageInfo> {
        if self.failed.is_some() { None } else { self.inside.known() }
    }

    /// The stream has ended; or the caller stops after [`Probed::Done`]. A stream that is stopped before is
    /// judged as one that ends there.
    #[must_use]
    pub fn finish(mut self) -> ProbeReport {
        if self.state() != Probed::Done {
            let inside = &mut self.inside;
            let decoded = self.decompressor.finish(&mut |bytes| inside.push(bytes));
            self.keep(decoded);
        }
        // What has passed is judged even if it broke off.
        let ended = self.inside.finish();
        let whole = self.failed.map_or(ended, Err);
        let (judgement, member) = self.inside.judged();
        ProbeReport {
            wrapper: self.decompressor.wrapper(),
            formats: judgement.formats,
            content: judgement.content,
            image: whole.and(judgement.image),
            member,
            pushed: self.pushed,
        }
    }

    /// Keeps an error of the wrapper, unless it is only our way to stop a decoder.
    fn keep(&mut self, decoded: diskimg_core::Result<()>) {
        if let Err(error) = decoded
            && self.inside.state() != Probed::Done
        {
            self.failed = Some(error);
        }
    }
}
