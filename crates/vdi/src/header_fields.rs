//! The fields of the header, not validated.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h`: `VDIPREHEADER`, `VDIHEADER0`, `VDIHEADER1`. All numbers
//! are little-endian. A `VDIHEADER1PLUS` is a `VDIHEADER1` with a second CHS geometry, which is not needed here.

use diskimg_core::{ErrorKind, Result};
use nom::bytes::complete::take;
use nom::number::complete::{le_u32, le_u64};
use nom::{IResult, Parser};
use uuid::Uuid;

use crate::addr::ENTRY_BYTES;
use crate::errors::{corrupt, truncated, unsupported};

/// The offset of the signature, after a text without meaning.
pub(crate) const SIGNATURE_AT: usize = 64;
/// The bytes of the signature, 0xBEDA107F.
pub(crate) const SIGNATURE: [u8; 4] = [0x7F, 0x10, 0xDA, 0xBE];
/// Bytes of the text, the signature and the version.
pub(crate) const PREHEADER_BYTES: u64 = 72;
/// Bytes of the shortest version 1 header after the preheader. The length field has the actual number.
pub(crate) const V1_HEADER_BYTES: u32 = 384;
/// The end of a version 0 header and start of its block map.
pub(crate) const V0_LENGTH: u64 = 420;
/// The end of the shortest version 1 header.
pub(crate) const V1_LENGTH: u64 = PREHEADER_BYTES + V1_HEADER_BYTES as u64;
/// Bytes of the comment.
const COMMENT_BYTES: usize = 256;

/// The fields of a header of either version.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct HeaderFields {
    pub(crate) major: u16,
    pub(crate) minor: u16,
    /// The length field of version 1: bytes of the header without the 72 bytes of the preheader.
    pub(crate) header_bytes: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    /// The comment up to the first NUL, not escaped.
    pub(crate) comment: Vec<u8>,
    map_offset: u32,
    data_offset: u32,
    pub(crate) sector: u32,
    pub(crate) size: u64,
    pub(crate) block: u32,
    pub(crate) extra: u32,
    pub(crate) blocks: u32,
    pub(crate) blocks_allocated: u32,
    pub(crate) uuids: HeaderUuids,
}

/// The UUIDs of the image and its parent; nil if unknown.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct HeaderUuids {
    pub(crate) create: Uuid,
    pub(crate) modify: Uuid,
    pub(crate) parent: Uuid,
    pub(crate) parent_modify: Uuid,
}

/// The byte offsets of the fields, for errors.
pub(crate) struct FieldOffsets {
    pub(crate) kind: u64,
    pub(crate) flags: u64,
    pub(crate) map_offset: u64,
    pub(crate) data_offset: u64,
    pub(crate) sector: u64,
    pub(crate) size: u64,
    pub(crate) block: u64,
    pub(crate) extra: u64,
    pub(crate) blocks: u64,
    pub(crate) blocks_allocated: u64,
    pub(crate) parent: u64,
}

/// Version 0. Fields that it does not have get the end of its header.
const V0_OFFSETS: FieldOffsets = FieldOffsets {
    kind: 72,
    flags: 76,
    map_offset: V0_LENGTH,
    data_offset: V0_LENGTH,
    sector: 348,
    size: 352,
    block: 360,
    extra: V0_LENGTH,
    blocks: 364,
    blocks_allocated: 368,
    parent: 404,
};

const V1_OFFSETS: FieldOffsets = FieldOffsets {
    kind: 76,
    flags: 80,
    map_offset: 340,
    data_offset: 344,
    sector: 360,
    size: 368,
    block: 376,
    extra: 380,
    blocks: 384,
    blocks_allocated: 388,
    parent: 424,
};

impl HeaderFields {
    /// Parses the fields of the header's version. Fields that it does not have get their implied values.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the signature, [`ErrorKind::Unsupported`] for other versions,
    /// [`ErrorKind::Truncated`] if `bytes` ends before the header.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let short = |need: u64| {
            let found = format!("{} bytes", bytes.len());
            truncated("header").at(0).found(found).expected(format_args!("at least {need}"))
        };
        let (rest, (signature, version)) = signature_and_version(bytes).map_err(|_| short(V1_LENGTH))?;
        if *signature != SIGNATURE {
            return Err(corrupt("u32Signature")
                .with_kind(ErrorKind::UnknownFormat)
                .at(64)
                .found_name(signature)
                .expected("0xbeda107f"));
        }
        let halves = version.to_le_bytes();
        let (minor, major) =
            (u16::from_le_bytes([halves[0], halves[1]]), u16::from_le_bytes([halves[2], halves[3]]));
        let parsed = match major {
            0 => version_0(rest).map_err(|_| short(V0_LENGTH)),
            1 => version_1(rest).map_err(|_| short(V1_LENGTH)),
            _ => {
                let found = format!("{major}.{minor}");
                return Err(unsupported("u32Version").at(68).found(found).expected("version 0 or 1"));
            }
        };
        let (_, fields) = parsed?;
        Ok(Self { major, minor, ..fields })
    }

    /// The offsets of the fields.
    pub(crate) const fn offsets(&self) -> &'static FieldOffsets {
        if self.major == 0 { &V0_OFFSETS } else { &V1_OFFSETS }
    }

    /// The end of the shortest header of this version.
    pub(crate) const fn length(&self) -> u64 {
        if self.major == 0 { V0_LENGTH } else { V1_LENGTH }
    }

    /// The start of the block map: the end of a version 0 header, any offset in version 1.
    pub(crate) fn map_offset(&self) -> u64 {
        if self.major == 0 { V0_LENGTH } else { self.map_offset.into() }
    }

    /// The start of the blocks: the end of the block map in version 0, any offset in version 1.
    pub(crate) fn data_offset(&self) -> u64 {
        match self.major {
            0 => V0_LENGTH.saturating_add(u64::from(self.blocks).saturating_mul(ENTRY_BYTES)),
            _ => self.data_offset.into(),
        }
    }
}

/// The length of the shortest header of the version in `bytes`, or of the preheader if `bytes` ends before the version.
pub(crate) fn length_of_version(bytes: &[u8]) -> usize {
    let need = match signature_and_version(bytes) {
        Ok((_, (_, version))) if version >> 16 == 0 => V0_LENGTH,
        Ok(_) => V1_LENGTH,
        Err(_) => PREHEADER_BYTES,
    };
    usize::try_from(need).unwrap_or(usize::MAX)
}

fn signature_and_version(bytes: &[u8]) -> IResult<&[u8], (&[u8], u32)> {
    let (rest, (_, signature, version)) = (take(SIGNATURE_AT), take(4_usize), le_u32).parse(bytes)?;
    Ok((rest, (signature, version)))
}

fn version_0(bytes: &[u8]) -> IResult<&[u8], HeaderFields> {
    let mut fields = HeaderFields::default();
    let mut rest = bytes;
    (rest, (fields.kind, fields.flags, fields.comment)) = (le_u32, le_u32, comment).parse(rest)?;
    (rest, (_, fields.sector, fields.size)) = (take(12_usize), le_u32, le_u64).parse(rest)?;
    (rest, (fields.block, fields.blocks, fields.blocks_allocated)) = (le_u32, le_u32, le_u32).parse(rest)?;
    let uuids = &mut fields.uuids;
    (rest, (uuids.create, uuids.modify, uuids.parent)) = (uuid, uuid, uuid).parse(rest)?;
    Ok((rest, fields))
}

fn version_1(bytes: &[u8]) -> IResult<&[u8], HeaderFields> {
    let mut fields = HeaderFields::default();
    let mut rest = bytes;
    (rest, (fields.header_bytes, fields.kind, fields.flags)) = (le_u32, le_u32, le_u32).parse(rest)?;
    (rest, (fields.comment, fields.map_offset, fields.data_offset)) =
        (comment, le_u32, le_u32).parse(rest)?;
    (rest, (_, fields.sector)) = (take(12_usize), le_u32).parse(rest)?;
    (rest, (_, fields.size, fields.block, fields.extra)) = (le_u32, le_u64, le_u32, le_u32).parse(rest)?;
    (rest, (fields.blocks, fields.blocks_allocated)) = (le_u32, le_u32).parse(rest)?;
    let uuids = &mut fields.uuids;
    (rest, (uuids.create, uuids.modify, uuids.parent, uuids.parent_modify)) =
        (uuid, uuid, uuid, uuid).parse(rest)?;
    Ok((rest, fields))
}

fn comment(bytes: &[u8]) -> IResult<&[u8], Vec<u8>> {
    let (rest, comment) = take(COMMENT_BYTES).parse(bytes)?;
    let text = comment.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok((rest, text.to_vec()))
}

/// A UUID in the memory layout of Windows: the first three fields are little-endian.
fn uuid(bytes: &[u8]) -> IResult<&[u8], Uuid> {
    let (rest, bytes) = take(16_usize).parse(bytes)?;
    let uuid = bytes.first_chunk::<16>().map_or(Uuid::nil(), |bytes| Uuid::from_bytes_le(*bytes));
    Ok((rest, uuid))
}
