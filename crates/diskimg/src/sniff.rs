//! What format a file has, by its bytes alone.

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Driver, Error, ErrorKind, Format, Remedy, Result, Verdict};
use diskimg_raw::Content;

use crate::drivers::drivers;
use crate::foreign_formats::{self, TRAILER};

/// Bytes of the head that sniffing looks at: everything recognised lies in the first 64 KiB, but for the
/// superblock of btrfs behind it.
pub(crate) const HEAD: usize = 68 << 10;

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Sniffed {
    /// An image of this format, which this build can read.
    Image(Format),
    /// Raw, because the bytes themselves speak for a disk.
    Raw(Content),
    /// Compressed; what is inside is not looked at.
    Wrapped(Wrapper),
    /// A format that is recognised, and that this build cannot read.
    Known(Format),
}

/// Recognises a file by its first bytes. Never falls back to raw: raw is only what speaks for a disk.
///
/// # Errors
/// [`ErrorKind::UnknownFormat`] when nothing is recognised, or the file is empty.
/// [`ErrorKind::Ambiguous`] when the bytes are valid as more than one thing.
///
/// ```
/// use diskimg::{Memory, Sniffed, sniff};
/// let mut gz = vec![0x1f, 0x8b, 8];
/// gz.resize(512, 0);
/// assert!(matches!(sniff(&Memory::new(gz))?, Sniffed::Wrapped(_)));
/// # Ok::<(), diskimg::Error>(())
/// ```
pub fn sniff(source: &dyn BlockSource) -> Result<Sniffed> {
    Ends::of(source)?.as_parts().sniff()
}

/// As [`sniff`], over bytes already read; `size` is the length of the whole, if it is known. Formats that are
/// recognised by the end of a file are seen only if that is all of it.
///
/// # Errors
/// As [`sniff`].
pub fn sniff_head(head: &[u8], size: Option<u64>) -> Result<Sniffed> {
    Parts::of_head(head, size).sniff()
}

/// The parts of a file that tell what it is.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// The first bytes, best [`HEAD`].
    pub(crate) head: &'a [u8],
    /// The last 512 bytes; none if they are not at hand.
    pub(crate) trailer: &'a [u8],
    /// The length of the whole, if it is known.
    pub(crate) size: Option<u64>,
}

impl<'a> Parts<'a> {
    /// The first bytes of a file of `size` bytes, if that is known; if they are all of it, the last ones, too.
    pub(crate) fn of_head(head: &'a [u8], size: Option<u64>) -> Self {
        let whole = size == Some(head.len() as u64);
        let trailer = head.get(head.len().saturating_sub(TRAILER)..).filter(|_| whole).unwrap_or_default();
        Self { head, trailer, size }
    }

    /// As [`sniff`].
    pub(crate) fn sniff(self) -> Result<Sniffed> {
        if self.head.is_empty() {
            return Err(Error::new(ErrorKind::UnknownFormat).because("the image is empty"));
        }
        if let Some(wrapper) = Wrapper::recognise(self.head) {
            return Ok(Sniffed::Wrapped(wrapper));
        }
        Likeness::of(self).verdict()
    }
}

/// The first and last bytes of a source.
pub(crate) struct Ends {
    head: Vec<u8>,
    trailer: Vec<u8>,
    size: u64,
}

impl Ends {
    pub(crate) fn of(source: &dyn BlockSource) -> Result<Self> {
        let size = source.size();
        let mut head = vec![0; usize::try_from(size).unwrap_or(HEAD).min(HEAD)];
        source.read_at(0, &mut head)?;
        let mut trailer = vec![0; usize::try_from(size).unwrap_or(TRAILER).min(TRAILER)];
        source.read_at(size.saturating_sub(trailer.len() as u64), &mut trailer)?;
        Ok(Self { head, trailer, size })
    }

    pub(crate) fn as_parts(&self) -> Parts<'_> {
        Parts { head: &self.head, trailer: &self.trailer, size: Some(self.size) }
    }
}

/// Everything that the first bytes of a file are valid as.
pub(crate) struct Likeness {
    /// Formats of this build.
    images: Vec<Format>,
    /// A format that this build cannot read.
    known: Option<Format>,
    /// What a raw disk would hold.
    pub(crate) content: Option<Content>,
    /// What the end of a raw disk says instead.
    trailer: Option<Format>,
}

impl Likeness {
    pub(crate) fn of(Parts { head, trailer, size }: Parts<'_>) -> Self {
        let images = probe(head);
        let known = if images.is_empty() { foreign_formats::recognise(head) } else { None };
        let content = diskimg_raw::recognise_head(head, size);
        // The last bytes of what is an image without them are its own.
        let is_image = content.is_none() && !(images.is_empty() && known.is_none());
        let trailer = foreign_formats::recognise_trailer(trailer).filter(|_| !is_image);
        Self { images, known, content, trailer }
    }

    /// The formats, without raw.
    pub(crate) fn formats(&self) -> Vec<Format> {
        self.images.iter().copied().chain(self.known).chain(self.trailer).collect()
    }

    /// What it is, if it is one thing. A disk with partitions or a file system whose first bytes are those of
    /// an image is not: a guest may have put them there.
    fn verdict(&self) -> Result<Sniffed> {
        match (self.images.as_slice(), self.known, self.content) {
            ([format], None, None) => Ok(Sniffed::Image(*format)),
            ([], Some(format), None) => Ok(Sniffed::Known(format)),
            ([], None, Some(content)) if self.trailer.is_none() => Ok(Sniffed::Raw(content)),
            ([], None, None) => self.trailer.map(Sniffed::Known).ok_or_else(unknown),
            _ => Err(ambiguous(&self.formats(), self.content)),
        }
    }
}

/// The formats of this build that the head is valid as, in the order of their names.
fn probe(head: &[u8]) -> Vec<Format> {
    let says_yes = |driver: &&&Driver| (driver.probe)(head) == Verdict::Yes;
    let mut formats: Vec<Format> = drivers().iter().filter(says_yes).map(|driver| driver.format).collect();
    formats.sort_unstable();
    formats
}

fn unknown() -> Error {
    Error::new(ErrorKind::UnknownFormat)
        .because("no image format is recognised, and nothing in the first bytes speaks for a raw disk")
        .with_remedy(Remedy::AllowRaw)
}

fn ambiguous(formats: &[Format], content: Option<Content>) -> Error {
    let mut names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
    names.extend(content.map(Content::name));
    Error::new(ErrorKind::Ambiguous)
        .because(format_args!("the bytes are valid as {}", names.join(" and as ")))
        .with_remedy(Remedy::PinFormat)
}
