//! Extracting the disk from an OVA that is pushed.

use diskimg_core::{Result, Verdict, range};

use super::archived_disk::ArchivedDisk;
use super::disk_choice::{DiskChoice, DiskMatch};
use super::recognise::probe;
use super::tar::{BLOCK_LEN, TarMember};
use super::tar_stream::{StreamedFile, TarStream};
use crate::opener::Opener;
use crate::sniff::{HEAD, Sniffed, sniff_head};

/// The output of an [`Unpacker`].
pub(crate) enum Unpacked<'a> {
    /// The selected disk begins. A second disk may make the choice ambiguous later.
    Disk(ArchivedDisk),
    /// The next bytes of the disk, or of a stream that is no OVA.
    Bytes(&'a [u8]),
    /// The disk has ended.
    End,
    /// A second disk begins, and no name is requested. No more bytes follow.
    Ambiguous(&'a DiskChoice),
}

/// Receives the output of an [`Unpacker`], in order.
pub(crate) type UnpackedFn<'a> = &'a mut dyn FnMut(Unpacked<'_>) -> Result<()>;

/// Extracts the selected disk from an OVA. Any other stream passes through unchanged.
pub(crate) struct Unpacker {
    state: UnpackerState,
    requested: Option<String>,
}

enum UnpackerState {
    /// Too few bytes to recognise an OVA.
    Start(Vec<u8>),
    Plain,
    Archive(Box<TarStream>, DiskSearch),
}

impl Unpacker {
    /// Creates an unpacker, which passes all streams through if `opener` does not unpack.
    pub(crate) fn new(opener: &Opener) -> Self {
        let state = if opener.unpacks() { UnpackerState::Start(Vec::new()) } else { UnpackerState::Plain };
        Self { state, requested: opener.member.clone() }
    }

    /// Returns true once the stream is recognised as an archive.
    pub(crate) fn is_archive(&self) -> bool {
        matches!(self.state, UnpackerState::Archive(..))
    }

    /// Returns true if the stream is an archive and has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(&self.state, UnpackerState::Archive(tar, _) if tar.has_ended())
    }

    /// Reads the next bytes of the stream. The output does not depend on how the stream is split.
    ///
    /// # Errors
    /// Defects of the archive, and errors of `out`. Do not push after an error.
    pub(crate) fn push(&mut self, bytes: &[u8], out: UnpackedFn<'_>) -> Result<()> {
        let UnpackerState::Start(start) = &mut self.state else { return self.forward(bytes, out) };
        let missing = BLOCK_LEN.saturating_sub(start.len());
        let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        start.extend_from_slice(taken);
        match probe(start) {
            Verdict::NeedBytes(_) => return Ok(()),
            verdict => self.settle(verdict, out)?,
        }
        self.forward(rest, out)
    }

    /// Completes the stream.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] for a truncated archive; as [`DiskChoice::check`]; errors of `out`.
    pub(crate) fn finish(&mut self, out: UnpackedFn<'_>) -> Result<()> {
        self.settle(Verdict::No, out)?;
        match &self.state {
            UnpackerState::Archive(tar, search) => {
                tar.finish()?;
                search.choice.check()
            }
            _ => Ok(()),
        }
    }

    /// Sets the kind of the stream and passes on its first bytes.
    fn settle(&mut self, verdict: Verdict, out: UnpackedFn<'_>) -> Result<()> {
        let UnpackerState::Start(start) = &mut self.state else { return Ok(()) };
        let start = std::mem::take(start);
        self.state = match verdict {
            Verdict::Yes => {
                let choice = DiskChoice::new(self.requested.as_deref());
                let search = DiskSearch { choice, file: CurrentFile::Other };
                UnpackerState::Archive(Box::default(), search)
            }
            _ => UnpackerState::Plain,
        };
        self.forward(&start, out)
    }

    fn forward(&mut self, bytes: &[u8], out: UnpackedFn<'_>) -> Result<()> {
        match &mut self.state {
            UnpackerState::Archive(tar, search) => tar.push(bytes, &mut |file| search.push(file, out)),
            _ if bytes.is_empty() => Ok(()),
            _ => out(Unpacked::Bytes(bytes)),
        }
    }
}

/// Searches the files of an archive for the disk.
struct DiskSearch {
    choice: DiskChoice,
    file: CurrentFile,
}

/// The file at the current position.
enum CurrentFile {
    /// Its first bytes, which show whether it is a disk.
    Head(TarMember, Vec<u8>),
    /// The selected disk, and the number of its bytes that follow.
    Disk(u64),
    /// A file that is not selected.
    Other,
}

impl DiskSearch {
    fn push(&mut self, file: StreamedFile<'_>, out: UnpackedFn<'_>) -> Result<()> {
        let bytes = match file {
            StreamedFile::Start(member) => {
                self.file = CurrentFile::Head(member, Vec::new());
                return Ok(());
            }
            StreamedFile::Bytes(bytes) => bytes,
        };
        let CurrentFile::Head(member, head) = &mut self.file else { return self.forward(bytes, out) };
        let size = range::len(&member.range);
        let whole = usize::try_from(size).unwrap_or(HEAD).min(HEAD);
        let missing = whole.saturating_sub(head.len());
        let (now, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        head.extend_from_slice(now);
        if head.len() < whole {
            return Ok(());
        }
        self.evaluate(size, out)?;
        self.forward(rest, out)
    }

    /// Recognises a file of this size by its head, and adds it to the choice if it is a disk.
    fn evaluate(&mut self, size: u64, out: UnpackedFn<'_>) -> Result<()> {
        let CurrentFile::Head(member, head) = std::mem::replace(&mut self.file, CurrentFile::Other) else {
            return Ok(());
        };
        let Ok(Sniffed::Image(format)) = sniff_head(&head, Some(size)) else { return Ok(()) };
        match self.choice.add(&member.name) {
            DiskMatch::Selected => {
                self.file = CurrentFile::Disk(size);
                out(Unpacked::Disk(ArchivedDisk { name: member.name, range: member.range, format }))?;
                self.forward(&head, out)
            }
            DiskMatch::Ambiguous => out(Unpacked::Ambiguous(&self.choice)),
            DiskMatch::Other => Ok(()),
        }
    }

    fn forward(&mut self, bytes: &[u8], out: UnpackedFn<'_>) -> Result<()> {
        let CurrentFile::Disk(left) = &mut self.file else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        *left = left.saturating_sub(bytes.len() as u64);
        let has_ended = *left == 0;
        out(Unpacked::Bytes(bytes))?;
        if has_ended { out(Unpacked::End) } else { Ok(()) }
    }
}
