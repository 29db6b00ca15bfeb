//! The prober for a stream that is pushed.

use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{Cancel, Error, ImageInfo, range};

use super::archive_probe::ArchiveProbe;
use super::probed::Probed;
use super::report::ProbeReport;
use crate::decompress::AutoDecompressor;
use crate::finding_log::merge;
use crate::opener::{Opener, check_trailing_data};
use crate::stoppable::check_cancel;

/// Recognises and describes an image in a stream that is pushed: an upload, a download, a layer of a registry.
///
/// It reads each byte once and does no I/O, so that any runtime can drive it. gz, xz and zst are decompressed while
/// they are read, one level deep, and so is the disk of an archive. Between calls it uses less than 2 MiB, and the window
/// of each decoder, which [`crate::Limits::decoder_memory`] limits; for an archive up to 8 MiB more for its OVF descriptor,
/// its manifest and the maps of sparse members. The result does not depend on how the stream is split.
///
/// Each push returns what is certain, which never changes afterwards:
/// - [`Probed::Format`]: the format. Damage may still result in an error, but in no other format. It requires the first
///   68 KiB, because the marks of optical discs and file systems are there. A raw disk is certain only at its end, where
///   the trailer of a VHD or DMG may be.
/// - [`Prober::size_is_known`]: the virtual size. Findings, and an error as above, may follow.
/// - [`Probed::Done`]: everything. [`Prober::info`] does not change any more, and [`Prober::finish`] returns the same.
///
/// | format | the size is known after | done after |
/// |---|---|---|
/// | qcow2 | the first 68 KiB | L1 table, snapshot table and bitmap directory |
/// | VMDK, one sparse file | its descriptor, within the first 68 KiB as a rule | the same; with a footer, the end |
/// | VMDK, a descriptor alone | the end | the end |
/// | VDI | the first 68 KiB | the last block that the header counts |
/// | raw, and unrecognised bytes | the end | the end |
/// | compressed bytes of unknown format | never | [`crate::Limits::probed_bytes`] decompressed bytes |
/// | unsupported formats | never | the first 68 KiB |
///
/// A stream shorter than 68 KiB is evaluated at its end. The size of a disk in an archive is known at the end of it,
/// because another disk may follow.
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
    content: ArchiveProbe,
    failed: Option<Error>,
    pushed: u64,
    cancel: Option<Arc<Cancel>>,
}

impl Default for Prober {
    fn default() -> Self {
        Self::new()
    }
}

impl Prober {
    /// Creates a prober with the defaults of [`Opener`], except that it starts no threads.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&Opener { threads: 1, ..Opener::new() })
    }

    /// Creates a prober that uses [`Opener::drivers`], [`Opener::format`], [`Opener::allow_raw`], [`Opener::decompress`],
    /// [`Opener::member`], [`Opener::limits`], [`Opener::threads`] and [`Opener::cancel`].
    #[must_use]
    pub fn with(opener: &Opener) -> Self {
        Self {
            decompressor: AutoDecompressor::new(opener),
            content: ArchiveProbe::new(opener),
            failed: None,
            pushed: 0,
            cancel: opener.cancel.clone(),
        }
    }

    /// Creates a prober that reads an image with tables to its end, to compare them with its length. It uses
    /// [`Opener::spool`] too.
    pub(crate) fn of_whole_images(opener: &Opener) -> Self {
        let mut prober = Self::with(opener);
        prober.content.store_image(opener);
        prober
    }

    /// Probes the next bytes of the stream and returns what is certain. Bytes after [`Probed::Done`] are only counted.
    pub fn push(&mut self, chunk: &[u8]) -> Probed {
        // No decompressed bytes follow until the bytes that show the compression are complete.
        let start = range::buffer_len(&(self.pushed..Wrapper::HEAD as u64));
        let (start, rest) = chunk.split_at_checked(start).unwrap_or((chunk, &[]));
        self.pushed = self.pushed.saturating_add(chunk.len() as u64);
        self.decode(start);
        if !start.is_empty() && self.wrapper().is_some() {
            self.content.limit_unknown();
        }
        self.decode(rest);
        self.state()
    }

    fn decode(&mut self, chunk: &[u8]) {
        if self.state() != Probed::Done {
            let (content, cancel) = (&mut self.content, self.cancel.as_deref());
            let decoded = self.decompressor.push(chunk, &mut |bytes| {
                check_cancel(cancel)?;
                content.push(bytes)
            });
            self.record(decoded);
        }
    }

    /// The state of the probe.
    #[must_use]
    pub fn state(&self) -> Probed {
        if self.failed.is_some() { Probed::Done } else { self.content.state() }
    }

    /// The compression of the stream, once known.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.decompressor.wrapper()
    }

    /// Returns true if the virtual size in [`Prober::info`] is final: the rest of the stream results in this size or an
    /// error. A caller that needs only the size can stop here, without [`Prober::finish`], which would report a truncated
    /// stream.
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
        self.failed.is_none() && self.content.is_sized()
    }

    /// The description of the image so far; `None` if [`Prober::finish`] will return an error. Before [`Probed::Done`],
    /// findings about truncation are preliminary, lists may be incomplete, and the size is preliminary unless
    /// [`Prober::size_is_known`]. A list that is too long is shortened, with the finding `list_cut`; [`Prober::finish`]
    /// returns all of it.
    #[must_use]
    pub fn info(&self) -> Option<&ImageInfo> {
        if self.failed.is_some() { None } else { self.content.known() }
    }

    /// Ends the stream and returns the result. A stream that is stopped before [`Probed::Done`] is evaluated as one that
    /// ends there.
    #[must_use]
    pub fn finish(mut self) -> ProbeReport {
        if self.state() != Probed::Done {
            let content = &mut self.content;
            let decoded = self.decompressor.finish(&mut |bytes| content.push(bytes));
            self.record(decoded);
        }
        // The bytes so far are evaluated even if the stream failed.
        let ended = self.content.finish();
        let whole = self.failed.map_or(ended, Err);
        let streamed = self.decompressor.findings();
        let (mut evaluation, archive) = self.content.into_evaluation();
        evaluation.image = evaluation.image.and_then(|mut info| {
            merge(&mut info.findings, streamed);
            check_trailing_data(info.format, &info.findings).map(|()| info)
        });
        ProbeReport {
            wrapper: self.decompressor.wrapper(),
            formats: evaluation.formats,
            content: evaluation.content,
            image: whole.and(evaluation.image),
            member: archive.as_ref().map(|archive| archive.name.clone()),
            archive,
            pushed: self.pushed,
        }
    }

    /// Stores an error of the decoder, except the one by which the probe stopped it.
    fn record(&mut self, decoded: diskimg_core::Result<()>) {
        if let Err(error) = decoded {
            if self.content.state() != Probed::Done {
                self.failed = Some(error);
            }
        }
    }
}
