//! The search for the disk among the files of an archive that is pushed.

use diskimg_codec::Wrapper;
use diskimg_core::{Error, ErrorKind, Finding, Format, Remedy, Result, zeros};

use super::archive_member::ArchiveMember;
use super::catalog::{Catalog, DiskMatch};
use super::conclusion::Conclusion;
use super::manifest::MemberHasher;
use super::member_kind::{DiskKind, MemberKind};
use super::names::{MemberId, NamedRole};
use super::tar_header::shown;
use super::tar_stream::StreamedFile;
use crate::decompress::AutoDecompressor;
use crate::foreign_formats::{TRAILER, recognise_trailer};
use crate::opener::{Opener, unsupported};
use crate::sniff::{FileParts, HEAD};
use crate::tail::Tail;

/// A disk in a streamed archive.
#[derive(Clone, Debug)]
pub(crate) struct StreamedDisk {
    /// The name of its member; not yet escaped for a terminal.
    pub(crate) name: String,
    /// The compression of the member.
    pub(crate) wrapper: Option<Wrapper>,
    /// Its format, if it is certain.
    pub(crate) format: Option<Format>,
    /// The kind of the archive so far.
    archive: Format,
}

impl StreamedDisk {
    /// Returns the member. The archive is an OVA if its descriptor precedes the disk.
    pub(crate) fn in_archive(self) -> ArchiveMember {
        ArchiveMember { archive: self.archive, name: self.name, wrapper: self.wrapper }
    }
}

/// The output of an [`super::Unpacker`].
pub(crate) enum Unpacked<'a> {
    /// The selected disk begins. A second disk may make the choice ambiguous later.
    Disk(StreamedDisk),
    /// The next bytes of the disk, or of a stream that is no archive.
    Bytes(&'a [u8]),
    /// The next bytes of the disk are this many zeros. Only with [`MemberForm::Stored`].
    Hole(u64),
    /// The disk has ended.
    End,
    /// A second disk begins, and no name is requested. No more bytes follow.
    Ambiguous(Error),
}

/// The form in which the bytes of the selected member are passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberForm {
    /// As they are in the archive. The holes of a sparse member are passed on as such.
    Stored,
    /// Decompressed if they are compressed, with all zeros.
    Decoded,
}

/// Receives the output, in order.
pub(crate) type UnpackedFn<'a> = &'a mut dyn FnMut(Unpacked<'_>) -> Result<()>;

/// Searches the files of an archive for the disk.
pub(super) struct DiskSearch {
    pub(super) catalog: Catalog,
    opener: Opener,
    form: MemberForm,
    /// True if the disk is compared with the manifest.
    verifies: bool,
    file: Option<CurrentFile>,
    /// The disk that was passed on, and the hash of its member.
    passed: Option<(MemberId, StreamedDisk)>,
    hasher: Option<MemberHasher>,
    /// The findings about the compression of the disk.
    pub(super) compression: Vec<Finding>,
}

/// The file at the current position.
struct CurrentFile {
    name: String,
    size: u64,
    role: NamedRole,
    /// The text of a descriptor or manifest; `None` if it is too long.
    text: Option<Vec<u8>>,
    hasher: Option<MemberHasher>,
    /// The first bytes, which show its compression.
    magic: Vec<u8>,
    /// The stored bytes so far, if they may have to be passed on.
    stored: Option<Vec<u8>>,
    tail: Tail,
    decompressor: Option<Box<AutoDecompressor>>,
    use_of: MemberUse,
    /// True if the decoder was stopped because no more bytes are used.
    stopped: bool,
}

/// The use of the bytes of a file.
enum MemberUse {
    /// The first bytes, which show if it is a disk.
    Head(Vec<u8>),
    /// The selected disk.
    Disk,
    /// A file that its first bytes do not show to be a disk. Its last ones may.
    Unrecognised,
    /// A file that is not selected.
    Ignored,
}

impl CurrentFile {
    fn new(name: String, size: u64, opener: &Opener) -> Self {
        let role = NamedRole::of(&name);
        let is_text = role != NamedRole::Other && size <= opener.longest_text();
        Self {
            name,
            size,
            role,
            text: is_text.then(Vec::new),
            hasher: None,
            magic: Vec::new(),
            stored: None,
            tail: Tail::new(TRAILER),
            decompressor: Some(Box::new(AutoDecompressor::new(opener))),
            use_of: MemberUse::Head(Vec::new()),
            stopped: false,
        }
    }

    /// Adds the next stored bytes.
    fn push(&mut self, bytes: &[u8]) {
        self.hasher.iter_mut().for_each(|hasher| hasher.update(bytes));
        self.text.iter_mut().for_each(|text| text.extend_from_slice(bytes));
        self.stored.iter_mut().for_each(|stored| stored.extend_from_slice(bytes));
        self.tail.push(bytes);
        let missing = Wrapper::HEAD.saturating_sub(self.magic.len());
        self.magic.extend(bytes.iter().take(missing));
    }

    /// Returns true for the selected disk if its stored bytes are passed on.
    fn is_passed_on_stored(&self) -> bool {
        matches!(self.use_of, MemberUse::Disk) && self.decompressor.is_none()
    }

    fn hash_zeros(&mut self, len: u64) {
        let Some(hasher) = &mut self.hasher else { return };
        zeros::pieces(0..len).for_each(|(_, piece)| hasher.update(piece));
    }

    fn is_ignored(&self) -> bool {
        matches!(self.use_of, MemberUse::Ignored | MemberUse::Unrecognised)
    }
}

impl DiskSearch {
    pub(super) fn new(opener: &Opener, form: MemberForm, verifies: bool) -> Self {
        Self {
            form,
            catalog: Catalog::new(opener.member.as_deref()),
            // Another decoder may run at the same time.
            opener: Opener { threads: 1, ..opener.clone() },
            verifies,
            file: None,
            passed: None,
            hasher: None,
            compression: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, file: StreamedFile<'_>, out: UnpackedFn<'_>) -> Result<()> {
        match file {
            StreamedFile::Start(member) => {
                let size = member.size();
                self.catalog.begin(&member);
                let may_select = self.catalog.may_select(&member.name);
                let hasher = (may_select && self.verifies).then(|| self.new_hasher(&member.name));
                let stored = (may_select && self.form == MemberForm::Stored).then(Vec::new);
                let file = CurrentFile::new(member.name, size, &self.opener);
                self.file = Some(CurrentFile { hasher, stored, ..file });
                Ok(())
            }
            StreamedFile::Bytes(bytes) => self.bytes(bytes, out),
            StreamedFile::Hole(len) => self.hole(len, out),
            StreamedFile::End => self.end(out),
            StreamedFile::Refused(member) => self.catalog.refused(member),
        }
    }

    /// A hasher for the digests of a member, or for any digest while the manifest is unknown.
    fn new_hasher(&self, name: &str) -> MemberHasher {
        match &self.catalog.manifest {
            Some(_) => MemberHasher::of(&self.catalog.digests_of(self.catalog.ids.of(name))),
            None => MemberHasher::for_any(),
        }
    }

    /// Passes on zeros that are not stored, as far as they are used.
    fn hole(&mut self, len: u64, out: UnpackedFn<'_>) -> Result<()> {
        let mut left = len;
        while left > 0 {
            if self.file.as_ref().is_none_or(CurrentFile::is_ignored) {
                // Only the last bytes count.
                left = left.min(TRAILER as u64);
            }
            if let Some(file) = self.file.as_mut().filter(|file| file.is_passed_on_stored()) {
                file.hash_zeros(left);
                return out(Unpacked::Hole(left));
            }
            let piece = zeros::up_to(left);
            self.bytes(piece, out)?;
            left = left.saturating_sub(piece.len() as u64);
        }
        Ok(())
    }

    /// Takes the next stored bytes of a file.
    fn bytes(&mut self, bytes: &[u8], out: UnpackedFn<'_>) -> Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        file.push(bytes);
        if file.is_passed_on_stored() {
            self.file = Some(file);
            return out(Unpacked::Bytes(bytes));
        }
        if let Some(mut decompressor) = file.decompressor.take() {
            let pushed = decompressor.push(bytes, &mut |decoded| self.decoded(&mut file, decoded, out));
            self.accept(&mut file, pushed, out)?;
            let is_complete = file.is_ignored()
                || matches!(file.use_of, MemberUse::Disk) && self.form == MemberForm::Stored;
            file.decompressor = Some(decompressor).filter(|_| !is_complete);
        }
        self.file = Some(file);
        Ok(())
    }

    fn end(&mut self, out: UnpackedFn<'_>) -> Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        if let Some(mut decompressor) = file.decompressor.take() {
            let finished = decompressor.finish(&mut |decoded| self.decoded(&mut file, decoded, out));
            self.accept(&mut file, finished, out)?;
            if let MemberUse::Head(head) = &file.use_of {
                let size = Some(head.len() as u64);
                self.evaluate(&mut file, size, out)?;
            }
            if matches!(file.use_of, MemberUse::Disk) {
                self.compression = decompressor.findings();
            }
        }
        if file.role != NamedRole::Other {
            self.catalog.text(file.role, &file.name, file.text.as_deref());
        }
        match file.use_of {
            MemberUse::Disk => {
                self.hasher = file.hasher;
                return out(Unpacked::End);
            }
            MemberUse::Unrecognised => match recognise_trailer(&file.tail.last(TRAILER)) {
                None => self.catalog.unrecognised(&file.name, file.size, false),
                unsupported => {
                    let kind = DiskKind { unsupported, ..DiskKind::default() };
                    self.catalog.add(&file.name, MemberKind::Disk(kind));
                }
            },
            MemberUse::Head(_) | MemberUse::Ignored => {}
        }
        Ok(())
    }

    /// Takes the next bytes of a file, decompressed. Stops the decoder with an error if no more are used.
    fn decoded(&mut self, file: &mut CurrentFile, bytes: &[u8], out: UnpackedFn<'_>) -> Result<()> {
        let mut rest = bytes;
        if let MemberUse::Head(head) = &mut file.use_of {
            let missing = HEAD.saturating_sub(head.len());
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            head.extend_from_slice(now);
            if head.len() < HEAD {
                return Ok(());
            }
            self.evaluate(file, None, out)?;
            rest = later;
        }
        match file.use_of {
            MemberUse::Disk if self.form == MemberForm::Decoded && rest.is_empty() => Ok(()),
            MemberUse::Disk if self.form == MemberForm::Decoded => out(Unpacked::Bytes(rest)),
            _ => {
                file.stopped = true;
                Err(Error::new(ErrorKind::Cancelled))
            }
        }
    }

    /// Accepts the result of a decoder. A file that cannot be decompressed is an error only if it is the disk.
    fn accept(&mut self, file: &mut CurrentFile, result: Result<()>, out: UnpackedFn<'_>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        if file.stopped {
            return Ok(());
        }
        if !matches!(file.use_of, MemberUse::Head(_)) {
            return Err(error);
        }
        file.use_of = MemberUse::Ignored;
        match self.catalog.add(&file.name, MemberKind::of_failure(self.wrapper(file), &error)) {
            DiskMatch::Selected => Err(error),
            DiskMatch::Ambiguous => out(Unpacked::Ambiguous(self.catalog.ambiguous())),
            DiskMatch::Other => Ok(()),
        }
    }

    /// The compression of a file that is decompressed.
    fn wrapper(&self, file: &CurrentFile) -> Option<Wrapper> {
        Wrapper::recognise(&file.magic).filter(|_| self.opener.decompress)
    }

    /// Recognises a file by its head, and passes it on if it is the disk. `size` is its length if it has ended.
    fn evaluate(&mut self, file: &mut CurrentFile, size: Option<u64>, out: UnpackedFn<'_>) -> Result<()> {
        let MemberUse::Head(head) = std::mem::replace(&mut file.use_of, MemberUse::Ignored) else {
            return Ok(());
        };
        let stored = file.stored.take();
        let wrapper = self.wrapper(file);
        let size = if wrapper.is_some() { size } else { Some(file.size) };
        let kind = MemberKind::of(FileParts::of_head(&head, size), &self.opener.drivers);
        match self.catalog.add(&file.name, kind) {
            DiskMatch::Selected => {}
            DiskMatch::Ambiguous => return out(Unpacked::Ambiguous(self.catalog.ambiguous())),
            DiskMatch::Other => {
                match (wrapper, kind) {
                    (None, MemberKind::Other) => file.use_of = MemberUse::Unrecognised,
                    (Some(_), MemberKind::Other) => self.catalog.unrecognised(&file.name, file.size, true),
                    _ => {}
                }
                return Ok(());
            }
        }
        let format = match kind {
            MemberKind::Disk(disk) => disk.format,
            _ => None,
        };
        if let (None, Some(size)) = (format, size) {
            // A sparse member may be of any length.
            self.opener.limits.check_virtual_size(size)?;
        }
        file.use_of = MemberUse::Disk;
        let archive = self.catalog.format();
        let disk = StreamedDisk { name: file.name.clone(), wrapper, format, archive };
        self.passed = Some((self.catalog.ids.of(&file.name), disk.clone()));
        out(Unpacked::Disk(disk))?;
        let first = stored.unwrap_or(head);
        if first.is_empty() { Ok(()) } else { out(Unpacked::Bytes(&first)) }
    }

    /// Chooses the disk when the archive has ended.
    ///
    /// # Errors
    /// As [`Catalog::conclude`]; an error if it is not the disk that was passed on.
    pub(super) fn conclude(&self) -> Result<Conclusion> {
        let conclusion = self.catalog.conclude()?;
        if let Some((id, disk)) = &self.passed {
            if *id == conclusion.id {
                return Ok(conclusion.with_member(&disk.name, disk.wrapper).with_findings(&self.compression));
            }
        }
        let known = self.catalog.disks.iter().find(|disk| disk.id == conclusion.id);
        Err(match known.and_then(|disk| disk.kind.unsupported) {
            Some(format) => unsupported(format),
            None => Error::new(ErrorKind::NeedsSeek)
                .format(self.catalog.format())
                .field("disk")
                .found(format_args!(
                    "'{}', which only its OVF descriptor identifies",
                    shown(&conclusion.member.name)
                ))
                .expected("a descriptor before the disk, in a stream")
                .with_remedy(Remedy::ReadFromFile),
        })
    }

    /// Compares the disk with the manifest.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub(super) fn verify(&self, conclusion: &Conclusion) -> Result<()> {
        self.hasher.as_ref().map_or(Ok(()), |hasher| hasher.check(&conclusion.digests))
    }
}
