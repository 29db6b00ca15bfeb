//! Probing the image in a stream: when it is evaluated, and when the result is certain.

use diskimg_core::{Error, ErrorKind, ImageInfo, LimitKind, Remedy, range};

use super::bounded_info::{BoundedInfo, bounded};
use super::evaluate::{Evaluation, StreamEnd, evaluate};
use super::probed::Probed;
use super::retained::Retained;
use crate::opener::Opener;
use crate::sniff::HEAD;

/// Probes the bytes of an image.
///
/// The image is evaluated when the head is complete, when all ranges that its format read are retained, and then whenever
/// the stream has doubled. These positions do not depend on how the stream is split. A result is certain once it is the
/// same for a stream that ends at the current position and for one that never ends.
pub(crate) struct Payload {
    opener: Opener,
    retained: Retained,
    /// True if the format is certain. It never changes after that.
    named: bool,
    /// True if the virtual size is certain.
    sized: bool,
    next_evaluation: u64,
    /// The bytes after which an image of unknown format is not followed to its end.
    unknown_after: u64,
    /// The description so far.
    known: Option<ImageInfo>,
    settled: Option<Evaluation>,
}

impl Payload {
    pub(crate) fn new(opener: &Opener) -> Self {
        Self {
            opener: opener.clone(),
            retained: Retained::default(),
            named: false,
            sized: false,
            next_evaluation: HEAD as u64,
            unknown_after: u64::MAX,
            known: None,
            settled: None,
        }
    }

    /// Limits the bytes that are read of an image of unknown format to [`diskimg_core::Limits::probed_bytes`]. The stream is
    /// decompressed: its bytes cost its sender little.
    pub(super) fn limit_unknown(&mut self) {
        self.unknown_after = self.opener.limits.probed_bytes;
    }

    /// Marks the format as certain. An archive recognised it by the head and the length of its member.
    pub(super) fn recognise(&mut self) {
        self.named |= self.opener.format.is_none();
    }

    /// Adds the next bytes. They are ignored once the result is certain.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.settled.is_none() && !rest.is_empty() {
            let most = range::buffer_len(&(self.retained.total()..self.next_evaluation));
            let (now, later) = rest.split_at_checked(most).unwrap_or((rest, &[]));
            self.retained.push(now);
            if self.retained.total() >= self.next_evaluation {
                self.evaluate();
            }
            rest = later;
        }
    }

    /// The state of the probe.
    pub(super) fn state(&self) -> Probed {
        match (&self.settled, self.named) {
            (Some(_), _) => Probed::Done,
            (None, true) => Probed::Format,
            (None, false) => Probed::More,
        }
    }

    /// Returns true if the format is certain.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// Returns true if the virtual size is certain.
    pub(super) fn is_sized(&self) -> bool {
        match &self.settled {
            Some(evaluation) => evaluation.image.is_ok(),
            None => self.sized,
        }
    }

    /// The description of the image so far.
    pub(super) fn known(&self) -> Option<&ImageInfo> {
        match &self.settled {
            Some(evaluation) => evaluation.image.as_ref().ok(),
            None => self.known.as_ref(),
        }
    }

    /// Ends the image, although the stream continues. Returns true if the result is certain and stored whole.
    pub(super) fn end(&mut self) -> bool {
        if self.settled.is_none() {
            self.settle(evaluate(&self.retained, StreamEnd::Here, &self.opener));
        }
        self.settled.is_some()
    }

    /// Ends the stream.
    pub(crate) fn finish(self) -> Evaluation {
        match self.settled {
            Some(evaluation) => evaluation,
            None => evaluate(&self.retained, StreamEnd::Here, &self.opener).with_missing_noted(),
        }
    }

    /// Stores a certain result and drops the retained bytes. A result that is too long is shortened, and its bytes are
    /// retained to return it whole at the end of the stream.
    fn settle(&mut self, mut evaluation: Evaluation) {
        let limit = self.opener.limits.virtual_size;
        evaluation.image = match evaluation.image.map(bounded) {
            Ok(BoundedInfo::Shortened(info)) if self.retained.total() <= limit => {
                self.sized = true;
                self.known = Some(info);
                self.next_evaluation = limit.saturating_add(1);
                return;
            }
            image => image.map(BoundedInfo::into_info),
        };
        self.settled = Some(evaluation.with_missing_noted());
        self.known = None;
        self.retained = Retained::default();
    }

    fn evaluate(&mut self) {
        self.known = None;
        let endless = evaluate(&self.retained, StreamEnd::Unknown, &self.opener);
        for range in &endless.missing {
            // A range that cannot be retained becomes a finding at the end.
            self.retained.request(range);
        }
        let here = evaluate(&self.retained, StreamEnd::Here, &self.opener);
        self.named |= endless.named.is_some() && endless.named == here.named;
        let limit = self.opener.limits.virtual_size;
        let total = self.retained.total();
        let coming = self.retained.coming().filter(|_| total <= limit);
        // No image is longer than the largest disk, but a stream of zeros may be.
        if total > limit || coming.is_none() && !endless.awaits_trailer && endless.agrees(&here) {
            self.settle(here);
            return;
        }
        let is_unknown = here.image.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnknownFormat);
        let most = if is_unknown { self.unknown_after } else { u64::MAX };
        if total >= most {
            let unknown = not_determined(total);
            self.settle(Evaluation { image: Err(unknown), ..here });
            return;
        }
        self.sized |= coming.is_none() && endless.settles_size(&here);
        let known = match self.sized || coming.is_some() {
            true => endless.image.or(here.image),
            false => here.image.or(endless.image),
        };
        self.known = known.ok().map(|info| bounded(info).into_info());
        let next = coming.unwrap_or(total.saturating_mul(2));
        self.next_evaluation = next.min(limit.saturating_add(1)).min(most);
    }
}

/// The error for an image whose first `bytes` bytes have no known format, and whose end was not read.
fn not_determined(bytes: u64) -> Error {
    let limit = LimitKind::ProbedBytes;
    Error::new(ErrorKind::UnknownFormat)
        .because(format_args!(
            "unknown, size not determined: no image format is recognised in the first {bytes} decompressed bytes (limit {limit})"
        ))
        .at_limit(limit)
        .with_remedy(Remedy::AllowRaw)
}
