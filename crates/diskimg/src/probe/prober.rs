//! The prober that a stream is pushed into.

use diskimg_codec::Wrapper;
use diskimg_core::{Error, Format, ImageInfo, Probed};

use super::inside::Inside;
use super::report::ProbeReport;
use crate::open::Opener;
use crate::unwrap::Unwrapper;

/// Tells what a stream holds that is pushed in pieces: an upload, a download, a layer of a registry.
///
/// It never goes back, writes no file, starts no process and does no I/O, so any runtime can drive it. gz, xz
/// and zst are unwrapped on the fly, one level deep. Whatever arrives, it keeps less than 2 MiB, apart from the
/// window of a decoder, which [`crate::Limits::decoder_memory`] bounds. The cut points change nothing.
///
/// Each push says what is certain. Of most images that is everything after some 100 KiB, and the caller may
/// stop. The size of a raw disk is known only at its end, and is counted along; that an OVA holds no other disk is
/// known at its end, too.
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
    unwrapper: Unwrapper,
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
        Self { unwrapper: Unwrapper::new(opener), inside: Inside::new(opener), failed: None, pushed: 0 }
    }

    /// Takes the next bytes of the stream, any number at a time, and says what is certain. What comes after
    /// [`Probed::Done`] is only counted.
    pub fn push(&mut self, chunk: &[u8]) -> Probed {
        self.pushed = self.pushed.saturating_add(chunk.len() as u64);
        if self.state() != Probed::Done {
            let inside = &mut self.inside;
            let decoded = self.unwrapper.push(chunk, &mut |bytes| inside.push(bytes));
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
        self.unwrapper.wrapper()
    }

    /// The format of the image, from [`Probed::Format`] on, some 64 KiB before [`Prober::info`] has anything;
    /// `None` while several are recognised, and if there is none in the end.
    ///
    /// ```
    /// use diskimg::{Probed, Prober};
    /// let mut prober = Prober::new();
    /// assert_eq!(prober.push(b"QFI\xfb\0\0\0\x03"), Probed::Format);
    /// assert_eq!(prober.format().map(|format| format.name()), Some("qcow2"));
    /// assert!(prober.info().is_none());
    /// ```
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        if self.failed.is_some() { None } else { self.inside.format() }
    }

    /// What the image says about itself, as far as is known: before [`Probed::Done`] findings on a stream that
    /// was cut short may be missing or too many, lists may be incomplete, and the size of a raw disk is that
    /// of what was looked at.
    #[must_use]
    pub fn info(&self) -> Option<&ImageInfo> {
        self.inside.known()
    }

    /// The stream has ended; or the caller stops after [`Probed::Done`]. A stream that is stopped before is
    /// judged as one that ends there.
    #[must_use]
    pub fn finish(mut self) -> ProbeReport {
        if self.state() != Probed::Done {
            let inside = &mut self.inside;
            let decoded = self.unwrapper.finish(&mut |bytes| inside.push(bytes));
            self.keep(decoded);
        }
        // What has passed is judged even if it broke off.
        let ended = self.inside.finish();
        let whole = self.failed.map_or(ended, Err);
        let (judgement, member) = self.inside.judged();
        ProbeReport {
            wrapper: self.unwrapper.wrapper(),
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
