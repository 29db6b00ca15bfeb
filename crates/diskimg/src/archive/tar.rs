//! The headers of a tar archive, parsed one after the other. [`super::members`] reads their bytes from a source,
//! [`super::tar_stream`] from a stream.
//!
//! Source: POSIX.1-1988 section 10.1.1 (ustar), POSIX.1-2001 `pax` (extended headers), and the GNU tar manual,
//! "Basic Tar Format" (long names, sizes in base 256) and "Storing Sparse Files".
//!
//! Only plain files are read. Directories, devices and named pipes hold no bytes and are skipped; every other way to
//! store a member is an error, because its bytes in the archive are not the bytes of the file.

use std::ops::Range;

use diskimg_core::{Error, ErrorKind, Format, Result, range};

const TAR: Format = Format::new("tar");

/// The length of a header in bytes. Members are padded to a multiple of it.
pub(super) const BLOCK_LEN: usize = 512;
pub(super) const BLOCK: u64 = BLOCK_LEN as u64;

/// The length in bytes of the first field of a header, the name.
pub(super) const NAME_LEN: usize = 100;

/// The maximum number of headers in an archive. Our limit; an OVA has a handful.
const MAX_HEADERS: usize = 4096;

/// The longest extended header in bytes. Our limit.
const MAX_EXTENDED: u64 = 64 << 10;

/// The longest name in bytes. Our limit, and the longest path on Linux (`PATH_MAX`).
const MAX_NAME: usize = 4096;

/// The maximum number of characters of a key or name that an error shows. Our limit.
const MAX_SHOWN: usize = 256;

/// A regular file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TarMember {
    pub(super) name: String,
    /// Its bytes in the archive.
    pub(super) range: Range<u64>,
}

/// Returns true if a file with these first bytes is a tar archive.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// The data after a header.
pub(super) enum TarEntry {
    /// A regular file.
    File(TarMember),
    /// An extended header for the next member, to be passed to [`TarHeaders::extend`] with its type flag.
    Extension(u8, Range<u64>),
    /// A directory, device or named pipe.
    Skipped(Range<u64>),
}

impl TarEntry {
    /// The range of the data in the archive.
    pub(super) fn range(&self) -> &Range<u64> {
        match self {
            Self::File(TarMember { range, .. }) | Self::Extension(_, range) | Self::Skipped(range) => range,
        }
    }
}

/// Parses the headers of an archive in order.
#[derive(Default)]
pub(super) struct TarHeaders {
    next: u64,
    count: usize,
    extended: PaxRecords,
}

impl TarHeaders {
    /// The offset of the next header.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Parses the block at [`TarHeaders::next`]. `None` if it ends the archive.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a header that contradicts itself, [`ErrorKind::Limit`] for more than 4096
    /// headers, or an extended one over 64 KiB, [`ErrorKind::Unsupported`] for a member that is not stored as a
    /// plain file.
    pub(super) fn header(&mut self, block: &[u8; BLOCK_LEN]) -> Result<Option<TarEntry>> {
        let offset = self.next;
        let Some(header) = TarHeader::parse(block, offset)? else { return Ok(None) };
        self.count = self.count.saturating_add(1);
        if self.count > MAX_HEADERS {
            return Err(
                bad(ErrorKind::Limit, "members", offset).expected(format_args!("at most {MAX_HEADERS}"))
            );
        }
        let is_extension = matches!(header.kind, b'x' | b'X' | b'g' | b'L' | b'K');
        let len = if is_extension { header.len } else { self.extended.len.unwrap_or(header.len) };
        let start = offset.saturating_add(BLOCK);
        let range = start..start.saturating_add(len);
        self.next = range.end.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        if is_extension {
            return match len <= MAX_EXTENDED {
                true => Ok(Some(TarEntry::Extension(header.kind, range))),
                false => Err(bad(ErrorKind::Limit, "extended header", start)
                    .found(len)
                    .expected(format_args!("at most {MAX_EXTENDED} bytes"))),
            };
        }
        let extended = std::mem::take(&mut self.extended);
        let name = extended.name.unwrap_or(header.name);
        if let Some(key) = extended.unsupported {
            return Err(unsupported(&name, offset).found(format_args!("extended header key {key}")));
        }
        entry(header.kind, name, range, offset).map(Some)
    }

    /// Parses an extended header of this type at `offset`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is not a list of records, [`ErrorKind::Limit`] for a name over 4096 bytes.
    pub(super) fn extend(&mut self, kind: u8, bytes: &[u8], offset: u64) -> Result<()> {
        match kind {
            b'L' => self.extended.name = Some(path(bytes, offset)?),
            b'x' | b'X' | b'g' => self.extended.add(kind, bytes, offset)?,
            // The target of a link, which is refused when its own header comes.
            _ => {}
        }
        Ok(())
    }
}

/// The error for an archive that ends at `size`, inside the data of an entry.
pub(super) fn truncated(range: &Range<u64>, size: u64) -> Error {
    bad(ErrorKind::Truncated, "size", range.start.saturating_sub(BLOCK))
        .found(range::len(range))
        .expected(format_args!("at most {}, the rest of the file", range::len(&(range.start..size))))
}

struct TarHeader {
    name: String,
    len: u64,
    kind: u8,
}

impl TarHeader {
    /// Parses the block at `offset`. `None` if it ends the archive.
    fn parse(block: &[u8; BLOCK_LEN], offset: u64) -> Result<Option<Self>> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let field = |range: Range<usize>| block.get(range).unwrap_or_default();
        // The field of the checksum counts as blanks.
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
}

/// The entry of a member with this type flag, whose header is at `offset`.
fn entry(type_flag: u8, name: String, range: Range<u64>, offset: u64) -> Result<TarEntry> {
    let storage: &str = match type_flag {
        b'7' => return Ok(TarEntry::File(TarMember { name, range })),
        // Archives older than ustar mark a directory by its name alone.
        0 | b'0' if !name.ends_with('/') => return Ok(TarEntry::File(TarMember { name, range })),
        // The names in a directory, which only restoring a backup needs.
        b'D' => return Ok(TarEntry::Skipped(range)),
        // Device, directory, named pipe, and GNU's label of a volume.
        0 | b'0' | b'3'..=b'6' | b'V' if range.is_empty() => return Ok(TarEntry::Skipped(range)),
        0 | b'0' | b'3'..=b'6' | b'V' => &format!(" with {} bytes", range::len(&range)),
        b'1' => ", a hard link",
        b'2' => ", a symbolic link",
        b'M' => ", the rest of a file from another volume",
        b'S' => ", a sparse file",
        _ => "",
    };
    let type_flag = char::from(type_flag).escape_debug();
    Err(unsupported(&name, offset).found(format_args!("type '{type_flag}'{storage}")))
}

/// Returns true for keys of extended headers that change neither the bytes nor the name of a member.
fn is_harmless(key: &str) -> bool {
    const HARMLESS: [&str; 2] = ["LIBARCHIVE.creationtime", "RHT.security.selinux"];
    const HARMLESS_PREFIXES: [&str; 5] =
        ["LIBARCHIVE.xattr.", "MSWINDOWS.", "SCHILY.acl.", "SCHILY.xattr.", "security."];
    match key {
        "atime" | "charset" | "comment" | "ctime" | "gid" | "gname" | "hdrcharset" | "linkpath" | "mtime"
        | "uid" | "uname" | "SCHILY.dev" | "SCHILY.fflags" | "SCHILY.ino" | "SCHILY.nlink" => true,
        _ => HARMLESS.contains(&key) || HARMLESS_PREFIXES.iter().any(|prefix| key.starts_with(prefix)),
    }
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
    /// Reads records `LENGTH KEY=VALUE\n`, the length counting all of the record. A header of the kind `g` applies to
    /// all members that follow.
    fn add(&mut self, kind: u8, mut bytes: &[u8], offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let (record, rest) =
                split_record(bytes).ok_or_else(|| bad(ErrorKind::Corrupt, "extended header", offset))?;
            bytes = rest;
            match record.iter().position(|byte| *byte == b'=').and_then(|at| record.split_at_checked(at)) {
                Some((key, value)) => self.set(kind, key, value.get(1..).unwrap_or_default(), offset)?,
                None if record.is_empty() => {}
                None => return Err(bad(ErrorKind::Corrupt, "extended header", offset)),
            }
        }
        Ok(())
    }

    fn set(&mut self, kind: u8, key: &[u8], value: &[u8], offset: u64) -> Result<()> {
        match key {
            b"path" if kind != b'g' => self.name = Some(path(value, offset)?),
            b"size" if kind != b'g' => {
                let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                self.len = Some(size.ok_or_else(|| bad(ErrorKind::Corrupt, "size", offset))?);
            }
            _ => {
                let key = String::from_utf8_lossy(key);
                if !is_harmless(&key) {
                    self.unsupported.get_or_insert_with(|| key.escape_debug().take(MAX_SHOWN).collect());
                }
            }
        }
        Ok(())
    }
}

/// Splits the first `KEY=VALUE` from the records after it.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let len: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
    let record = bytes.get(blank.checked_add(1)?..len)?;
    Some((record.strip_suffix(b"\n")?, bytes.get(len..)?))
}

/// Parses a number in octal digits, or in base 256 if the first bit is set.
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

/// Returns the text before the first NUL.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

/// Parses the name in an extended header.
fn path(bytes: &[u8], offset: u64) -> Result<String> {
    if bytes.len() > MAX_NAME.saturating_add(1) {
        return Err(bad(ErrorKind::Limit, "name", offset)
            .found(bytes.len())
            .expected(format_args!("at most {MAX_NAME} bytes")));
    }
    Ok(text(bytes))
}

/// The error for the member with a header at `offset` that cannot be read as a plain file.
fn unsupported(name: &str, offset: u64) -> Error {
    let name: String = name.escape_debug().take(MAX_SHOWN).collect();
    bad(ErrorKind::Unsupported, "storage", offset)
        .field(format!("storage of '{name}'"))
        .expected("a plain file")
}

fn bad(kind: ErrorKind, field: &'static str, offset: u64) -> Error {
    Error::new(kind).format(TAR).field(field).at(offset)
}
