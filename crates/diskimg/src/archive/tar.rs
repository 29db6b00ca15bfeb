//! Members of a tar archive, found by their headers alone.
//!
//! Source: POSIX.1-1988 section 10.1.1 (ustar), POSIX.1-2001 `pax` (extended headers), and the GNU tar manual,
//! "Basic Tar Format" (long names, sizes in base 256).

use std::ops::Range;

use diskimg_core::{BlockSource, Error, ErrorKind, Format, Result};

const TAR: Format = Format::new("tar");
const BLOCK_LEN: usize = 512;
const BLOCK: u64 = BLOCK_LEN as u64;

/// Members that are looked at. A bound of ours: an OVA holds a handful.
const MEMBERS: usize = 4096;

/// The longest header of names and sizes that is read. A bound of ours.
const EXTENDED: u64 = 64 << 10;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where its bytes lie in the archive.
    pub(crate) range: Range<u64>,
}

/// Whether these first bytes are those of a tar archive.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// The regular files of an archive, in order.
///
/// # Errors
/// [`ErrorKind::Corrupt`] for a header that contradicts itself, [`ErrorKind::Truncated`] for a member that runs
/// past the end, [`ErrorKind::Limit`] for more than 4096 members or an extended header over 64 KiB.
pub(crate) fn members(source: &dyn BlockSource) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut offset = 0_u64;
    let mut extended = Extended::default();
    for _ in 0..MEMBERS {
        let Some(header) = Header::read(source, offset)? else { return Ok(members) };
        let len = if header.is_extension() { header.len } else { extended.len.unwrap_or(header.len) };
        let start = offset.saturating_add(BLOCK);
        let range = start..start.saturating_add(len);
        if range.end > source.size() {
            return Err(bad(ErrorKind::Truncated, "size", offset)
                .found(len)
                .expected(format_args!("at most {}, what is left", source.size().saturating_sub(start))));
        }
        if header.is_extension() {
            extended.read(source, header.kind, &range)?;
        } else {
            let taken = std::mem::take(&mut extended);
            if matches!(header.kind, b'0' | 0 | b'7') {
                members.push(Member { name: taken.name.unwrap_or(header.name), range: range.clone() });
            }
        }
        offset = range.end.next_multiple_of(BLOCK);
    }
    Err(bad(ErrorKind::Limit, "members", offset).expected(format_args!("at most {MEMBERS}")))
}

struct Header {
    name: String,
    len: u64,
    kind: u8,
}

impl Header {
    /// The header at `offset`; `None` where the archive ends.
    fn read(source: &dyn BlockSource, offset: u64) -> Result<Option<Self>> {
        if source.size().saturating_sub(offset) < BLOCK {
            return Ok(None);
        }
        let mut block = [0; BLOCK_LEN];
        source.read_at(offset, &mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let field = |range: Range<usize>| block.get(range).unwrap_or_default();
        // The checksum counts its own field as blanks.
        let sum = |from: &[u8]| from.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let expected = sum(&block).saturating_sub(sum(field(148..156))).saturating_add(8 * 32);
        if number(field(148..156)) != Some(expected) {
            return Err(bad(ErrorKind::Corrupt, "checksum of a header", offset)
                .expected(format_args!("{expected:o} in octal")));
        }
        let len = number(field(124..136)).ok_or_else(|| bad(ErrorKind::Corrupt, "size", offset))?;
        let (name, prefix) = (text(field(0..100)), text(field(345..500)));
        let is_ustar = field(257..263) == b"ustar\0";
        let name = if is_ustar && !prefix.is_empty() { format!("{prefix}/{name}") } else { name };
        let kind = field(156..157).first().copied().unwrap_or_default();
        Ok(Some(Self { name, len, kind }))
    }

    /// Whether it only says something about the member behind it.
    fn is_extension(&self) -> bool {
        matches!(self.kind, b'x' | b'g' | b'L' | b'K')
    }
}

/// What extended headers say about the member behind them.
#[derive(Default)]
struct Extended {
    name: Option<String>,
    len: Option<u64>,
}

impl Extended {
    fn read(&mut self, source: &dyn BlockSource, kind: u8, range: &Range<u64>) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        if len > EXTENDED {
            return Err(bad(ErrorKind::Limit, "extended header", range.start)
                .found(len)
                .expected(format_args!("at most {EXTENDED} bytes")));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        source.read_at(range.start, &mut bytes)?;
        match kind {
            b'L' => self.name = Some(text(&bytes)),
            b'x' => self.records(&bytes, range.start)?,
            _ => {}
        }
        Ok(())
    }

    /// Records `LENGTH NAME=VALUE\n`, the length counting all of the record.
    fn records(&mut self, mut bytes: &[u8], offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let (record, rest) =
                split_record(bytes).ok_or_else(|| bad(ErrorKind::Corrupt, "extended header", offset))?;
            bytes = rest;
            if let Some(path) = record.strip_prefix(b"path=") {
                self.name = Some(text(path));
            } else if let Some(size) = record.strip_prefix(b"size=") {
                self.len = std::str::from_utf8(size).ok().and_then(|size| size.parse().ok());
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

fn bad(kind: ErrorKind, field: &'static str, offset: u64) -> Error {
    Error::new(kind).format(TAR).field(field).at(offset)
}
