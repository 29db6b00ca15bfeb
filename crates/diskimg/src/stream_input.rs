//! Images that are streamed: read once, in order.

use std::io::Read;
use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{
    BlockSource, Driver, Error, ErrorKind, Format, Image, LimitKind, NullSink, Progress, Reference, Result,
    SinkProperties, StreamDecoder, WriteOrder,
};

use crate::archive::{ArchiveMember, Conclusion, DiskReader, VerifiedReader, opens};
use crate::byte_stream::{SourceReader, read_full};
use crate::disk::Disk;
use crate::finding_log::FindingLog;
use crate::host_id::HostId;
use crate::opener::Opener;
use crate::probe::{inspect_head, longer_head};
use crate::sniff::{FileParts, HEAD};
use crate::spool::{TemporarySpillFile, spool};
use crate::stoppable::StoppableReader;
use crate::wrappers::{decompress_reader, least_size};

/// The bytes of a compressed stream that may record the decompressed size: the longest frame header of zstd
/// (RFC 8878, section 3.1.1.1).
const SIZE_HEAD: usize = 18;

/// A streamed image whose head is read and whose format is known. From an archive, it is the disk inside; a second
/// disk is detected only at the end of the archive and is an error then.
///
/// ```
/// use diskimg::{BlockSource, Opener};
/// let mut opener = Opener::new();
/// opener.allow_raw = true;
/// let input = opener.stream(std::io::Cursor::new(vec![7; 100_000]))?;
/// assert_eq!(input.format().name(), "raw");
/// assert_eq!(input.into_disk(&())?.size(), 100_000);
/// # Ok::<(), diskimg::Error>(())
/// ```
pub struct StreamInput {
    opener: Opener,
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    driver: &'static Driver,
    wrapper: Option<Wrapper>,
    archive: Option<ArchiveMember>,
    /// Receives the findings about the stream until its end.
    findings: FindingLog,
    /// The compressed file that the stream is read from.
    pub(crate) origin: Option<HostId>,
    /// The least number of decompressed bytes, if the head of the compressed stream records it.
    least_size: Option<u64>,
}

impl StreamInput {
    /// Reads the head, decompresses the stream if it is compressed, and recognises the format.
    pub(crate) fn new(stream: Box<dyn Read + Send>, opener: &Opener) -> Result<Self> {
        let mut stream: Box<dyn Read + Send> = Box::new(StoppableReader::new(stream, opener.cancel.as_ref()));
        let head = read_head(&mut stream)?;
        let wrapper = if opener.decompress { Wrapper::recognise(&head) } else { None };
        match wrapper {
            Some(wrapper) => Self::compressed(std::io::Cursor::new(head).chain(stream), wrapper, opener),
            None => Self::plain(head, stream, None, opener, FindingLog::default()),
        }
    }

    /// Reads the image in a stream that is compressed in this way.
    pub(crate) fn compressed(
        mut stream: impl Read + Send + 'static,
        wrapper: Wrapper,
        opener: &Opener,
    ) -> Result<Self> {
        let findings = FindingLog::default();
        let mut start = vec![0; SIZE_HEAD];
        let len = read_full(&mut stream, &mut start)?;
        start.truncate(len);
        let least_size = least_size(wrapper, &start);
        let stream = std::io::Cursor::new(start).chain(stream);
        let mut decoded = decompress_reader(stream, wrapper, opener, &findings)?;
        let head = read_head(&mut decoded)?;
        let input = Self::plain(head, decoded, Some(wrapper), opener, findings)?;
        Ok(Self { least_size: least_size.filter(|_| input.archive.is_none()), ..input })
    }

    fn plain(
        head: Vec<u8>,
        rest: Box<dyn Read + Send>,
        wrapper: Option<Wrapper>,
        opener: &Opener,
        findings: FindingLog,
    ) -> Result<Self> {
        if opens(&head, opener) {
            return Self::archived(std::io::Cursor::new(head).chain(rest), wrapper, opener, findings);
        }
        opener.ensure_no_member()?;
        let size = if head.len() < HEAD { Some(head.len() as u64) } else { None };
        let driver = opener.driver_for(FileParts::of_head(&head, size))?;
        let (opener, archive, origin, least_size) = (opener.clone(), None, None, None);
        Self { opener, head, rest, driver, wrapper, archive, findings, origin, least_size }.with_whole_head()
    }

    /// Reads the compressed disk of an archive with random access.
    pub(crate) fn compressed_member(
        member: impl BlockSource + 'static,
        conclusion: Conclusion,
        opener: &Opener,
    ) -> Result<Self> {
        let archive = conclusion.member.clone();
        let wrapper = archive.wrapper.ok_or_else(|| Error::new(ErrorKind::Internal))?;
        let digests = if opener.verify { conclusion.digests.clone() } else { Vec::new() };
        let stored = VerifiedReader::new(SourceReader::new(member), digests);
        let findings = FindingLog::default();
        findings.add_late(move |virtual_size| conclusion.findings(virtual_size));
        let mut decoded = decompress_reader(stored, wrapper, opener, &findings)?;
        let head = read_head(&mut decoded)?;
        let input = Self::plain(head, decoded, None, &opener.inside_archive(), findings)?;
        Ok(Self { archive: Some(archive), ..input })
    }

    /// Reads the disk of an archive.
    fn archived(
        archive: impl Read + Send + 'static,
        wrapper: Option<Wrapper>,
        opener: &Opener,
        findings: FindingLog,
    ) -> Result<Self> {
        let mut stored = DiskReader::new(archive, opener, findings.clone());
        let disk = stored.find_disk()?;
        let mut rest: Box<dyn Read + Send> = match disk.wrapper {
            Some(wrapper) => decompress_reader(stored, wrapper, opener, &findings)?,
            None => Box::new(stored),
        };
        // The length of the member may have shown the format, which the head alone does not.
        let inside = Opener { format: opener.format.or(disk.format), ..opener.inside_archive() };
        let input = Self::plain(read_head(&mut rest)?, rest, wrapper, &inside, findings)?;
        Ok(Self { archive: Some(disk.in_archive()), ..input })
    }

    /// Declares the file that the stream is read from. [`StreamInput::convert_to`] then refuses to overwrite it.
    #[must_use]
    pub fn read_from(mut self, file: &std::fs::Metadata) -> Self {
        self.origin = HostId::of(file);
        self
    }

    /// Extends the head until it contains the names of all files that the image needs.
    fn with_whole_head(mut self) -> Result<Self> {
        let mut ended = self.head.len() < HEAD;
        while let Some(more) = more_of_head(&self.opener, self.driver, &self.head).filter(|_| !ended) {
            let mut bytes = vec![0; more];
            let len = read_full(&mut self.rest, &mut bytes)?;
            self.head.extend_from_slice(bytes.get(..len).unwrap_or_default());
            ended = len < more;
        }
        Ok(self)
    }

    /// The format of the image inside any compression.
    #[must_use]
    pub fn format(&self) -> Format {
        self.driver.format
    }

    /// The compression of the stream, if any.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.wrapper
    }

    /// The name of the disk's member in a streamed archive; not yet escaped for a terminal.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.archive.as_ref().map(|archive| archive.name.as_str())
    }

    /// The member of an archive that the image is read from, if any. The archive counts as `tar` unless its OVF descriptor
    /// precedes the disk.
    #[must_use]
    pub fn archive(&self) -> Option<&ArchiveMember> {
        self.archive.as_ref()
    }

    /// The head of the image: 68 KiB, or up to 2112 KiB if its references are recorded after that.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The virtual size of the disk in bytes, if the head records it.
    pub(crate) fn virtual_size(&self) -> Option<u64> {
        // The size of a snapshot is not in the head.
        if self.driver.format == diskimg_raw::DRIVER.format || self.opener.snapshot.is_some() {
            return None;
        }
        inspect_head(&pinned(&self.opener, self.driver), &self.head).ok().map(|info| info.virtual_size)
    }

    /// The least virtual size of the disk in bytes, as far as the heads of the image and of its compression record it.
    pub(crate) fn least_virtual_size(&self) -> Option<u64> {
        let is_raw = self.driver.format == diskimg_raw::DRIVER.format;
        self.virtual_size().or(self.least_size.filter(|_| is_raw))
    }

    /// The size of the disk in bytes that the GPT of a raw disk records, if its head has one. The disk may be longer.
    pub(crate) fn gpt_size(&self) -> Option<u64> {
        let is_raw = self.driver.format == diskimg_raw::DRIVER.format;
        diskimg_raw::gpt_disk_size(&self.head).filter(|_| is_raw)
    }

    /// True if the image can be converted in one pass to a raw target of this order, as far as the head shows. Otherwise
    /// [`StreamInput::convert_to`] stores it in a temporary file first.
    #[must_use]
    pub fn streams(&self, order: WriteOrder) -> bool {
        one_pass(&self.opener, self.driver, &self.head, order).is_ok_and(|decoder| decoder.is_some())
    }

    /// Stores the whole image in a temporary file, as [`Opener::spool`] allows, and opens it there. Reports the
    /// decompressed bytes to `progress` as they are read.
    ///
    /// # Errors
    /// [`Cancelled`](ErrorKind::Cancelled) if `progress` stops it; [`NeedsSeek`](ErrorKind::NeedsSeek) if temporary
    /// files are disabled; [`Limit`](ErrorKind::Limit) if the image is too large; errors of the resolver for files
    /// that the image needs; otherwise as [`Opener::open`].
    pub fn into_disk(self, progress: &dyn Progress) -> Result<Disk> {
        check_references(&self.opener, self.driver, &self.head)?;
        let (opener, wrapper, archive) = (self.opener.clone(), self.wrapper, self.archive.clone());
        let origin = self.origin;
        let (file, log) = self.into_file(progress)?;
        let mut disk = opener.open_image(&file, wrapper, archive)?;
        disk.add_findings(log.findings(disk.info().virtual_size));
        opener.accept(disk.info().format, &disk.findings())?;
        disk.origin = origin;
        Ok(disk)
    }

    /// Stores the whole image in a temporary file. Returns it and the findings about the stream.
    pub(crate) fn into_file(mut self, progress: &dyn Progress) -> Result<(Arc<dyn BlockSource>, FindingLog)> {
        let limit = self.opener.limits.virtual_size;
        let file = spool(&self.opener.spool, &self.head, &mut self.rest, limit, progress)?;
        Ok((Arc::new(file), self.findings))
    }

    /// The opener of the image inside any compression and archive.
    pub(crate) fn opener(&self) -> &Opener {
        &self.opener
    }

    /// The opener, the compression, all bytes of the image, and the findings, which are complete once all bytes are read.
    pub(crate) fn into_parts(self) -> (Opener, Option<Wrapper>, impl Read + Send, FindingLog) {
        (self.opener, self.wrapper, std::io::Cursor::new(self.head).chain(self.rest), self.findings)
    }
}

/// The decoder that converts an image with this head in one pass to a sink of this order; `None` if the image must
/// be stored first.
///
/// # Errors
/// Errors of the resolver for files that the image needs. Storing the image would not help then.
pub(crate) fn one_pass(
    opener: &Opener,
    driver: &Driver,
    head: &[u8],
    order: WriteOrder,
) -> Result<Option<Box<dyn StreamDecoder>>> {
    let references = check_references(opener, driver, head)?;
    let (Some(stream), None, []) = (driver.stream, &opener.snapshot, references.as_slice()) else {
        return Ok(None);
    };
    let mut decoder = stream(&opener.limits)?;
    let in_order = order == WriteOrder::Any || decoder.ascends();
    if !in_order || !accepts_head(stream(&opener.limits)?, head, order) {
        return Ok(None);
    }
    if let Some(spill) = TemporarySpillFile::new(&opener.spool) {
        decoder.use_spill_file(Box::new(spill));
    }
    Ok(Some(decoder))
}

/// True if a new decoder accepts the head. Only some layouts of a format can be decoded in order.
fn accepts_head(mut decoder: Box<dyn StreamDecoder>, head: &[u8], order: WriteOrder) -> bool {
    let sink = NullSink(SinkProperties { order, ..SinkProperties::default() });
    let refuses = |error: &Error| matches!(error.kind(), ErrorKind::NeedsSeek | ErrorKind::UnknownFormat);
    !decoder.push(head, &sink).is_err_and(|error| refuses(&error))
}

/// The number of bytes missing from the head to find the names of all files that the image needs.
pub(crate) fn more_of_head(opener: &Opener, driver: &Driver, head: &[u8]) -> Option<usize> {
    longer_head(&pinned(opener, driver), head)?.checked_sub(head.len())
}

fn pinned(opener: &Opener, driver: &Driver) -> Opener {
    Opener { format: Some(driver.format), ..opener.clone() }
}

/// The files that the image needs, as far as the head shows. Fails unless the resolver allows all of them.
fn check_references(opener: &Opener, driver: &Driver, head: &[u8]) -> Result<Vec<Reference>> {
    let info = match inspect_head(&pinned(opener, driver), head) {
        Ok(info) => info,
        Err(error) if error.limit() == Some(LimitKind::VirtualSize) => return Err(error),
        Err(_) => return Ok(Vec::new()),
    };
    if !info.references.iter().any(|reference| reference.role.is_below()) {
        opener.check_parents_used(0, &info)?;
    }
    info.check_whole(opener.allow_part)?;
    let references = info.references;
    // A given parent replaces the first reference below; extents are only found by name.
    let given = |reference: &&Reference| reference.role.is_below() && !opener.parents.is_empty();
    for reference in references.iter().filter(|reference| !given(reference)) {
        opener.resolver.resolve(reference)?;
    }
    Ok(references)
}

fn read_head(stream: &mut dyn Read) -> Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let len = read_full(stream, &mut head)?;
    head.truncate(len);
    Ok(head)
}
