//! Recognising the format of a file by its bytes.

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Error, ErrorKind, Format, Remedy, Result};
use diskimg_raw::Content;

use crate::drivers::Drivers;
use crate::foreign_formats::{self, TRAILER};

/// The length in bytes of the head that sniffing reads: 64 KiB, and the superblock of btrfs after them.
pub(crate) const HEAD: usize = 68 << 10;

/// The result of [`sniff`].
///
/// ```
/// use diskimg::{Sniffed, sniff_head};
/// let qcow2 = [b"QFI\xfb".as_slice(), &3_u32.to_be_bytes(), &[0; 504]].concat();
/// match sniff_head(&qcow2, None)? {
///     Sniffed::Image(format) => assert_eq!(format.name(), "qcow2"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Sniffed {
    /// An image of this format, which is supported.
    Image(Format),
    /// A raw disk, indicated by its content.
    Raw(Content),
    /// A compressed file. The content is not inspected.
    Wrapped(Wrapper),
    /// A format that is recognised but not supported.
    Known(Format),
}

/// Recognises a file by its first bytes. A file is raw only if its content indicates a disk, never by default.
///
/// # Errors
/// [`ErrorKind::UnknownFormat`] if no format is recognised, or the file is empty.
/// [`ErrorKind::Ambiguous`] if the bytes are valid in more than one format.
///
/// ```
/// use diskimg::{Memory, Sniffed, sniff};
/// let mut gz = vec![0x1f, 0x8b, 8];
/// gz.resize(512, 0);
/// assert!(matches!(sniff(&Memory::new(gz))?, Sniffed::Wrapped(_)));
/// # Ok::<(), diskimg::Error>(())
/// ```
pub fn sniff(source: &dyn BlockSource) -> Result<Sniffed> {
    FileEnds::of(source)?.as_parts().sniff(&Drivers::default())
}

/// Recognises a file by the head passed, as [`sniff`] does. `size` is the length of the file, if known. Formats with a
/// trailer are recognised only if the head is the whole file.
///
/// ```
/// use diskimg::{ErrorKind, sniff_head};
/// assert_eq!(sniff_head(b"plain text", Some(10)).unwrap_err().kind(), ErrorKind::UnknownFormat);
/// ```
///
/// # Errors
/// As [`sniff`].
pub fn sniff_head(head: &[u8], size: Option<u64>) -> Result<Sniffed> {
    FileParts::of_head(head, size).sniff(&Drivers::default())
}

/// The image format that the first bytes of a raw disk look like: the name of the format, or `an image` if several
/// match. Such a disk must always be opened as raw, because probing would take it for the image that a guest wrote
/// into it.
///
/// # Errors
/// Errors of the source.
///
/// ```
/// use diskimg::{Memory, looks_like_image};
/// assert_eq!(looks_like_image(&Memory::new(b"QFI\xfb\0\0\0\x03".repeat(64)))?, Some("qcow2"));
/// assert_eq!(looks_like_image(&Memory::new(vec![0; 512]))?, None);
/// # Ok::<(), diskimg::Error>(())
/// ```
pub fn looks_like_image(disk: &dyn BlockSource) -> Result<Option<&'static str>> {
    let mut head = vec![0; usize::try_from(disk.size().min(64 << 10)).unwrap_or_default()];
    disk.read_at(0, &mut head)?;
    Ok(looks_like_image_head(&head))
}

/// As [`looks_like_image`], for the first bytes of a disk.
pub(crate) fn looks_like_image_head(head: &[u8]) -> Option<&'static str> {
    match sniff_head(head, None) {
        Ok(Sniffed::Image(format) | Sniffed::Known(format)) => Some(format.name()),
        Err(error) if error.kind() == ErrorKind::Ambiguous => Some("an image"),
        _ => None,
    }
}

/// The parts of a file by which it is recognised.
#[derive(Clone, Copy)]
pub(crate) struct FileParts<'a> {
    /// The first bytes, [`HEAD`] if there are as many.
    pub(crate) head: &'a [u8],
    /// The last 512 bytes; empty if they are not available.
    pub(crate) trailer: &'a [u8],
    /// The length of the file, if known.
    pub(crate) size: Option<u64>,
}

impl<'a> FileParts<'a> {
    /// The parts in the head of a file of `size` bytes, if known. The trailer is included if the head is the whole file.
    pub(crate) fn of_head(head: &'a [u8], size: Option<u64>) -> Self {
        let whole = size == Some(head.len() as u64);
        let trailer = head.get(head.len().saturating_sub(TRAILER)..).filter(|_| whole).unwrap_or_default();
        Self { head, trailer, size }
    }

    /// Recognises the file, as [`sniff`] does, among these formats.
    pub(crate) fn sniff(self, drivers: &Drivers) -> Result<Sniffed> {
        if self.head.is_empty() {
            return Err(Error::new(ErrorKind::UnknownFormat).because("the image is empty"));
        }
        if let Some(wrapper) = Wrapper::recognise(self.head) {
            return Ok(Sniffed::Wrapped(wrapper));
        }
        FormatMatches::of(self, drivers).verdict()
    }
}

/// The first and last bytes of a source.
pub(crate) struct FileEnds {
    head: Vec<u8>,
    trailer: Vec<u8>,
    size: u64,
}

impl FileEnds {
    pub(crate) fn of(source: &dyn BlockSource) -> Result<Self> {
        let size = source.size();
        let mut head = vec![0; usize::try_from(size).unwrap_or(HEAD).min(HEAD)];
        source.read_at(0, &mut head)?;
        let mut trailer = vec![0; usize::try_from(size).unwrap_or(TRAILER).min(TRAILER)];
        source.read_at(size.saturating_sub(trailer.len() as u64), &mut trailer)?;
        Ok(Self { head, trailer, size })
    }

    pub(crate) fn as_parts(&self) -> FileParts<'_> {
        FileParts { head: &self.head, trailer: &self.trailer, size: Some(self.size) }
    }
}

/// Checks that the first bytes of a tar archive are not valid in another format as well.
///
/// # Errors
/// [`ErrorKind::Ambiguous`].
pub(crate) fn ensure_only_archive(head: &[u8], drivers: &Drivers) -> Result<()> {
    let matches = FormatMatches::of(FileParts { head, trailer: &[], size: None }, drivers);
    let mut formats = matches.images;
    if formats.is_empty() && matches.content.is_none() {
        return Ok(());
    }
    formats.push(Format::new("tar"));
    Err(ambiguous(&formats, matches.content))
}

/// All formats in which the first bytes of a file are valid.
pub(crate) struct FormatMatches {
    /// Supported formats.
    images: Vec<Format>,
    /// A format that is not supported.
    known: Option<Format>,
    /// The content, if the file is a raw disk.
    pub(crate) content: Option<Content>,
    /// The format that the trailer indicates.
    trailer: Option<Format>,
}

impl FormatMatches {
    pub(crate) fn of(FileParts { head, trailer, size }: FileParts<'_>, drivers: &Drivers) -> Self {
        let images = drivers.recognise(head);
        let known = if images.is_empty() { drivers.recognise_unsupported(head) } else { None };
        let content = diskimg_raw::recognise_head(head, size);
        // The last bytes of a recognised image are part of the image, not a trailer.
        let is_image = content.is_none() && !(images.is_empty() && known.is_none());
        let trailer = foreign_formats::recognise_trailer(trailer).filter(|_| !is_image);
        Self { images, known, content, trailer }
    }

    /// The formats, except raw.
    pub(crate) fn formats(&self) -> Vec<Format> {
        self.images.iter().copied().chain(self.known).chain(self.trailer).collect()
    }

    /// Returns the format if there is exactly one. A disk with partitions or a file system whose first bytes are those
    /// of an image is ambiguous: a guest may have written them.
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

fn unknown() -> Error {
    Error::new(ErrorKind::UnknownFormat)
        .because("no image format is recognised, and the first bytes do not indicate a raw disk")
        .with_remedy(Remedy::AllowRaw)
}

fn ambiguous(formats: &[Format], content: Option<Content>) -> Error {
    let mut names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
    names.extend(content.map(Content::name));
    Error::new(ErrorKind::Ambiguous)
        .because(format_args!("the bytes are valid as {}", names.join(" and as ")))
        .with_remedy(Remedy::PinFormat)
}
