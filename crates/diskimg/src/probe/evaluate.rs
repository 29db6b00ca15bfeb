//! What can be said of a stream by what is kept of it, for one of two ends: here, or never.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use diskimg_core::{
    BlockSource, Error, ErrorKind, Finding, Format, ImageInfo, Result, Severity, check_range,
};
use diskimg_raw::Content;

use super::retained::{ENDLESS, Kept};
use crate::opener::Opener;
use crate::sniff::{Likeness, Parts, Sniffed};

/// Where the stream is taken to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Behind what has passed.
    Here,
    /// Never, as far as is known.
    Unknown,
}

/// What is said of a stream.
pub(super) struct Judgement {
    pub(super) formats: Vec<Format>,
    pub(super) content: Option<Content>,
    pub(super) image: Result<ImageInfo>,
    /// The one format that it is, if it is one; never raw, unless that was asked for.
    pub(super) named: Option<Format>,
    /// Whether the last bytes of the stream could name a format that nothing else names.
    pub(super) awaits_trailer: bool,
    /// What was asked for and is not here.
    pub(super) missing: Vec<Range<u64>>,
}

/// Judges what is kept, for a stream that ends at `end`.
pub(super) fn judge(kept: &Kept, end: End, opener: &Opener) -> Judgement {
    let size = match end {
        End::Here => Some(kept.total()),
        End::Unknown => None,
    };
    let trailer = if end == End::Here { kept.trailer() } else { Vec::new() };
    let parts = Parts { head: kept.head(), trailer: &trailer, size };
    let likeness = Likeness::of(parts);
    let formats = match opener.format {
        Some(format) => vec![format],
        None => likeness.formats(),
    };
    let sniffed = parts.sniff();
    let named = match (&opener.format, &sniffed) {
        (Some(format), _) | (None, Ok(Sniffed::Image(format) | Sniffed::Known(format))) => Some(*format),
        _ => None,
    };
    let awaits_trailer = opener.format.is_none()
        && match &sniffed {
            Ok(sniffed) => matches!(sniffed, Sniffed::Raw(_)),
            Err(error) => error.kind() == ErrorKind::UnknownFormat,
        };
    let seen = Seen { kept, size: size.unwrap_or(ENDLESS), missing: Mutex::default() };
    let image = opener.driver_for(parts).and_then(|driver| (driver.inspect)(&seen, &opener.limits));
    let missing = seen.missing.into_inner().unwrap_or_else(PoisonError::into_inner);
    let of_another = |error: &Error| matches!(error.kind(), ErrorKind::UnknownFormat | ErrorKind::Ambiguous);
    let named = named.filter(|_| !image.as_ref().is_err_and(of_another));
    Judgement { formats, content: likeness.content, image, named, awaits_trailer, missing }
}

/// What an image says about itself whose head alone is there, as if it ended there or else went on.
pub(crate) fn inspect_head(opener: &Opener, head: &[u8]) -> Result<ImageInfo> {
    let kept = Kept::of(head);
    judge(&kept, End::Here, opener).image.or_else(|_| judge(&kept, End::Unknown, opener).image)
}

/// The longest head that is waited for. A bound of ours: the name of a qcow2's backing file is in its first
/// cluster, of at most 2 MiB, and is read with what lies behind it.
const LONGEST_HEAD: usize = (2 << 20) + (64 << 10);

/// How long the head of an image that goes on has to be before the image can say anything about itself; `None`
/// where this one will do, or none that is waited for.
pub(crate) fn longer_head(opener: &Opener, head: &[u8]) -> Option<usize> {
    let judged = judge(&Kept::of(head), End::Unknown, opener);
    let end = judged.missing.iter().map(|range| range.end).max().filter(|_| judged.image.is_err())?;
    usize::try_from(end).ok().filter(|end| *end > head.len() && *end <= LONGEST_HEAD)
}

impl Judgement {
    /// Whether two ends make no difference.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let image = match (&self.image, &other.image) {
            (Ok(one), Ok(other)) => one == other,
            (Err(one), Err(other)) => place(one) == place(other),
            _ => false,
        };
        image && self.formats == other.formats && self.content == other.content
    }

    /// The virtual size, where it is told.
    fn size(&self) -> Option<u64> {
        self.image.as_ref().ok().map(|info| info.virtual_size)
    }

    /// Whether no end can make another virtual size of it, where this is the judgement of a stream without end and
    /// `here` that of one that ends here: there can only be an error instead.
    pub(super) fn settles_size(&self, here: &Self) -> bool {
        let ended_otherwise = here.size().is_some_and(|size| self.size() != Some(size));
        self.named.is_some() && self.named == here.named && self.size().is_some() && !ended_otherwise
    }

    /// The same, with a note on what was asked for too late.
    pub(super) fn noted(mut self) -> Self {
        if let (Ok(info), Some(range)) = (&mut self.image, self.missing.first()) {
            let message = format!(
                "what stands at bytes {} to {} had passed, or was too long to keep, when it was asked for",
                range.start, range.end
            );
            info.findings.push(Finding::new(Severity::Note, "not_seen", message).at(range.start));
        }
        self
    }
}

/// What an error is about, without values that a size is part of.
fn place(error: &Error) -> (ErrorKind, Option<Format>, Option<&str>, Option<u64>) {
    (error.kind(), error.format_name(), error.field_name(), error.offset())
}

/// What is kept, as a source that has all of the stream.
struct Seen<'a> {
    kept: &'a Kept,
    size: u64,
    missing: Mutex<Vec<Range<u64>>>,
}

impl BlockSource for Seen<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = buf.len() as u64;
        check_range(offset, len, self.size)?;
        if self.kept.read(offset, buf) {
            return Ok(());
        }
        let range = offset..offset.saturating_add(len);
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).push(range);
        Err(Error::new(ErrorKind::NeedsSeek).at(offset).because("these bytes of the stream are not at hand"))
    }
}
