//! What the file itself says: its header, and the descriptor in it.

use diskimg_core::{BlockSource, Error, ErrorKind, Identity, Limits, Result};

use crate::cowd::{self, CowdHeader};
use crate::descriptor::{self, Descriptor, NO_PARENT};
use crate::errors::{corrupt, limit, truncated};
use crate::sesparse::{self, SeSparseHeader};
use crate::sparse_header::{SECTOR, SparseHeader};

/// Bytes read at first. A bound of ours: header and descriptor of the images of QEMU and VirtualBox.
const FIRST: u64 = 12_288;
/// Bytes within which a text descriptor begins, behind blank lines and comments. A bound of QEMU's, which looks
/// at one sector.
pub(crate) const BLANK: usize = 512;
/// Bytes behind the word `version` within which its line ends. A bound of ours: a number and some blanks.
const VERSION_LINE: usize = 64;

/// Bytes behind the end of a descriptor that may be left over from a longer one. QEMU writes a new `CID` in
/// place, without leading zeros: up to 7 characters of the old text stay behind the NUL.
const LEFT_OVER: usize = 8;

/// What a file is, by how it begins.
pub(crate) enum Kind {
    /// A descriptor alone: all files with guest bytes are elsewhere.
    Text,
    Hosted(SparseHeader),
    Cowd(CowdHeader),
    SeSparse(SeSparseHeader),
}

/// A file's header and descriptor.
pub(crate) struct Parsed {
    pub(crate) kind: Kind,
    /// The descriptor, or what is wrong with it; none in a file that is one extent of several.
    pub(crate) descriptor: Result<Option<Descriptor>>,
    /// Where the descriptor begins in the file.
    pub(crate) descriptor_at: u64,
}

/// Whether a file that begins so is a descriptor: `None` when more of it would tell.
///
/// It is by its usual first line, or, as in QEMU's `vmdk_probe`, when nothing but comments and blank lines
/// stands before a line with its version.
pub(crate) fn is_text(prefix: &[u8]) -> Option<bool> {
    let bom = descriptor::BOM;
    if prefix.len() < bom.len() && bom.starts_with(prefix) {
        return None;
    }
    let text = prefix.strip_prefix(bom).unwrap_or(prefix);
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        if text.len().saturating_sub(rest.len()) > BLANK {
            return Some(false);
        }
        // A script begins with a comment too, and says so.
        if !rest.starts_with(b"#") || text.starts_with(b"#!") {
            return if rest.is_empty() { None } else { is_version(rest) };
        }
        if begins_with(rest, descriptor::SIGNATURE) == Some(true) {
            return Some(true);
        }
        let end = rest.iter().take(BLANK).position(|byte| *byte == b'\n');
        match end.and_then(|end| rest.get(end..)) {
            Some(behind) => rest = behind,
            None if rest.len() < BLANK => return None,
            None => return Some(false),
        }
    }
}

/// Whether a text begins with a line `version=1`, or 2, or 3: `None` when more of it would tell.
fn is_version(text: &[u8]) -> Option<bool> {
    let key: &[u8] = b"version";
    if begins_with(text, key) != Some(true) {
        return begins_with(text, key);
    }
    let rest = text.get(key.len()..).unwrap_or_default();
    match rest.iter().take(VERSION_LINE).position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = rest.get(..end).unwrap_or_default().trim_ascii();
            let version = line.strip_prefix(b"=").map(<[u8]>::trim_ascii);
            Some(matches!(version, Some(b"1" | b"2" | b"3")))
        }
        None if rest.len() < VERSION_LINE => None,
        None => Some(false),
    }
}

/// Whether a text begins with a word, whatever the case: `None` when more of it would tell.
fn begins_with(text: &[u8], word: &[u8]) -> Option<bool> {
    match text.get(..word.len()) {
        Some(head) => Some(head.eq_ignore_ascii_case(word)),
        None if word.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text)) => None,
        None => Some(false),
    }
}

/// The magic of a seSparse extent, with the version behind it: the magic alone is not rare.
pub(crate) fn sesparse_magic() -> [u8; 16] {
    let mut magic = [0; 16];
    let (first, second) = magic.split_at_mut(8);
    first.copy_from_slice(&sesparse::MAGIC.to_le_bytes());
    second.copy_from_slice(&sesparse::VERSION.to_le_bytes());
    magic
}

impl Parsed {
    /// Reads the header of a file, and the descriptor in it.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] for what is no VMDK; what is wrong with the header otherwise. A damaged
    /// descriptor inside a file with a header is kept in [`Parsed::descriptor`].
    pub(crate) fn read(source: &dyn BlockSource, limits: &Limits) -> Result<Self> {
        let first = read(source, "header", 0, FIRST.min(source.size()), limits)?;
        if is_text(&first) == Some(true) {
            let most = longest(limits);
            if source.size() > most {
                // A stream tells its length last: by then the descriptor has passed, if nobody asked for it.
                read(source, "descriptor", 0, most, limits)?;
            }
            let text = read(source, "descriptor", 0, source.size(), limits)?;
            check_padding(&text)?;
            let descriptor = Descriptor::parse(&text, 0)?;
            return Ok(Self { kind: Kind::Text, descriptor: Ok(Some(descriptor)), descriptor_at: 0 });
        }
        let alone = |kind| Ok(Self { kind, descriptor: Ok(None), descriptor_at: 0 });
        match first.first_chunk::<4>() {
            Some(&cowd::MAGIC) => alone(Kind::Cowd(CowdHeader::parse(&first)?)),
            Some(_) if first.starts_with(&sesparse_magic()) => {
                alone(Kind::SeSparse(SeSparseHeader::parse(&first)?))
            }
            _ => {
                let header = SparseHeader::parse(&first, 0)?;
                let at = header.descriptor_offset_sectors.saturating_mul(SECTOR);
                let descriptor = embedded(source, &header, &first, limits);
                Ok(Self { kind: Kind::Hosted(header), descriptor, descriptor_at: at })
            }
        }
    }

    /// The same, for those who need all of it.
    ///
    /// # Errors
    /// What is wrong with the descriptor.
    pub(crate) fn sound(self) -> Result<Self> {
        let Self { kind, descriptor, descriptor_at } = self;
        Ok(Self { kind, descriptor: Ok(descriptor?), descriptor_at })
    }

    /// The descriptor, if there is one that can be read.
    pub(crate) fn readable(&self) -> Option<&Descriptor> {
        self.descriptor.as_ref().ok().and_then(Option::as_ref)
    }
}

/// Checks that nothing but padding follows a descriptor that stands alone. Other bytes are those of a disk,
/// whose owner would have others read it as an image.
fn check_padding(text: &[u8]) -> Result<()> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len()).saturating_add(LEFT_OVER);
    match text.iter().skip(end).position(|byte| *byte != 0) {
        None => Ok(()),
        Some(more) => Err(corrupt("descriptor")
            .at(end.saturating_add(more) as u64)
            .because("bytes that are not zeros follow its end")),
    }
}

/// The descriptor behind a header.
fn embedded(
    source: &dyn BlockSource,
    header: &SparseHeader,
    first: &[u8],
    limits: &Limits,
) -> Result<Option<Descriptor>> {
    if header.descriptor_offset_sectors == 0 {
        return Ok(None);
    }
    let at = header.descriptor_offset_sectors.saturating_mul(SECTOR);
    let len = header.descriptor_size_sectors.saturating_mul(SECTOR);
    let range = usize::try_from(at).ok().zip(usize::try_from(at.saturating_add(len)).ok());
    let bytes = match range.and_then(|(start, end)| first.get(start..end)) {
        Some(bytes) => bytes,
        None => &read(source, "descriptor", at, len, limits)?,
    };
    Descriptor::parse(bytes, at).map(Some)
}

/// The longest descriptor in bytes that is read.
fn longest(limits: &Limits) -> u64 {
    limits.header_bytes.min(descriptor::MAX_BYTES)
}

/// The `len` bytes at `at`, which are part of `what`: no more than the caller and [`descriptor::MAX_BYTES`]
/// allow.
pub(crate) fn read(
    source: &dyn BlockSource,
    what: &str,
    at: u64,
    len: u64,
    limits: &Limits,
) -> Result<Vec<u8>> {
    let size = source.size();
    let most = longest(limits);
    if len > most {
        return Err(limit(what)
            .at(at)
            .found(format_args!("{len} bytes"))
            .expected(format_args!("at most {most}")));
    }
    if at.checked_add(len).is_none_or(|end| end > size) {
        return Err(truncated(what)
            .at(at)
            .because(format_args!("{len} bytes, and the file ends at byte {size}")));
    }
    let mut bytes = diskimg_core::Budget::new("header", most).zeroed(len)?;
    source.read_at(at, &mut bytes)?;
    Ok(bytes)
}

/// What an image's descriptor says it is known by.
pub(crate) fn identity(descriptor: &Descriptor) -> Identity {
    Identity {
        content_id: descriptor.cid,
        uuid: uuid(descriptor, "ddb.uuid.image"),
        modification_uuid: uuid(descriptor, "ddb.uuid.modification"),
    }
}

/// What the parent was known by; `None` without one.
///
/// A `parentCID` other than ffffffff names a parent: fffffffe too, which is the content id of a disk that was
/// never written, and is compared as any other. So does a UUID alone: VirtualBox leaves the `parentCID`
/// at ffffffff. A UUID of zeros is none; one that cannot be read is a parent all the same.
pub(crate) fn parent(descriptor: &Descriptor) -> Option<Identity> {
    let content_id = descriptor.parent_cid.filter(|cid| *cid != NO_PARENT);
    let zero = |byte: &u8| matches!(byte, b'0' | b'-' | b'{' | b'}' | b' ');
    let told = descriptor.ddb("ddb.uuid.parent").is_some_and(|value| !value.bytes.iter().all(zero));
    (content_id.is_some() || told).then(|| Identity {
        content_id,
        uuid: uuid(descriptor, "ddb.uuid.parent"),
        modification_uuid: uuid(descriptor, "ddb.uuid.parentmodification"),
    })
}

/// A UUID of the disk data base, in the order of its text form: `None` for zeros, and for what is none.
fn uuid(descriptor: &Descriptor, name: &str) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(&descriptor.ddb(name)?.bytes).ok()?;
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}' | ' ')).collect();
    let number = digits.bytes().all(|c| c.is_ascii_hexdigit()).then(|| u128::from_str_radix(&digits, 16));
    let number = number?.ok().filter(|number| *number != 0 && digits.len() == 32)?;
    Some(number.to_be_bytes())
}

/// The same error, where a file that was meant to be an extent turns out to be none.
pub(crate) fn not_an_extent(error: Error) -> Error {
    match error.kind() {
        ErrorKind::UnknownFormat => error.with_kind(ErrorKind::Corrupt),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ddb(lines: &str) -> Descriptor {
        Descriptor::parse(lines.as_bytes(), 0).unwrap()
    }

    #[test]
    fn virtualbox_names_a_parent_by_its_uuid_alone() {
        let child = with_ddb(
            "CID=1\nparentCID=ffffffff\nddb.uuid.parent=\"00112233-4455-6677-8899-aabbccddeeff\"\n\
             ddb.uuid.parentmodification=\"00000000-0000-0000-0000-000000000000\"\n",
        );
        let parent = parent(&child).unwrap();
        let bytes = [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255];
        assert_eq!(parent, Identity { uuid: Some(bytes), ..Identity::default() });
    }

    #[test]
    fn a_parent_that_was_never_written_is_known_by_its_content_id() {
        let base = identity(&with_ddb("CID=fffffffe\nparentCID=ffffffff"));
        let written = identity(&with_ddb("CID=12345678\nparentCID=ffffffff"));
        let recorded = parent(&with_ddb("CID=fffffffe\nparentCID=fffffffe")).unwrap();
        assert!(recorded.accepts(&base).is_ok());
        assert!(recorded.accepts(&written).is_err(), "written since");
    }

    #[test]
    fn zeros_name_no_parent() {
        for lines in [
            "",
            "parentCID=ffffffff",
            "parentCID=ffffffff\nddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"",
            "ddb.uuid.parent=\"\"",
        ] {
            assert_eq!(parent(&with_ddb(lines)), None, "{lines}");
        }
        assert_eq!(parent(&with_ddb("ddb.uuid.parent=\"hello\"")), Some(Identity::default()));
    }

    #[test]
    fn a_file_is_a_descriptor_by_its_first_line_or_its_version() {
        let table: [(&[u8], Option<bool>); 21] = [
            (b"", None),
            (b"\xef\xbb", None),
            (b"\xef\xbb\xbf# Disk", None),
            (b"# Disk DescriptorFile\n", Some(true)),
            (b"\n \r\n# disk descriptorfile", Some(true)),
            (b"\xef\xbb\xbf# DISK DESCRIPTORFILE", Some(true)),
            (b"# Disk Descriptor\n", None),
            (b"# Disk Descriptor\nhello", Some(false)),
            (b"# made by x\n\n# for y\r\nversion=1\n", Some(true)),
            (b"version=1\n", Some(true)),
            (b"Version = 3 \t\r\n", Some(true)),
            (b"vers", None),
            (b"version=1", None),
            (b"version=4\n", Some(false)),
            (b"version=1.2\n", Some(false)),
            (b"version: 1\n", Some(false)),
            (b"versions=1\n", Some(false)),
            (b"#!/bin/sh\nversion=1\n", Some(false)),
            (&[b'#'; 600], Some(false)),
            (b"KDMV", Some(false)),
            (&[b' '; 600], Some(false)),
        ];
        let late = [&b"# comment\n".repeat(52)[..], b"version=1\n"].concat();
        assert_eq!(is_text(&late), Some(false), "520 bytes of comments");
        for (prefix, verdict) in table {
            assert_eq!(is_text(prefix), verdict, "{:?}", String::from_utf8_lossy(prefix));
        }
    }
}
