//! Headers of a tar archive, one after the other. The bytes are brought by whoever has them: [`super::members`]
//! reads them, [`super::walker`] is given them.
//!
//! Source: POSIX.1-1988 section 10.1.1 (ustar), POSIX.1-2001 `pax` (extended headers), and the GNU tar manual,
//! "Basic Tar Format" (long names, sizes in base 256) and "Storing Sparse Files".
//!
//! Only plain files are read. Directories, devices and named pipes hold no bytes and are skipped; every other way to
//! store a member is an error, because its bytes in the archive are not the bytes of the file.

use std::ops::Range;

use diskimg_core::{Error, ErrorKind, Format, Result};

const TAR: Format = Format::new("tar");

/// Bytes of a header; what follows it is filled up to a multiple of them.
pub(super) const BLOCK_LEN: usize = 512;
pub(super) const BLOCK: u64 = BLOCK_LEN as u64;

/// Bytes of the name in a header, its first field.
pub(super) const NAME_LEN: usize = 100;

/// Headers that are looked at. A bound of ours: an OVA holds a handful.
const HEADERS: usize = 4096;

/// The longest header of names and sizes that is read. A bound of ours.
const EXTENDED: u64 = 64 << 10;

/// The longest name in bytes. A bound of ours, and the longest path that Linux takes (`PATH_MAX`).
const NAME: usize = 4096;

/// The most characters of a key or name that an error shows. Our limit.
const KEY: usize = 256;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where its bytes lie in the archive.
    pub(super) range: Range<u64>,
}

/// Whether these first bytes are those of a tar archive.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// What stands behind a header, and where.
pub(super) enum Entry {
    /// A regular file.
    File(Member),
    /// Names or sizes for the next file, which [`Walk::extend`] takes. The letter is the kind.
    Extension(u8, Range<u64>),
    /// A directory, device or named pipe.
    Other(Range<u64>),
}

/// The way through an archive, from header to header.
#[derive(Default)]
pub(super) struct Walk {
    next: u64,
    headers: usize,
    extended: PaxRecords,
}

impl Walk {
    /// Where the next header stands.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the block at [`Walk::next`]; `None` where it ends the archive.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a header that contradicts itself, [`ErrorKind::Limit`] for more than 4096
    /// headers, or an extended one over 64 KiB, [`ErrorKind::Unsupported`] for a member that is not stored as a
    /// plain file.
    pub(super) fn header(&mut self, block: &[u8; BLOCK_LEN]) -> Result<Option<Entry>> {
        let offset = self.next;
        let Some(header) = Header::parse(block, offset)? else { return Ok(None) };
        self.headers = self.headers.saturating_add(1);
        if self.headers > HEADERS {
            return Err(bad(ErrorKind::Limit, "members", offset).expected(format_args!("at most {HEADERS}")));
        }
        let is_extension = header.is_extension();
        let len = if is_extension { header.len } else { self.extended.len.unwrap_or(header.len) };
        let start = offset.saturating_add(BLOCK);
        let range = start..start.saturating_add(len);
        self.next = range.end.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        if is_extension {
            return match len <= EXTENDED {
                true => Ok(Some(Entry::Extension(header.kind, range))),
                false => Err(bad(ErrorKind::Limit, "extended header", start)
                    .found(len)
                    .expected(format_args!("at most {EXTENDED} bytes"))),
            };
        }
        let extended = std::mem::take(&mut self.extended);
        let name = extended.name.unwrap_or(header.name);
        if let Some(key) = extended.unsupported {
            return Err(unsupported(&name, offset).found(format_args!("extended header key {key}")));
        }
        match storage(header.kind, &name) {
            Storage::Plain => Ok(Some(Entry::File(Member { name, range }))),
            Storage::List => Ok(Some(Entry::Other(range))),
            Storage::Nothing if len == 0 => Ok(Some(Entry::Other(range))),
            Storage::Nothing => Err(unsupported(&name, offset)
                .found(format_args!("type '{}' with {len} bytes", char::from(header.kind).escape_debug()))),
            Storage::Unsupported(what) => Err(unsupported(&name, offset)
                .found(format_args!("type '{}'{what}", char::from(header.kind).escape_debug()))),
        }
    }

    /// Takes the bytes of an extension of this kind, which stand at `offset`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for what is no list of records, [`ErrorKind::Limit`] for a name over 4096 bytes.
    pub(super) fn extend(&mut self, kind: u8, bytes: &[u8], offset: u64) -> Result<()> {
        match kind {
            b'L' => self.extended.name = Some(path(bytes, offset)?),
            b'x' | b'X' => self.extended.add(bytes, offset, Scope::Member)?,
            b'g' => self.extended.add(bytes, offset, Scope::Archive)?,
            // The target of a link, which is refused when its own header comes.
            _ => {}
        }
        Ok(())
    }
}

/// The error for an archive that ends at `size`, before the end of an entry whose bytes are at `range`.
pub(super) fn cut(range: &Range<u64>, size: u64) -> Error {
    bad(ErrorKind::Truncated, "size", range.start.saturating_sub(BLOCK))
        .found(range.end.saturating_sub(range.start))
        .expected(format_args!("at most {}, what is left", size.saturating_sub(range.start)))
}

struct Header {
    name: String,
    len: u64,
    kind: u8,
}

impl Header {
    /// The header in a block that stands at `offset`; `None` where the archive ends.
    fn parse(block: &[u8; BLOCK_LEN], offset: u64) -> Result<Option<Self>> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let field = |range: Range<usize>| block.get(range).unwrap_or_default();
        // The checksum counts its own field as blanks.
        let sum = |from: &[u8]| from.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let expected = sum(block).saturating_sub(sum(field(148..156))).saturating_add(8 * 32);
        if number(field(148..156)) != Some(expected) {
            return Err(bad(ErrorKind::Corrupt, "checksum of a header", offset)
                .expected(format_args!("{expected:o} in octal")));
        }
        let len = number(field(124..136)).ok_or_else(|| bad(ErrorKind::Corrupt, "size", offset))?;
        let (name, prefix) = (text(field(0..NAME_LEN)), text(field(345..500)));
        let is_ustar = field(257..263) == b"ustar\0";
        let name = if is_ustar && !prefix.is_empty() { format!("{prefix}/{name}") } else { name };
        let kind = field(156..157).first().copied().unwrap_or_default();
        Ok(Some(Self { name, len, kind }))
    }

    /// Whether it only says something about the member behind it.
    fn is_extension(&self) -> bool {
        matches!(self.kind, b'x' | b'X' | b'g' | b'L' | b'K')
    }
}

/// How a type flag stores a member.
enum Storage {
    /// The bytes of a file, as they are.
    Plain,
    /// The names in a directory, which only restoring a backup needs.
    List,
    /// No bytes.
    Nothing,
    /// In a way that is not supported. The text describes it where it has a name.
    Unsupported(&'static str),
}

fn storage(type_flag: u8, name: &str) -> Storage {
    match type_flag {
        // Archives older than ustar mark a directory by its name alone.
        0 | b'0' if name.ends_with('/') => Storage::Nothing,
        0 | b'0' | b'7' => Storage::Plain,
        // Device, directory, named pipe, and GNU's label of a volume.
        b'3'..=b'6' | b'V' => Storage::Nothing,
        b'D' => Storage::List,
        b'1' => Storage::Unsupported(", a hard link"),
        b'2' => Storage::Unsupported(", a symbolic link"),
        b'M' => Storage::Unsupported(", the rest of a file from another volume"),
        b'S' => Storage::Unsupported(", a sparse file"),
        _ => Storage::Unsupported(""),
    }
}

/// Keys of extended headers that change neither the bytes nor the name of a member. A key that ends with a dot
/// stands for all that begin so.
const HARMLESS: [&str; 22] = [
    "atime",
    "charset",
    "comment",
    "ctime",
    "gid",
    "gname",
    "hdrcharset",
    "linkpath",
    "mtime",
    "uid",
    "uname",
    "LIBARCHIVE.creationtime",
    "LIBARCHIVE.xattr.",
    "MSWINDOWS.",
    "RHT.security.selinux",
    "SCHILY.acl.",
    "SCHILY.dev",
    "SCHILY.fflags",
    "SCHILY.ino",
    "SCHILY.nlink",
    "SCHILY.xattr.",
    "security.",
];

fn is_harmless(key: &str) -> bool {
    HARMLESS.iter().any(|known| if known.ends_with('.') { key.starts_with(known) } else { key == *known })
}

/// The members that an extended header applies to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The next one.
    Member,
    /// All that follow.
    Archive,
}

/// The contents of the extended headers before a member.
#[derive(Default)]
struct PaxRecords {
    name: Option<String>,
    len: Option<u64>,
    /// The first key that is not supported, escaped.
    unsupported: Option<String>,
}

impl PaxRecords {
    /// Reads records `LENGTH KEY=VALUE\n`, the length counting all of the record.
    fn add(&mut self, mut bytes: &[u8], offset: u64, scope: Scope) -> Result<()> {
        while !bytes.is_empty() {
            let (record, rest) =
                split_record(bytes).ok_or_else(|| bad(ErrorKind::Corrupt, "extended header", offset))?;
            bytes = rest;
            match record.iter().position(|byte| *byte == b'=').and_then(|at| record.split_at_checked(at)) {
                Some((key, value)) => self.set(key, value.get(1..).unwrap_or_default(), offset, scope)?,
                None if record.is_empty() => {}
                None => return Err(bad(ErrorKind::Corrupt, "extended header", offset)),
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], offset: u64, scope: Scope) -> Result<()> {
        match (key, scope) {
            (b"path", Scope::Member) => self.name = Some(path(value, offset)?),
            (b"size", Scope::Member) => {
                let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                self.len = Some(size.ok_or_else(|| bad(ErrorKind::Corrupt, "size", offset))?);
            }
            _ => {
                let key = String::from_utf8_lossy(key);
                if !is_harmless(&key) {
                    self.unsupported.get_or_insert_with(|| key.escape_debug().take(KEY).collect());
                }
            }
        }
        Ok(())
    }
}

/// The `NAME=VALUE` of the first record, and what follows it.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let len: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
    let record = bytes.get(blank.checked_add(1)?..len)?;
    Some((record.strip_suffix(b"\n")?, bytes.get(len..)?))
}

/// A number in octal digits, or in base 256 if the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // A negative number has the next bit set.
        if first & 0x40 != 0 {
            return None;
        }
        let fold = |value: u64, byte: &u8| value.checked_mul(256)?.checked_add(u64::from(*byte));
        return rest.iter().try_fold(u64::from(first & 0x3F), fold);
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// Text up to the first NUL.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

/// A name from an extension.
fn path(bytes: &[u8], offset: u64) -> Result<String> {
    if bytes.len() > NAME.saturating_add(1) {
        return Err(bad(ErrorKind::Limit, "name", offset)
            .found(bytes.len())
            .expected(format_args!("at most {NAME} bytes")));
    }
    Ok(text(bytes))
}

/// The error for the member with a header at `offset` that cannot be read as a plain file.
fn unsupported(name: &str, offset: u64) -> Error {
    let name: String = name.escape_debug().take(KEY).collect();
    bad(ErrorKind::Unsupported, "storage", offset)
        .field(format!("storage of '{name}'"))
        .expected("a plain file")
}

fn bad(kind: ErrorKind, field: &'static str, offset: u64) -> Error {
    Error::new(kind).format(TAR).field(field).at(offset)
}
