//! Evaluating the retained parts of a stream, as if it ended at the current position, or never.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use diskimg_core::{
    BlockSource, Error, ErrorKind, Finding, Format, ImageInfo, LimitKind, Result, Severity, check_range,
};
use diskimg_raw::Content;

use super::retained::{ENDLESS, Retained};
use crate::opener::{Opener, describe};
use crate::sniff::{FileParts, FormatMatches, Sniffed};

/// The assumed end of a stream.
#[derive(Clone, Copy)]
pub(super) enum StreamEnd {
    /// After the bytes so far.
    Here,
    /// Unknown; the stream has no end.
    Unknown,
}

/// The evaluation of a stream.
pub(crate) struct Evaluation {
    pub(super) formats: Vec<Format>,
    pub(super) content: Option<Content>,
    pub(crate) image: Result<ImageInfo>,
    /// The format, if there is exactly one; raw only if the caller requested it.
    pub(super) named: Option<Format>,
    /// True if a trailer could still indicate another format.
    pub(super) awaits_trailer: bool,
    /// The ranges that the format read and that are not retained.
    pub(super) missing: Vec<Range<u64>>,
}

/// Evaluates the retained parts of a stream that ends at `end`.
pub(super) fn evaluate(retained: &Retained, end: StreamEnd, opener: &Opener) -> Evaluation {
    let (size, trailer) = match end {
        StreamEnd::Here => (Some(retained.total()), retained.trailer()),
        StreamEnd::Unknown => (None, Vec::new()),
    };
    let parts = FileParts { head: retained.head(), trailer: &trailer, size };
    let likeness = FormatMatches::of(parts, &opener.drivers);
    let formats = opener.format.map_or_else(|| likeness.formats(), |format| vec![format]);
    let sniffed = parts.sniff(&opener.drivers);
    let named = match (&opener.format, &sniffed) {
        (Some(format), _) | (None, Ok(Sniffed::Image(format) | Sniffed::Known(format))) => Some(*format),
        _ => None,
    };
    let awaits_trailer = opener.format.is_none()
        && match &sniffed {
            Ok(sniffed) => matches!(sniffed, Sniffed::Raw(_)),
            Err(error) => error.kind() == ErrorKind::UnknownFormat,
        };
    let seen = RetainedSource { retained, size: size.unwrap_or(ENDLESS), missing: Mutex::default() };
    let image = opener.driver_for(parts).and_then(|driver| describe(driver, &seen, &opener.limits));
    let missing = seen.missing.into_inner().unwrap_or_else(PoisonError::into_inner);
    let is_other_format =
        |error: &Error| matches!(error.kind(), ErrorKind::UnknownFormat | ErrorKind::Ambiguous);
    let named = named.filter(|_| !image.as_ref().is_err_and(is_other_format));
    Evaluation { formats, content: likeness.content, image, named, awaits_trailer, missing }
}

/// Describes an image by its head, as if it ended there, or else as if it continued.
pub(crate) fn inspect_head(opener: &Opener, head: &[u8]) -> Result<ImageInfo> {
    let retained = Retained::of(head);
    match evaluate(&retained, StreamEnd::Here, opener).image {
        Err(error) if error.limit() != Some(LimitKind::VirtualSize) => {
            evaluate(&retained, StreamEnd::Unknown, opener).image
        }
        described => described,
    }
}

/// The longest head in bytes. Our limit: the name of the backing file of a qcow2 is in its first cluster of at most
/// 2 MiB, and is read with the bytes after it.
const LONGEST_HEAD: usize = (2 << 20) + (64 << 10);

/// The length of the head that is required to describe the image. `None` if this head is sufficient, or the required
/// one is too long.
pub(crate) fn longer_head(opener: &Opener, head: &[u8]) -> Option<usize> {
    let evaluation = evaluate(&Retained::of(head), StreamEnd::Unknown, opener);
    let end = evaluation.missing.iter().map(|range| range.end).max().filter(|_| evaluation.image.is_err())?;
    usize::try_from(end).ok().filter(|end| *end > head.len() && *end <= LONGEST_HEAD)
}

impl Evaluation {
    /// Returns true if the evaluations for two ends agree.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let image = match (&self.image, &other.image) {
            (Ok(one), Ok(other)) => one == other,
            (Err(one), Err(other)) => place(one) == place(other),
            _ => false,
        };
        image && self.formats == other.formats && self.content == other.content
    }

    /// The virtual size, if known.
    fn size(&self) -> Option<u64> {
        self.image.as_ref().ok().map(|info| info.virtual_size)
    }

    /// Returns true if every end of the stream results in this virtual size or an error. `self` is the evaluation of a
    /// stream without end, `here` that of one that ends at the current position.
    pub(super) fn settles_size(&self, here: &Self) -> bool {
        let ended_otherwise = here.size().is_some_and(|size| self.size() != Some(size));
        self.named.is_some() && self.named == here.named && self.size().is_some() && !ended_otherwise
    }

    /// Adds a finding for a range that was not retained.
    pub(super) fn with_missing_noted(mut self) -> Self {
        if let (Ok(info), Some(range)) = (&mut self.image, self.missing.first()) {
            let message = format!(
                "bytes {} to {} of the stream were already past, or too many to retain, when they were needed",
                range.start, range.end
            );
            info.findings.push(Finding::new(Severity::Note, "not_seen", message).at(range.start));
        }
        self
    }
}

/// The subject of an error, without values that depend on the size.
fn place(error: &Error) -> (ErrorKind, Option<Format>, Option<&str>, Option<u64>) {
    (error.kind(), error.format_name(), error.field_name(), error.offset())
}

/// The retained parts as a source with the size of the stream.
struct RetainedSource<'a> {
    retained: &'a Retained,
    size: u64,
    missing: Mutex<Vec<Range<u64>>>,
}

impl BlockSource for RetainedSource<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = buf.len() as u64;
        check_range(offset, len, self.size)?;
        if self.retained.read(offset, buf) {
            return Ok(());
        }
        let range = offset..offset.saturating_add(len);
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).push(range);
        Err(Error::new(ErrorKind::NeedsSeek)
            .at(offset)
            .because("these bytes of the stream are not available"))
    }
}
