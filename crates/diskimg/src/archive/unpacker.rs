//! Extracting the disk from an archive that is pushed.

use diskimg_core::{Error, ErrorKind, Result};

use super::conclusion::Conclusion;
use super::disk_search::{DiskSearch, MemberForm, Unpacked, UnpackedFn};
use super::recognise::opens;
use super::tar_header::BLOCK_LEN;
use super::tar_stream::TarStream;
use crate::opener::Opener;
use crate::sniff::{HEAD, ensure_only_archive};

/// Extracts the selected disk from an archive. Any other stream passes through unchanged.
pub(crate) struct Unpacker {
    state: UnpackerState,
    opener: Opener,
    form: MemberForm,
    /// True if the disk is only described: it is not verified, and may be one that must not be read.
    describes: bool,
    conclusion: Option<Conclusion>,
}

enum UnpackerState {
    /// Too few bytes to recognise an archive.
    Start(Vec<u8>),
    Plain,
    Archive(Box<ArchiveStream>),
}

/// An archive that is pushed.
struct ArchiveStream {
    tar: TarStream,
    search: DiskSearch,
    /// The first bytes of the archive.
    head: Vec<u8>,
}

impl Unpacker {
    /// Creates an unpacker for a conversion. It passes all streams through if `opener` does not unpack.
    pub(crate) fn new(opener: &Opener, form: MemberForm) -> Self {
        let state = UnpackerState::Start(Vec::new());
        Self { state, opener: opener.clone(), form, describes: false, conclusion: None }
    }

    /// Creates an unpacker for the description of the disk.
    pub(crate) fn describing(opener: &Opener) -> Self {
        Self { describes: true, ..Self::new(opener, MemberForm::Decoded) }
    }

    /// Returns true once the stream is recognised as an archive.
    pub(crate) fn is_archive(&self) -> bool {
        matches!(self.state, UnpackerState::Archive(_))
    }

    /// Returns true if the stream is an archive and has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(&self.state, UnpackerState::Archive(archive) if archive.tar.has_ended())
    }

    /// The format of the archive, as far as it is known.
    pub(crate) fn archive_format(&self) -> Option<diskimg_core::Format> {
        match &self.state {
            UnpackerState::Archive(archive) => Some(archive.search.catalog.format()),
            _ => None,
        }
    }

    /// The disk of the archive; `None` before [`Unpacker::finish`] and for other streams.
    pub(crate) fn conclusion(&self) -> Option<&Conclusion> {
        self.conclusion.as_ref()
    }

    /// Returns the disk of the archive, once.
    pub(crate) fn take_conclusion(&mut self) -> Option<Conclusion> {
        self.conclusion.take()
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
        if start.len() < BLOCK_LEN && self.opener.unpacks() {
            return Ok(());
        }
        self.settle(out)?;
        self.forward(rest, out)
    }

    /// Completes the stream.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] for a truncated archive; as [`super::Catalog::conclude`]; [`ErrorKind::Corrupt`] for a
    /// disk whose digest in the manifest differs; errors of `out`.
    pub(crate) fn finish(&mut self, out: UnpackedFn<'_>) -> Result<()> {
        self.settle(out)?;
        let UnpackerState::Archive(archive) = &mut self.state else { return Ok(()) };
        archive.tar.finish()?;
        if self.opener.format.is_none() {
            ensure_only_archive(&archive.head, &self.opener.drivers)?;
        }
        let conclusion = archive.search.conclude()?;
        if !self.describes {
            conclusion.check()?;
            archive.search.verify(&conclusion)?;
        }
        self.conclusion = Some(conclusion);
        Ok(())
    }

    /// Sets the kind of the stream and passes on its first bytes.
    fn settle(&mut self, out: UnpackedFn<'_>) -> Result<()> {
        let UnpackerState::Start(start) = &mut self.state else { return Ok(()) };
        let start = std::mem::take(start);
        self.state = if opens(&start, &self.opener) {
            let verifies = self.opener.verify && !self.describes;
            let search = DiskSearch::new(&self.opener, self.form, verifies);
            let (tar, head) = (TarStream::default(), Vec::new());
            UnpackerState::Archive(Box::new(ArchiveStream { tar, search, head }))
        } else {
            self.opener.ensure_no_member()?;
            UnpackerState::Plain
        };
        self.forward(&start, out)
    }

    fn forward(&mut self, bytes: &[u8], out: UnpackedFn<'_>) -> Result<()> {
        match &mut self.state {
            UnpackerState::Archive(archive) => archive.push(bytes, out),
            UnpackerState::Plain if bytes.is_empty() => Ok(()),
            UnpackerState::Plain => out(Unpacked::Bytes(bytes)),
            UnpackerState::Start(_) => Err(Error::new(ErrorKind::Internal)),
        }
    }
}

impl ArchiveStream {
    fn push(&mut self, bytes: &[u8], out: UnpackedFn<'_>) -> Result<()> {
        let before = self.tar.position();
        let Self { tar, search, head } = self;
        let pushed = tar.push(bytes, &mut |file| search.push(file, out));
        // Bytes after the end of the archive are not part of it.
        let used = usize::try_from(tar.position().saturating_sub(before)).unwrap_or(HEAD);
        let used = used.min(HEAD.saturating_sub(head.len())).min(bytes.len());
        head.extend_from_slice(bytes.get(..used).unwrap_or_default());
        pushed.map_err(|error| search.catalog.or_no_disk(error))
    }
}
