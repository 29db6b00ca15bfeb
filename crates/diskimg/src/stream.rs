//! Images that arrive once, in order.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{
    BlockSink, BlockSource, Driver, Error, ErrorKind, Format, Progress, Reference, Result, SinkProperties,
    StreamDecoder, WriteOrder,
};

use crate::archive::{DiskReader, OVA, is_ova};
use crate::disk::Disk;
use crate::drivers::driver_of;
use crate::open::Opener;
use crate::probe::{inspect_head, longer_head};
use crate::sniff::{HEAD, Parts};
use crate::spool::{TemporarySpillFile, spool};

/// An image that arrives once, in order, of which the first bytes are read and the format is known. If an OVA
/// arrives it is the disk inside; that there is no other is known only at the end, and an error by then.
pub struct StreamInput {
    opener: Opener,
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    driver: &'static Driver,
    wrapper: Option<Wrapper>,
    member: Option<String>,
}

impl StreamInput {
    /// Reads the first bytes, unwraps if they say so, and recognises the format.
    pub(crate) fn new(stream: Box<dyn Read + Send>, opener: &Opener) -> Result<Self> {
        let (head, rest) = split_head(stream)?;
        let wrapper = if opener.unwrap { Wrapper::recognise(&head) } else { None };
        match wrapper {
            Some(wrapper) => {
                let whole = std::io::Cursor::new(head).chain(rest);
                Self::decoded(Box::new(opener.decode(whole, wrapper)?), wrapper, opener)
            }
            None => Self::recognised(head, rest, None, opener),
        }
    }

    /// The same for a stream that is already being decoded.
    pub(crate) fn decoded(decoded: Box<dyn Read + Send>, wrapper: Wrapper, opener: &Opener) -> Result<Self> {
        let (head, rest) = split_head(decoded)?;
        Self::recognised(head, rest, Some(wrapper), opener)
    }

    fn recognised(
        head: Vec<u8>,
        rest: Box<dyn Read + Send>,
        wrapper: Option<Wrapper>,
        opener: &Opener,
    ) -> Result<Self> {
        if opener.unpacks() && is_ova(&head) {
            return Self::unpacked(std::io::Cursor::new(head).chain(rest), wrapper, opener);
        }
        let size = if head.len() < HEAD { Some(head.len() as u64) } else { None };
        let driver = opener.driver_for(Parts::of_head(&head, size))?;
        Self { opener: opener.clone(), head, rest, driver, wrapper, member: None }.with_whole_head()
    }

    /// The disk in an OVA, whose format was recognised when it was chosen.
    fn unpacked(
        archive: impl Read + Send + 'static,
        wrapper: Option<Wrapper>,
        opener: &Opener,
    ) -> Result<Self> {
        let mut rest = DiskReader::new(archive, opener);
        let head = read_head(&mut rest)?;
        // Without a disk, reading has failed.
        let disk = rest.disk().ok_or_else(|| Error::new(ErrorKind::Unsupported).format(OVA))?;
        let member = Some(disk.name.clone());
        let format = opener.format.unwrap_or(disk.format);
        let opener = Opener { format: Some(format), ..opener.clone() };
        Self { head, rest: Box::new(rest), driver: driver_of(format)?, wrapper, member, opener }
            .with_whole_head()
    }

    /// Reads as much more as it takes to tell which other files the image needs.
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

    /// The format of the image, inside any wrapper.
    #[must_use]
    pub fn format(&self) -> Format {
        self.driver.format
    }

    /// How the stream is compressed, if it is.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.wrapper
    }

    /// The name of the disk's file in the OVA that arrives; not yet escaped for a terminal.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// The first bytes of the image: 68 KiB, or up to 2112 KiB where it says later than that what it needs.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether [`crate::convert_stream`] takes the image in one pass, to a sink of this order, as far as its
    /// first bytes tell. Otherwise it has to be kept first, in a temporary file or [`StreamInput::into_disk`].
    #[must_use]
    pub fn streams(&self, order: WriteOrder) -> bool {
        one_pass(&self.opener, self.driver, &self.head, order).is_ok_and(|decoder| decoder.is_some())
    }

    /// Keeps the whole image in a temporary file, as [`Opener::spool`] allows, and opens it there. `progress` is told
    /// of the bytes of the image as they arrive, unwrapped.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Cancelled`] when `progress` stopped it;
    /// [`diskimg_core::ErrorKind::NeedsSeek`] when that is not allowed; [`diskimg_core::ErrorKind::Limit`] when
    /// it is too large; what the resolver says of files that the image needs; as [`Opener::open`] otherwise.
    pub fn into_disk(self, opener: &Opener, progress: &dyn Progress) -> Result<Disk> {
        resolved(opener, self.driver, &self.head)?;
        let (wrapper, member, format) = (self.wrapper, self.member.clone(), self.opener.format);
        let pinned = Opener { format: opener.format.or(format), ..opener.clone() };
        pinned.open_image(&self.into_file(opener, progress)?, wrapper, member)
    }

    /// The whole image in a temporary file.
    pub(crate) fn into_file(
        mut self,
        opener: &Opener,
        progress: &dyn Progress,
    ) -> Result<Arc<dyn BlockSource>> {
        let limit = opener.limits.virtual_size;
        Ok(Arc::new(spool(&opener.spool, &self.head, &mut self.rest, limit, progress)?))
    }

    /// How it is opened, how it was wrapped, and the image's bytes from the first on.
    pub(crate) fn into_parts(self) -> (Opener, Option<Wrapper>, impl Read + Send) {
        (self.opener, self.wrapper, std::io::Cursor::new(self.head).chain(self.rest))
    }
}

/// The decoder that takes an image of this head in one pass into a sink of this order; `None` when the image
/// has to be kept first.
///
/// # Errors
/// What the resolver says of other files that the image needs: there is no use in keeping it then.
pub(crate) fn one_pass(
    opener: &Opener,
    driver: &Driver,
    head: &[u8],
    order: WriteOrder,
) -> Result<Option<Box<dyn StreamDecoder>>> {
    let references = resolved(opener, driver, head)?;
    let (Some(stream), None, []) = (driver.stream, &opener.snapshot, references.as_slice()) else {
        return Ok(None);
    };
    let mut decoder = stream(&opener.limits)?;
    let in_order = order == WriteOrder::Any || decoder.ascends();
    if !in_order || !begins(stream(&opener.limits)?, head, order) {
        return Ok(None);
    }
    if let Some(file) = TemporarySpillFile::new(&opener.spool) {
        decoder.use_spill_file(Box::new(file));
    }
    Ok(Some(decoder))
}

/// Whether a decoder of its own takes the head: some layouts of a format can be read in order, and others not.
fn begins(mut decoder: Box<dyn StreamDecoder>, head: &[u8], order: WriteOrder) -> bool {
    match decoder.push(head, &Nowhere(order)) {
        Err(error) => !matches!(error.kind(), ErrorKind::NeedsSeek | ErrorKind::UnknownFormat),
        Ok(()) => true,
    }
}

/// Takes everything and keeps nothing.
pub(crate) struct Nowhere(pub(crate) WriteOrder);

impl BlockSink for Nowhere {
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn zero(&self, _: Range<u64>) -> Result<()> {
        Ok(())
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties { order: self.0, ..SinkProperties::default() }
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// How many more bytes the head needs to tell which other files the image needs: their names may lie behind it.
pub(crate) fn more_of_head(opener: &Opener, driver: &Driver, head: &[u8]) -> Option<usize> {
    longer_head(&pinned(opener, driver), head)?.checked_sub(head.len())
}

fn pinned(opener: &Opener, driver: &Driver) -> Opener {
    Opener { format: Some(driver.format), ..opener.clone() }
}

/// The other files without which there is no disk, as far as the head tells; the resolver allows them all.
fn resolved(opener: &Opener, driver: &Driver, head: &[u8]) -> Result<Vec<Reference>> {
    let Ok(info) = inspect_head(&pinned(opener, driver), head) else { return Ok(Vec::new()) };
    if !info.references.iter().any(|reference| reference.role.is_below()) {
        opener.all_parents_used(0, &info)?;
    }
    let references = info.references;
    // A parent that was given stands for the first reference below; extents are only found by their names.
    let given = |reference: &&Reference| reference.role.is_below() && !opener.parents.is_empty();
    for reference in references.iter().filter(|reference| !given(reference)) {
        opener.resolver.resolve(reference)?;
    }
    Ok(references)
}

fn split_head(mut stream: Box<dyn Read + Send>) -> Result<(Vec<u8>, Box<dyn Read + Send>)> {
    Ok((read_head(&mut stream)?, stream))
}

fn read_head(stream: &mut dyn Read) -> Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let len = read_full(stream, &mut head)?;
    head.truncate(len);
    Ok(head)
}

/// Reads until `buf` is full or the stream ends; returns the bytes read.
pub(crate) fn read_full(stream: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    let mut done = 0_usize;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(n) => done = done.saturating_add(n),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}
