//! Taking the disk out of an OVA that is pushed.

use diskimg_core::{Result, Verdict};

use super::choice::{Choice, Met};
use super::tar::{BLOCK_LEN, Member};
use super::walker::{Passing, Walker};
use super::{ArchivedDisk, probe};
use crate::opener::Opener;
use crate::sniff::{HEAD, Sniffed, sniff_head};

/// What comes out.
pub(crate) enum Piece<'a> {
    /// The disk begins that is meant, as far as is known.
    Disk(ArchivedDisk),
    /// The next bytes of it; or of a stream that is no OVA.
    Bytes(&'a [u8]),
    /// All bytes of the disk have come.
    End,
    /// Another disk begins, and it is not clear any more which is meant. No more bytes come.
    Unclear(&'a Choice),
}

/// Takes what unpacking yields, in order.
pub(crate) type Out<'a> = &'a mut dyn FnMut(Piece<'_>) -> Result<()>;

/// Hands on the one disk that is meant in an OVA, and a stream that is none as it is.
pub(crate) struct Unpacker {
    state: State,
    wanted: Option<String>,
}

enum State {
    /// Too few bytes to tell.
    Start(Vec<u8>),
    Plain,
    Archive(Box<Walker>, Search),
}

impl Unpacker {
    /// The front of a stream, unpacked if `opener` wants it.
    pub(crate) fn new(opener: &Opener) -> Self {
        let state = if opener.unpacks() { State::Start(Vec::new()) } else { State::Plain };
        Self { state, wanted: opener.member.clone() }
    }

    /// Whether the stream is an archive, once that is known.
    pub(crate) fn is_archive(&self) -> bool {
        matches!(self.state, State::Archive(..))
    }

    /// Whether all of an archive has passed.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(&self.state, State::Archive(walker, _) if walker.has_ended())
    }

    /// Takes the next bytes of the stream; the cut points change nothing.
    ///
    /// # Errors
    /// What is wrong with the archive, and what `out` gives. It takes no more then.
    pub(crate) fn push(&mut self, bytes: &[u8], out: Out<'_>) -> Result<()> {
        let State::Start(start) = &mut self.state else { return self.forward(bytes, out) };
        let missing = BLOCK_LEN.saturating_sub(start.len());
        let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        start.extend_from_slice(taken);
        match probe(start) {
            Verdict::NeedBytes(_) => return Ok(()),
            verdict => self.settle(verdict, out)?,
        }
        self.forward(rest, out)
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] for an archive that was cut; as [`Choice::check`]; what `out` gives.
    pub(crate) fn finish(&mut self, out: Out<'_>) -> Result<()> {
        self.settle(Verdict::No, out)?;
        match &self.state {
            State::Archive(walker, search) => {
                walker.finish()?;
                search.choice.check()
            }
            _ => Ok(()),
        }
    }

    /// It is certain what the stream is: passes on the first bytes.
    fn settle(&mut self, verdict: Verdict, out: Out<'_>) -> Result<()> {
        let State::Start(start) = &mut self.state else { return Ok(()) };
        let start = std::mem::take(start);
        self.state = match verdict {
            Verdict::Yes => State::Archive(Box::default(), Search::new(self.wanted.as_deref())),
            _ => State::Plain,
        };
        self.forward(&start, out)
    }

    fn forward(&mut self, bytes: &[u8], out: Out<'_>) -> Result<()> {
        match &mut self.state {
            State::Archive(walker, search) => walker.push(bytes, &mut |passing| search.take(passing, out)),
            _ if bytes.is_empty() => Ok(()),
            _ => out(Piece::Bytes(bytes)),
        }
    }
}

/// Looks for the disk among the files that pass.
struct Search {
    choice: Choice,
    file: File,
}

/// The file that passes.
enum File {
    /// Its first bytes, which tell whether it is a disk.
    Head(Member, Vec<u8>),
    /// The disk that is meant, and how many of its bytes are still to come.
    Disk(u64),
    /// None that is wanted.
    Other,
}

impl Search {
    fn new(wanted: Option<&str>) -> Self {
        Self { choice: Choice::new(wanted), file: File::Other }
    }

    fn take(&mut self, passing: Passing<'_>, out: Out<'_>) -> Result<()> {
        let bytes = match passing {
            Passing::Member(member) => {
                self.file = File::Head(member, Vec::new());
                return Ok(());
            }
            Passing::Bytes(bytes) => bytes,
        };
        let File::Head(member, head) = &mut self.file else { return self.forward(bytes, out) };
        let size = member.range.end.saturating_sub(member.range.start);
        let whole = usize::try_from(size).unwrap_or(HEAD).min(HEAD);
        let missing = whole.saturating_sub(head.len());
        let (now, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        head.extend_from_slice(now);
        if head.len() < whole {
            return Ok(());
        }
        self.judge(size, out)?;
        self.forward(rest, out)
    }

    /// The first bytes of a file of this size are there: decides whether it is the disk.
    fn judge(&mut self, size: u64, out: Out<'_>) -> Result<()> {
        let File::Head(member, head) = std::mem::replace(&mut self.file, File::Other) else { return Ok(()) };
        let Ok(Sniffed::Image(format)) = sniff_head(&head, Some(size)) else { return Ok(()) };
        match self.choice.meet(&member.name) {
            Met::Meant => {
                self.file = File::Disk(size);
                out(Piece::Disk(ArchivedDisk { name: member.name, range: member.range, format }))?;
                self.forward(&head, out)
            }
            Met::Unclear => out(Piece::Unclear(&self.choice)),
            Met::Other => Ok(()),
        }
    }

    fn forward(&mut self, bytes: &[u8], out: Out<'_>) -> Result<()> {
        let File::Disk(left) = &mut self.file else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        *left = left.saturating_sub(bytes.len() as u64);
        let has_ended = *left == 0;
        out(Piece::Bytes(bytes))?;
        if has_ended { out(Piece::End) } else { Ok(()) }
    }
}
