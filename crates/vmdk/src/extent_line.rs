//! A line of the descriptor for one extent of the disk: a file, or zeros.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Extent Description".

use diskimg_core::{HostOffset, Result};
use nom::bytes::complete::{tag, take_till, take_while1};
use nom::character::complete::{digit1, space1};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use crate::addr::{SECTOR, sector_offset, sectors};
use crate::errors::{corrupt, unsupported};

/// The first number of sectors that no disk has: sizes in bytes are below 2^63.
const SECTORS_END: u64 = (1 << 63) / SECTOR;

/// The access of the guest to an extent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::enum_variant_names, reason = "the specification's words")]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
    /// Reads as zeros; the file is never opened.
    NoAccess,
}

/// The type of an extent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExtentType {
    /// A file of guest bytes.
    Flat,
    /// A file of guest bytes on VMFS.
    Vmfs,
    /// A hosted sparse extent.
    Sparse,
    /// A sparse extent of ESX.
    VmfsSparse,
    /// A space-efficient sparse extent of ESXi.
    SeSparse,
    /// Zeros, without a file.
    Zero,
    /// A raw device, accessed through a mapping file.
    VmfsRdm,
    /// A raw device.
    VmfsRaw,
}

impl ExtentType {
    const NAMES: [(&'static str, Self); 8] = [
        ("FLAT", Self::Flat),
        ("VMFS", Self::Vmfs),
        ("SPARSE", Self::Sparse),
        ("VMFSSPARSE", Self::VmfsSparse),
        ("SESPARSE", Self::SeSparse),
        ("ZERO", Self::Zero),
        ("VMFSRDM", Self::VmfsRdm),
        ("VMFSRAW", Self::VmfsRaw),
    ];

    /// The keyword in a descriptor.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// A parsed extent line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExtentLine {
    pub(crate) access: Access,
    /// Sectors of the disk in the extent.
    pub(crate) sectors: u64,
    pub(crate) kind: ExtentType,
    /// The file name: the bytes between the quotes. `None` for zeros. It is empty in images by mkimg of FreeBSD, which
    /// are one file.
    pub(crate) name: Option<Vec<u8>>,
    /// The sector of a flat file at which the guest bytes begin.
    pub(crate) offset_sectors: u64,
    /// Byte offset of the line in the file that holds the descriptor.
    pub(crate) at: u64,
}

impl ExtentLine {
    /// Bytes of the disk in the extent.
    pub(crate) const fn bytes(&self) -> u64 {
        sectors(self.sectors)
    }

    /// The offset of the guest bytes in a flat file.
    pub(crate) const fn file_offset(&self) -> HostOffset {
        sector_offset(self.offset_sectors)
    }

    /// Parses the trimmed line at byte `at`. Returns `None` if it is not an extent line: its first word is not an
    /// access.
    ///
    /// The identity of a partition or device, after the offset, is ignored.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for an invalid line, [`diskimg_core::ErrorKind::Unsupported`] for an
    /// unknown type.
    pub(crate) fn parse(line: &[u8], at: u64) -> Result<Option<Self>> {
        let Some((rest, access)) = access(line) else { return Ok(None) };
        let broken = |what: &str| corrupt("extent line").at(at).found_name(line).expected(what);
        let (rest, (sectors, kind)) =
            sectors_and_type(rest).map_err(|_| broken("an access, a number of sectors and a type"))?;
        let sectors = number(sectors)
            .filter(|sectors| *sectors < SECTORS_END)
            .ok_or_else(|| broken("a number of sectors below 2^54"))?;
        let kind = keyword(kind, &ExtentType::NAMES).ok_or_else(|| {
            let expected = "FLAT, SPARSE, ZERO, VMFS, VMFSSPARSE, VMFSRDM, VMFSRAW or SESPARSE";
            unsupported("extent type").at(at).found_name(kind).expected(expected)
        })?;
        let mut parsed = Self { access, sectors, kind, name: None, offset_sectors: 0, at };
        if kind == ExtentType::Zero {
            return Ok(Some(parsed));
        }
        let (rest, name) = quoted(rest).map_err(|_| broken("a file name in quotes after the type"))?;
        parsed.name = Some(name.to_vec());
        parsed.offset_sectors = offset(rest).ok_or_else(|| broken("an offset in sectors, or nothing"))?;
        Ok(Some(parsed))
    }
}

/// Returns true if a line may be an extent with an unknown access: its third word is an extent type.
pub(crate) fn has_extent_type(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.nth(2).is_some_and(|word| keyword(word, &ExtentType::NAMES).is_some())
}

/// Parses the access, which ends with a blank. Returns the rest of the line with it.
fn access(line: &[u8]) -> Option<(&[u8], Access)> {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    let (word, rest) = line.split_at_checked(end)?;
    let known = [("RW", Access::ReadWrite), ("RDONLY", Access::ReadOnly), ("NOACCESS", Access::NoAccess)];
    let access = keyword(word, &known)?;
    // A key may have the name of an access.
    let value = rest.trim_ascii_start().starts_with(b"=");
    (!value).then_some((rest, access))
}

/// Returns the value that a word names, in any case.
pub(crate) fn keyword<T: Copy>(word: &[u8], known: &[(&str, T)]) -> Option<T> {
    let found = known.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
    found.map(|(_, value)| *value)
}

fn sectors_and_type(input: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let word = take_while1(|byte: u8| byte.is_ascii_alphanumeric());
    (preceded(space1, digit1), preceded(space1, word)).parse(input)
}

fn quoted(input: &[u8]) -> IResult<&[u8], &[u8]> {
    preceded(space1, delimited(tag("\""), take_till(|byte| byte == b'"'), tag("\""))).parse(input)
}

/// Parses the offset after the file name; 0 if there is none.
fn offset(rest: &[u8]) -> Option<u64> {
    let word = rest.trim_ascii().split(u8::is_ascii_whitespace).next().filter(|word| !word.is_empty());
    let separate = rest.first().is_none_or(u8::is_ascii_whitespace);
    match word {
        None => Some(0),
        Some(word) => number(word).filter(|offset| separate && *offset < SECTORS_END),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|c| c.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn line(text: &str) -> ExtentLine {
        ExtentLine::parse(text.as_bytes(), 7).unwrap().unwrap()
    }

    #[test]
    fn line_of_each_dialect_is_parsed() {
        let flat = line("RW 4192256 FLAT \"disk-f001.vmdk\" 63");
        assert_eq!((flat.access, flat.sectors, flat.kind), (Access::ReadWrite, 4_192_256, ExtentType::Flat));
        assert_eq!((flat.name.as_deref(), flat.offset_sectors), (Some(&b"disk-f001.vmdk"[..]), 63));
        let vmfs = line("RW 16384 VMFS \"a-flat.vmdk\" 0");
        assert_eq!((vmfs.kind, vmfs.offset_sectors), (ExtentType::Vmfs, 0));
        let odd = line("rdonly\t8  sparse   \"a = b \'c\'.vmdk\"");
        assert_eq!((odd.access, odd.kind), (Access::ReadOnly, ExtentType::Sparse));
        assert_eq!(odd.name.as_deref(), Some(&b"a = b \'c\'.vmdk"[..]));
        let zero = line("NOACCESS 63 ZERO");
        assert_eq!((zero.access, zero.kind, zero.name), (Access::NoAccess, ExtentType::Zero, None));
        let partition = line(r#"RW 63 FLAT "\\.\PhysicalDrive0" 63 some-uuid some-device"#);
        assert_eq!((partition.offset_sectors, partition.at), (63, 7));
    }

    #[test]
    fn line_with_another_first_word_is_not_an_extent() {
        for text in ["", "RW", "RWX 1 ZERO", "CID=1", "RW = 5", "rw=5"] {
            assert_eq!(ExtentLine::parse(text.as_bytes(), 0).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn invalid_line_is_rejected() {
        for text in [
            "RW x FLAT \"a\"",
            "RW -1 FLAT \"a\"",
            "RW +1 FLAT \"a\"",
            "RW 18014398509481984 FLAT \"a\"",
            "RW 99999999999999999999 FLAT \"a\"",
            "RW 1 FLAT",
            "RW 1 FLAT a",
            "RW 1 FLAT \"a",
            "RW 1 FLAT \"a\"1",
            "RW 1 FLAT \"a\" x",
            "RW 1 FLAT \"a\" -1",
            "RW 1",
        ] {
            let error = ExtentLine::parse(text.as_bytes(), 7).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(7)), "{text}");
        }
        let error = ExtentLine::parse(b"RW 1 HOLES \"a\"", 7).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
