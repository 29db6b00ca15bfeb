//! The fields of the header, not yet checked.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Header".

use diskimg_core::{ErrorKind, Result};
use nom::number::complete::{be_u8, be_u32, be_u64};
use nom::{IResult, Parser};

use crate::errors::{corrupt, truncated, unsupported};

/// The first four bytes: `QFI` and 0xfb.
pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";
/// The length in bytes of a version 2 header, which has no length field.
pub(crate) const V2_LENGTH: u32 = 72;
/// The length in bytes of the shortest version 3 header.
pub(crate) const V3_LENGTH: u32 = 104;
/// The length in bytes of a version 3 header with a compression type. QEMU has written it since 5.1.
pub(crate) const V3_LENGTH_WITH_COMPRESSION: u32 = 112;

/// log2 of the refcount width of version 2, and of most version 3 images: 16 bits.
pub(crate) const DEFAULT_REFCOUNT_ORDER: u32 = 4;

/// The fields of the header, decoded and otherwise unchanged.
pub(crate) struct HeaderFields {
    pub(crate) version: u32,
    pub(crate) backing_file_offset: u64,
    pub(crate) backing_file_size: u32,
    pub(crate) cluster_bits: u32,
    pub(crate) size: u64,
    pub(crate) crypt_method: u32,
    pub(crate) l1_size: u32,
    pub(crate) l1_table_offset: u64,
    pub(crate) refcount_table_offset: u64,
    pub(crate) refcount_table_clusters: u32,
    pub(crate) nb_snapshots: u32,
    pub(crate) snapshots_offset: u64,
    pub(crate) incompatible: u64,
    pub(crate) compatible: u64,
    pub(crate) autoclear: u64,
    pub(crate) refcount_order: u32,
    pub(crate) header_length: u32,
    pub(crate) compression_type: u8,
}

impl HeaderFields {
    /// Parses the fields that the version has. The others get the values that the version implies.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the magic; [`ErrorKind::Unsupported`] for other versions;
    /// [`ErrorKind::Truncated`] if `bytes` ends before the header.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let short = |need: u32| {
            let found = format!("{} bytes", bytes.len());
            truncated("header").at(0).found(found).expected(format_args!("at least {need}"))
        };
        if let Some(magic) = bytes.first_chunk::<4>() {
            if *magic != MAGIC {
                return Err(corrupt("magic").with_kind(ErrorKind::UnknownFormat).at(0).found_name(magic));
            }
        }
        let (_, (_, version)) = magic_and_version(bytes).map_err(|_| short(V2_LENGTH))?;
        match version {
            2 | 3 => {}
            1 => {
                let because = "this is a qcow image, the format before qcow2";
                return Err(unsupported("version").at(4).found(1).expected("2 or 3").because(because));
            }
            other => return Err(unsupported("version").at(4).found(other).expected("2 or 3")),
        }
        let (rest, mut fields) = version_2(bytes).map_err(|_| short(V2_LENGTH))?;
        fields.version = version;
        if version == 3 {
            let (rest, ()) = version_3(rest, &mut fields).map_err(|_| short(V3_LENGTH))?;
            if fields.header_length > V3_LENGTH {
                fields.compression_type = compression_type(rest).map_err(|_| short(V3_LENGTH + 1))?.1;
            }
        }
        Ok(fields)
    }
}

fn magic_and_version(bytes: &[u8]) -> IResult<&[u8], (u32, u32)> {
    (be_u32, be_u32).parse(bytes)
}

fn version_2(bytes: &[u8]) -> IResult<&[u8], HeaderFields> {
    let (rest, (_, version, backing_file_offset, backing_file_size, cluster_bits, size, crypt_method)) =
        (be_u32, be_u32, be_u64, be_u32, be_u32, be_u64, be_u32).parse(bytes)?;
    let (rest, (l1_size, l1_table_offset, refcount_table_offset)) = (be_u32, be_u64, be_u64).parse(rest)?;
    let (rest, (refcount_table_clusters, nb_snapshots, snapshots_offset)) =
        (be_u32, be_u32, be_u64).parse(rest)?;
    let fields = HeaderFields {
        version,
        backing_file_offset,
        backing_file_size,
        cluster_bits,
        size,
        crypt_method,
        l1_size,
        l1_table_offset,
        refcount_table_offset,
        refcount_table_clusters,
        nb_snapshots,
        snapshots_offset,
        incompatible: 0,
        compatible: 0,
        autoclear: 0,
        refcount_order: DEFAULT_REFCOUNT_ORDER,
        header_length: V2_LENGTH,
        compression_type: 0,
    };
    Ok((rest, fields))
}

fn version_3<'a>(bytes: &'a [u8], fields: &mut HeaderFields) -> IResult<&'a [u8], ()> {
    let (rest, (incompatible, compatible, autoclear, refcount_order, header_length)) =
        (be_u64, be_u64, be_u64, be_u32, be_u32).parse(bytes)?;
    fields.incompatible = incompatible;
    fields.compatible = compatible;
    fields.autoclear = autoclear;
    fields.refcount_order = refcount_order;
    fields.header_length = header_length;
    Ok((rest, ()))
}

fn compression_type(bytes: &[u8]) -> IResult<&[u8], u8> {
    be_u8(bytes)
}
