//! What format a file has, by its bytes alone.

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Driver, Error, ErrorKind, Format, ProbeReport, Prober, Result};
use diskimg_raw::Content;

use crate::drivers::{driver_of, drivers};
use crate::known;

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
    sniff_head(&head_of(source)?, Some(source.size()))
}

/// As [`sniff`], over bytes already read; `size` is the length of the whole, if it is known.
///
/// # Errors
/// As [`sniff`].
pub fn sniff_head(head: &[u8], size: Option<u64>) -> Result<Sniffed> {
    if head.is_empty() {
        return Err(Error::new(ErrorKind::UnknownFormat).because("the image is empty"));
    }
    if let Some(wrapper) = Wrapper::recognise(head) {
        return Ok(Sniffed::Wrapped(wrapper));
    }
    let content = diskimg_raw::recognise_head(head, size);
    let formats = probe(head).formats;
    match (formats.as_slice(), content) {
        ([format], None) => Ok(Sniffed::Image(*format)),
        // The boot signature alone is two bytes, and stands in many a header.
        ([format], Some(content)) if !content.is_optical_disc() => Ok(Sniffed::Image(*format)),
        ([], content) => no_driver(head, content),
        (several, content) => Err(ambiguous(several, content)),
    }
}

/// The driver that reads `source`: the pinned format, or what its bytes say.
///
/// # Errors
/// As [`sniff`]; [`ErrorKind::Unsupported`] for a known format this build cannot read.
pub(crate) fn driver_for(
    head: &[u8],
    size: Option<u64>,
    pinned: Option<Format>,
    allow_raw: bool,
) -> Result<&'static Driver> {
    if let Some(format) = pinned {
        return driver_of(format);
    }
    match sniff_head(head, size) {
        Ok(Sniffed::Image(format)) => driver_of(format),
        Ok(Sniffed::Raw(_)) => Ok(&diskimg_raw::DRIVER),
        Ok(Sniffed::Wrapped(wrapper)) => Err(nested(wrapper)),
        Ok(Sniffed::Known(format)) => Err(unsupported(format)),
        Err(error) if error.kind() == ErrorKind::UnknownFormat && allow_raw => Ok(&diskimg_raw::DRIVER),
        Err(error) => Err(error),
    }
}

/// The first bytes of a source, as many as sniffing looks at.
pub(crate) fn head_of(source: &dyn BlockSource) -> Result<Vec<u8>> {
    let len = source.size().min(HEAD as u64);
    let mut head = vec![0; usize::try_from(len).unwrap_or(HEAD)];
    source.read_at(0, &mut head)?;
    Ok(head)
}

fn probe(head: &[u8]) -> ProbeReport {
    let mut prober = Prober::new(drivers());
    prober.push(head);
    prober.finish()
}

fn no_driver(head: &[u8], content: Option<Content>) -> Result<Sniffed> {
    match (known::recognise(head), content) {
        (Some(format), Some(content)) if content.is_optical_disc() => {
            Err(ambiguous(&[format], Some(content)))
        }
        (Some(format), _) => Ok(Sniffed::Known(format)),
        (None, Some(content)) => Ok(Sniffed::Raw(content)),
        (None, None) => Err(Error::new(ErrorKind::UnknownFormat)
            .because("no image format is recognised, and nothing in the first bytes speaks for a raw disk")
            .hint("name the format if you know it is raw")),
    }
}

fn ambiguous(formats: &[Format], content: Option<Content>) -> Error {
    let mut names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
    names.extend(content.map(Content::name));
    Error::new(ErrorKind::Ambiguous)
        .because(format_args!("the bytes are valid as {}", names.join(" and as ")))
        .hint("name the format you expect")
}

fn nested(wrapper: Wrapper) -> Error {
    Error::new(ErrorKind::Limit)
        .format(Format::new(wrapper.name()))
        .because("compressed inside a compressed file; only one level is unwrapped")
}

fn unsupported(format: Format) -> Error {
    Error::new(ErrorKind::Unsupported).format(format).because("recognised, but this build cannot read it")
}
