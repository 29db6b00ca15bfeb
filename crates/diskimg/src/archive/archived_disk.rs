//! The disk of an archive with random access.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use diskimg_core::{BlockSource, Error, ErrorKind, Result, range};

use super::catalog::{Catalog, MAX_TEXT};
use super::conclusion::Conclusion;
use super::manifest::{ManifestDigest, MemberHasher};
use super::member_kind::MemberKind;
use super::member_source::MemberSource;
use super::members::{ListedMember, for_each_member};
use super::names::NamedRole;
use super::recognise::is_opened;
use crate::byte_stream::{SourceReader, read_full};
use crate::opener::Opener;
use crate::resolve::ReadAlone;
use crate::sniff::{FileEnds, FileParts, HEAD, ensure_only_archive};
use crate::wrappers::decompress_prefix;

/// The disk of an archive with random access.
pub(crate) struct ArchivedDisk<S> {
    /// Its bytes, which may be compressed.
    pub(crate) source: MemberSource<S>,
    pub(crate) conclusion: Conclusion,
}

impl Opener {
    /// Returns the selected disk of an archive: the only one, or the one that [`Opener::member`] names. `None` if the
    /// source is not opened as an archive.
    ///
    /// # Errors
    /// Defects of the archive; as [`Catalog::conclude`]; [`ErrorKind::InvalidInput`] if a member is requested and the
    /// source is no archive.
    pub(crate) fn archived_in<S: BlockSource>(&self, source: S) -> Result<Option<ArchivedDisk<S>>> {
        if !is_opened(&source, self)? {
            return self.ensure_no_member().map(|()| None);
        }
        let mut catalog = Catalog::new(self.member.as_deref());
        let listed = for_each_member(&source, |listed| {
            match listed {
                ListedMember::Refused(member) => catalog.refused(member)?,
                ListedMember::File(member) => {
                    let name = member.name.clone();
                    let size = member.size();
                    catalog.begin(&member);
                    let bytes = MemberSource::new(&source, member)?;
                    let role = NamedRole::of(&name);
                    if role != NamedRole::Other {
                        catalog.text(role, &name, self.text_of(&bytes)?.as_deref());
                    }
                    let kind = self.kind_of(&bytes)?;
                    catalog.add(&name, kind);
                    if kind == MemberKind::Other {
                        catalog.unrecognised(&name, size, self.wrapper_of(&bytes)?.is_some());
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        let end = listed.map_err(|error| catalog.or_no_disk(error))?;
        if self.format.is_none() {
            let mut head = vec![0; usize::try_from(end).unwrap_or(HEAD).min(HEAD)];
            source.read_at(0, &mut head)?;
            ensure_only_archive(&head, &self.drivers)?;
        }
        self.disk_of(source, &catalog).map(Some)
    }

    /// Returns the disk that the catalog of an archive chooses.
    fn disk_of<S: BlockSource>(&self, source: S, catalog: &Catalog) -> Result<ArchivedDisk<S>> {
        let conclusion = catalog.conclude()?;
        let mut found = None;
        for_each_member(&source, |listed| match listed {
            ListedMember::File(member) if catalog.ids.of(&member.name) == conclusion.id => {
                found = Some(member);
                Ok(ControlFlow::Break(()))
            }
            _ => Ok(ControlFlow::Continue(())),
        })?;
        let changed = || Error::new(ErrorKind::Corrupt).because("the archive has changed while it was read");
        let member = found.ok_or_else(|| changed().format(catalog.format()))?;
        let name = member.name.clone();
        let source = MemberSource::new(source, member)?;
        let wrapper = self.wrapper_of(&source)?;
        Ok(ArchivedDisk { source, conclusion: conclusion.with_member(&name, wrapper) })
    }

    /// Checks that no member is requested of a source that is no archive.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`].
    pub(crate) fn ensure_no_member(&self) -> Result<()> {
        match &self.member {
            Some(name) if !self.is_inside_archive => Err(Error::new(ErrorKind::InvalidInput)
                .field("member")
                .found(format_args!("'{}'", name.escape_debug()))
                .expected("none, because the file is no archive")),
            _ => Ok(()),
        }
    }

    /// Reads the text of a descriptor or manifest. `None` if it is too long.
    fn text_of(&self, member: &dyn BlockSource) -> Result<Option<Vec<u8>>> {
        if member.size() > self.longest_text() {
            return Ok(None);
        }
        let mut text = vec![0; range::buffer_len(&(0..member.size()))];
        member.read_at(0, &mut text)?;
        Ok(Some(text))
    }

    /// The longest descriptor or manifest that is read, in bytes.
    pub(super) fn longest_text(&self) -> u64 {
        MAX_TEXT.min(self.limits.header_bytes)
    }

    /// The kind of a member by its first bytes, decompressed if they are compressed, and its last ones.
    fn kind_of(&self, member: &dyn BlockSource) -> Result<MemberKind> {
        let Some(wrapper) = self.wrapper_of(member)? else {
            return Ok(MemberKind::of(FileEnds::of(member)?.as_parts(), &self.drivers));
        };
        Ok(match decompress_prefix(&mut SourceReader::new(member), wrapper, HEAD, self) {
            Ok(head) => {
                let size = if head.len() < HEAD { Some(head.len() as u64) } else { None };
                MemberKind::of(FileParts::of_head(&head, size), &self.drivers)
            }
            Err(error) => MemberKind::of_failure(Some(wrapper), &error),
        })
    }

    /// An opener for the bytes of a member, which follows no names in it.
    pub(crate) fn inside_archive(&self) -> Self {
        Self { is_inside_archive: true, resolver: Arc::new(ReadAlone), ..self.clone() }
    }
}

/// Compares the bytes of a member with the digests of the manifest.
pub(crate) struct MemberVerification {
    pub(crate) source: Arc<dyn BlockSource>,
    pub(crate) digests: Vec<ManifestDigest>,
}

/// The size of a read from a member in bytes.
const STEP: usize = 1 << 20;

impl MemberVerification {
    /// Reads the member and compares it, unless `stop` returns true meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for bytes with another digest; [`ErrorKind::Cancelled`] if it is stopped.
    pub(crate) fn run(&self, stop: &dyn Fn() -> bool) -> Result<()> {
        let mut hasher = MemberHasher::of(&self.digests);
        let mut stream = SourceReader::new(&self.source);
        let mut buf = vec![0; STEP];
        loop {
            if stop() {
                return Err(Error::cancelled());
            }
            let len = read_full(&mut stream, &mut buf)?;
            match buf.get(..len).filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => hasher.update(bytes),
                None => return hasher.check(&self.digests),
            }
        }
    }
}

/// A member that is read in order and compared with the digests of the manifest at its end.
pub(crate) struct VerifiedReader<R> {
    stream: R,
    hasher: MemberHasher,
    digests: Vec<ManifestDigest>,
}

impl<R: Read> VerifiedReader<R> {
    pub(crate) fn new(stream: R, digests: Vec<ManifestDigest>) -> Self {
        Self { stream, hasher: MemberHasher::of(&digests), digests }
    }
}

impl<R: Read> Read for VerifiedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = self.stream.read(buf)?;
        match buf.get(..len).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => self.hasher.update(bytes),
            None if buf.is_empty() => {}
            None => self.hasher.check(&self.digests)?,
        }
        Ok(len)
    }
}
