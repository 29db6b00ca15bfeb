//! One header of a tar archive.
//!
//! Source: POSIX.1-1988 section 10.1.1 (ustar), the V7 `tar(5)` manual page (no magic), and the GNU tar manual, "Basic
//! Tar Format" (sizes in base 256).

use std::ops::Range;

use diskimg_core::{Error, ErrorKind, Format, Result};

pub(crate) const TAR: Format = Format::new("tar");

/// The length of a header in bytes. Members are padded to a multiple of it.
pub(super) const BLOCK_LEN: usize = 512;
pub(super) const BLOCK: u64 = BLOCK_LEN as u64;

/// A block of an archive.
pub(super) type TarBlock = [u8; BLOCK_LEN];

/// The maximum number of characters of a key or name that an error shows. Our limit.
const MAX_SHOWN: usize = 256;

/// Returns true if a file with these first bytes is a tar archive: by the checksum of its first header. One of Unix V7 has
/// no magic.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<BLOCK_LEN>() else { return false };
    let has_name = block.first().is_some_and(|byte| *byte != 0);
    (has_name || field(block, 257..262) == b"ustar") && has_checksum(block)
}

/// The fields of a header.
pub(super) struct TarHeader {
    pub(super) name: String,
    pub(super) len: u64,
    pub(super) kind: u8,
    /// True for the layout of GNU tar, which has other fields after the magic.
    pub(super) is_gnu: bool,
}

impl TarHeader {
    /// Parses the block at `offset`. `None` if it ends the archive.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a wrong checksum or a size that is no number.
    pub(super) fn parse(block: &TarBlock, offset: u64) -> Result<Option<Self>> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !has_checksum(block) {
            return Err(bad(ErrorKind::Corrupt, "checksum of a header", offset)
                .expected(format_args!("{:o} in octal", checksum(block))));
        }
        let len = number(field(block, 124..136)).ok_or_else(|| bad(ErrorKind::Corrupt, "size", offset))?;
        let (name, prefix) = (text(field(block, 0..100)), text(field(block, 345..500)));
        let is_posix = field(block, 257..263) == b"ustar\0";
        let name = if is_posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name };
        let kind = field(block, 156..157).first().copied().unwrap_or_default();
        Ok(Some(Self { name, len, kind, is_gnu: field(block, 257..265) == b"ustar  \0" }))
    }
}

/// Returns the bytes of a block in this range.
pub(super) fn field(block: &TarBlock, range: Range<usize>) -> &[u8] {
    block.get(range).unwrap_or_default()
}

/// Returns true if a header has its checksum. Some old programs summed signed bytes.
fn has_checksum(block: &TarBlock) -> bool {
    let own = field(block, 148..156);
    let high = |bytes: &[u8]| bytes.iter().filter(|byte| **byte >= 0x80).count() as u64;
    let signed = high(block).saturating_sub(high(own)).saturating_mul(256);
    let sum = checksum(block);
    number(own).is_some_and(|found| found == sum || sum.checked_sub(signed) == Some(found))
}

/// Returns the sum of the bytes of a header. The field of the checksum counts as blanks.
fn checksum(block: &TarBlock) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    sum(block).saturating_sub(sum(field(block, 148..156))).saturating_add(8 * 32)
}

/// Parses a number in octal digits, or in base 256 if the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<u64> {
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
pub(super) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

/// Returns a name or key as an error shows it: escaped and short.
pub(super) fn shown(name: &str) -> String {
    name.escape_debug().take(MAX_SHOWN).collect()
}

/// The error for the member with a header at `offset` that cannot be read as a plain file.
pub(super) fn unsupported(name: &str, offset: u64) -> Error {
    bad(ErrorKind::Unsupported, "storage", offset)
        .field(format!("storage of '{}'", shown(name)))
        .expected("a plain file")
}

pub(super) fn bad(kind: ErrorKind, field: &'static str, offset: u64) -> Error {
    Error::new(kind).format(TAR).field(field).at(offset)
}
