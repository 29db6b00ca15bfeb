//! The image inside a stream: when it is looked at, and when enough is known.

use diskimg_core::{ImageInfo, Probed};

use super::bounded_info::{Bounded, bounded};
use super::evaluate::{End, Judgement, judge};
use super::retained::Kept;
use crate::opener::Opener;
use crate::sniff::HEAD;

/// The unwrapped bytes of a stream.
///
/// It is looked at when the head is there, when all is there that a format asked for, and then whenever the
/// stream has doubled. These places do not depend on how the bytes were cut. An answer, or a part of it, is certain
/// once it is the same for a stream that ends here and for one that never does: every size in between lies between
/// the two.
pub(super) struct Payload {
    opener: Opener,
    kept: Kept,
    /// Whether the format is certain. It is never taken back.
    named: bool,
    /// Whether the virtual size is.
    sized: bool,
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
            named: false,
            sized: false,
            next_look: HEAD as u64,
            known: None,
            settled: None,
        }
    }

    /// What comes was recognised by its first bytes and its length.
    pub(super) fn recognise(&mut self) {
        self.named |= self.opener.format.is_none();
    }

    /// Takes the next bytes, until the answer is certain.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.settled.is_none() && !rest.is_empty() {
            let most = self.next_look.saturating_sub(self.kept.total());
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_checked(most).unwrap_or((rest, &[]));
            self.kept.push(now);
            if self.kept.total() >= self.next_look {
                self.look();
            }
            rest = later;
        }
    }

    /// What is certain.
    pub(super) fn state(&self) -> Probed {
        match (&self.settled, self.named) {
            (Some(_), _) => Probed::Done,
            (None, true) => Probed::Format,
            (None, false) => Probed::More,
        }
    }

    /// Whether the format is certain.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// Whether the virtual size is certain.
    pub(super) fn is_sized(&self) -> bool {
        match &self.settled {
            Some(judgement) => judgement.image.is_ok(),
            None => self.sized,
        }
    }

    /// What the image says about itself, as far as is known.
    pub(super) fn known(&self) -> Option<&ImageInfo> {
        match &self.settled {
            Some(judgement) => judgement.image.as_ref().ok(),
            None => self.known.as_ref(),
        }
    }

    /// The image ends here, whatever follows in the stream; whether all that is told of it is kept.
    pub(super) fn end(&mut self) -> bool {
        if self.settled.is_none() {
            self.settle(judge(&self.kept, End::Here, &self.opener));
        }
        self.settled.is_some()
    }

    /// The stream has ended, or nothing more of it is wanted.
    pub(super) fn finish(self) -> Judgement {
        match self.settled {
            Some(judgement) => judgement,
            None => judge(&self.kept, End::Here, &self.opener).noted(),
        }
    }

    /// Nothing can change what is said, and what was kept to say it is not needed any more. Unless it is too long to
    /// be kept: then it is told in short, and in full at the end if there is one.
    fn settle(&mut self, mut judgement: Judgement) {
        let limit = self.opener.limits.virtual_size;
        judgement.image = match judgement.image.map(bounded) {
            Ok(Bounded::Cut(info)) if self.kept.total() <= limit => {
                self.sized = true;
                self.known = Some(info);
                self.next_look = limit.saturating_add(1);
                return;
            }
            image => image.map(Bounded::into_info),
        };
        self.settled = Some(judgement.noted());
        self.known = None;
        self.kept = Kept::default();
    }

    fn look(&mut self) {
        self.known = None;
        let endless = judge(&self.kept, End::Unknown, &self.opener);
        for range in &endless.missing {
            // What cannot be kept is told of at the end.
            self.kept.want(range);
        }
        let here = judge(&self.kept, End::Here, &self.opener);
        self.named |= endless.named.is_some() && endless.named == here.named;
        let limit = self.opener.limits.virtual_size;
        let total = self.kept.total();
        let coming = self.kept.coming().filter(|_| total <= limit);
        // No image is longer than the largest disk, and a stream of zeros could be.
        if total > limit || coming.is_none() && !endless.awaits_trailer && endless.agrees(&here) {
            self.settle(here);
            return;
        }
        self.sized |= coming.is_none() && endless.settles_size(&here);
        let known = match self.sized || coming.is_some() {
            true => endless.image.or(here.image),
            false => here.image.or(endless.image),
        };
        self.known = known.ok().map(|info| bounded(info).into_info());
        let next = coming.unwrap_or(total.saturating_mul(2));
        self.next_look = next.min(limit.saturating_add(1));
    }
}
