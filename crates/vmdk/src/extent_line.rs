//! A line of the descriptor that names one of the files, or a stretch of zeros, that the disk is put together
//! from.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Extent Description".

use diskimg_core::Result;
use nom::bytes::complete::{tag, take_till, take_while1};
use nom::character::complete::{digit1, space1};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use crate::errors::{corrupt, unsupported};
use crate::sparse_header::SECTOR;

/// The most sectors a disk can have: sizes in bytes are below 2^63.
const SECTORS_END: u64 = (1 << 63) / SECTOR;

/// How the guest may use an extent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::enum_variant_names, reason = "the specification's words")]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
    /// Reads as zeros; the file is never opened.
    NoAccess,
}

/// What a file of the image is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExtentType {
    /// Guest bytes as they are.
    Flat,
    /// The same on VMFS.
    Vmfs,
    /// A hosted sparse extent.
    Sparse,
    /// A sparse extent of ESX.
    VmfsSparse,
    /// A space-efficient sparse extent of ESXi.
    SeSparse,
    /// Zeros, without a file.
    Zero,
    /// A raw device behind a mapping file.
    VmfsRdm,
    /// A raw device.
    VmfsRaw,
}

impl ExtentType {
    const ALL: [Self; 8] = [
        Self::Flat,
        Self::Vmfs,
        Self::Sparse,
        Self::VmfsSparse,
        Self::SeSparse,
        Self::Zero,
        Self::VmfsRdm,
        Self::VmfsRaw,
    ];

    /// The word for it in a descriptor.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Flat => "FLAT",
            Self::Vmfs => "VMFS",
            Self::Sparse => "SPARSE",
            Self::VmfsSparse => "VMFSSPARSE",
            Self::SeSparse => "SESPARSE",
            Self::Zero => "ZERO",
            Self::VmfsRdm => "VMFSRDM",
            Self::VmfsRaw => "VMFSRAW",
        }
    }

    fn of(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes().eq_ignore_ascii_case(word))
    }
}

/// A line of the descriptor's extent description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExtentLine {
    pub(crate) access: Access,
    /// Sectors of the disk that it stands for.
    pub(crate) sectors: u64,
    pub(crate) kind: ExtentType,
    /// The file, its bytes exactly as they stand between the quotes; `None` for zeros.
    pub(crate) name: Option<Vec<u8>>,
    /// Where the guest's bytes begin in a flat file.
    pub(crate) offset_sectors: u64,
    /// Byte offset of the line in the file that holds the descriptor.
    pub(crate) at: u64,
}

impl ExtentLine {
    /// Bytes of the disk that it stands for; the number of sectors was checked.
    pub(crate) const fn bytes(&self) -> u64 {
        self.sectors.saturating_mul(SECTOR)
    }

    /// Reads a line, without blanks around it, that lies at byte `at`: `None` when its first word is no kind
    /// of access, and it therefore is no such line.
    ///
    /// What follows the offset, the identity of a partition or device, means nothing to a reader.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for a line that cannot be,
    /// [`diskimg_core::ErrorKind::Unsupported`] for an unknown type.
    pub(crate) fn parse(line: &[u8], at: u64) -> Result<Option<Self>> {
        let Some((rest, access)) = access(line) else { return Ok(None) };
        let broken = |what: &str| corrupt("extent line").at(at).found_name(line).expected(what);
        let (rest, (sectors, kind)) =
            sectors_and_type(rest).map_err(|_| broken("an access, a number of sectors and a type"))?;
        let sectors = number(sectors)
            .filter(|sectors| *sectors < SECTORS_END)
            .ok_or_else(|| broken("a number of sectors below 2^54"))?;
        let kind = ExtentType::of(kind).ok_or_else(|| {
            unsupported("extent type")
                .at(at)
                .found_name(kind)
                .expected("FLAT, SPARSE, ZERO, VMFS, VMFSSPARSE, VMFSRDM, VMFSRAW or SESPARSE")
        })?;
        let mut parsed = Self { access, sectors, kind, name: None, offset_sectors: 0, at };
        if kind == ExtentType::Zero {
            return Ok(Some(parsed));
        }
        let (rest, name) = quoted(rest).map_err(|_| broken("a file name in quotes behind the type"))?;
        if name.is_empty() {
            return Err(broken("a file name that is not empty"));
        }
        parsed.name = Some(name.to_vec());
        parsed.offset_sectors = offset(rest).ok_or_else(|| broken("an offset in sectors, or nothing"))?;
        Ok(Some(parsed))
    }
}

/// The access, which a blank has to follow, and what stands behind it.
fn access(line: &[u8]) -> Option<(&[u8], Access)> {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    let (word, rest) = line.split_at_checked(end)?;
    let known = [("RW", Access::ReadWrite), ("RDONLY", Access::ReadOnly), ("NOACCESS", Access::NoAccess)];
    let found = known.into_iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word))?;
    // A key may be called like an access.
    let value = rest.trim_ascii_start().starts_with(b"=");
    (!value).then_some((rest, found.1))
}

fn sectors_and_type(input: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let word = take_while1(|byte: u8| byte.is_ascii_alphanumeric());
    (preceded(space1, digit1), preceded(space1, word)).parse(input)
}

fn quoted(input: &[u8]) -> IResult<&[u8], &[u8]> {
    preceded(space1, delimited(tag("\""), take_till(|byte| byte == b'"'), tag("\""))).parse(input)
}

/// The number behind the file name; 0 without one.
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
    fn a_line_of_each_dialect_is_read() {
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
    fn a_line_with_another_first_word_is_no_extent() {
        for text in ["", "RW", "RWX 1 ZERO", "CID=1", "RW = 5", "rw=5"] {
            assert_eq!(ExtentLine::parse(text.as_bytes(), 0).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn a_broken_line_is_refused() {
        for text in [
            "RW x FLAT \"a\"",
            "RW -1 FLAT \"a\"",
            "RW +1 FLAT \"a\"",
            "RW 18014398509481984 FLAT \"a\"",
            "RW 99999999999999999999 FLAT \"a\"",
            "RW 1 FLAT",
            "RW 1 FLAT a",
            "RW 1 FLAT \"a",
            "RW 1 FLAT \"\"",
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
