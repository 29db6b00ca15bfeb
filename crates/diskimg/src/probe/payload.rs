//! The image inside a stream: when it is looked at, and when enough is known.

use diskimg_core::{Format, FormatProber, ImageInfo, Probed};

use super::judge::{End, Judgement, judge};
use super::kept::Kept;
use crate::drivers::drivers;
use crate::open::Opener;
use crate::sniff::HEAD;

/// The unwrapped bytes of a stream.
///
/// It is looked at when the head is there, when all is there that a format asked for, and then whenever the
/// stream has doubled. These places do not depend on how the bytes were cut. The answer is certain once it is
/// the same for a stream that ends here and for one that never does: every size in between lies between the
/// two.
pub(super) struct Payload {
    opener: Opener,
    kept: Kept,
    formats: FormatProber,
    recognised: bool,
    next_look: u64,
    /// What is known so far.
    known: Option<ImageInfo>,
    settled: Option<Judgement>,
}

impl Payload {
    pub(super) fn new(opener: &Opener) -> Self {
        Self {
            opener: opener.clone(),
            kept: Kept::default(),
            formats: FormatProber::new(drivers()),
            recognised: opener.format.is_some(),
            next_look: HEAD as u64,
            known: None,
            settled: None,
        }
    }

    /// Takes the next bytes, until the answer is certain.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.settled.is_none() && !rest.is_empty() {
            let most = self.next_look.saturating_sub(self.kept.total());
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_checked(most).unwrap_or((rest, &[]));
            if self.kept.head().len() < HEAD {
                self.formats.push(now);
                self.recognised |= !self.formats.formats().is_empty();
            }
            self.kept.push(now);
            if self.kept.head().len() == HEAD {
                // It has said all it can, and has a head of its own.
                self.formats = FormatProber::new(&[]);
            }
            if self.kept.total() >= self.next_look {
                self.look();
            }
            rest = later;
        }
    }

    /// What is certain.
    pub(super) fn state(&self) -> Probed {
        match (&self.settled, self.recognised) {
            (Some(_), _) => Probed::Done,
            (None, true) => Probed::Format,
            (None, false) => Probed::More,
        }
    }

    /// The format, from the moment it is recognised; `None` while several are.
    pub(super) fn format(&self) -> Option<Format> {
        let recognised = match (self.opener.format, self.formats.formats()) {
            (Some(format), _) => Some(format),
            (None, [one]) => Some(*one),
            (None, _) => None,
        };
        match &self.settled {
            Some(judgement) => judgement.image.as_ref().ok().map(|info| info.format),
            None => self.known().map(|info| info.format).or(recognised),
        }
    }

    /// What the image says about itself, as far as is known.
    pub(super) fn known(&self) -> Option<&ImageInfo> {
        match &self.settled {
            Some(judgement) => judgement.image.as_ref().ok(),
            None => self.known.as_ref(),
        }
    }

    /// The stream has ended, or nothing more of it is wanted.
    pub(super) fn finish(self) -> Judgement {
        match self.settled {
            Some(judgement) => judgement,
            None => judge(&self.kept, End::Here, &self.opener).noted(),
        }
    }

    fn look(&mut self) {
        let endless = judge(&self.kept, End::Unknown, &self.opener);
        for range in &endless.missing {
            // What cannot be kept is told of at the end.
            self.kept.want(range);
        }
        let here = judge(&self.kept, End::Here, &self.opener);
        self.recognised = endless.image.is_ok() || here.image.is_ok();
        let limit = self.opener.limits.virtual_size;
        let total = self.kept.total();
        if let Some(coming) = self.kept.coming().filter(|_| total <= limit) {
            self.known = endless.image.or(here.image).ok();
            self.next_look = coming.min(limit.saturating_add(1));
            return;
        }
        // No image is longer than the largest disk, and a stream of zeros could be.
        if endless.agrees(&here) || total > limit {
            self.settled = Some(here.noted());
            return;
        }
        self.known = here.image.or(endless.image).ok();
        self.next_look = total.saturating_mul(2);
        if total <= limit {
            self.next_look = self.next_look.min(limit.saturating_add(1));
        }
    }
}
