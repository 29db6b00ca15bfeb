//! The header: the first 72 bytes of a version 2 image, the first 104 or more bytes of a version 3 image.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Header". Limits that the specification does not give are those of QEMU
//! (`block/qcow2.h`), so that QEMU opens every image that this crate opens.

use std::ops::Range;

use diskimg_core::{ErrorKind, Result, ensure};

use crate::addr::{Geometry, HostOffset, span};
pub(crate) use crate::addr::{MAX_CLUSTER_BITS, MIN_CLUSTER_BITS};
use crate::errors::{corrupt, limit, unsupported};
use crate::features;
use crate::header_fields::HeaderFields;
pub(crate) use crate::header_fields::{
    DEFAULT_REFCOUNT_ORDER, MAGIC, V2_LENGTH, V3_LENGTH, V3_LENGTH_WITH_COMPRESSION,
};

/// log2 of the smallest cluster size with subclusters: 32 subclusters of 512 bytes. Set by the specification.
pub(crate) const MIN_EXTENDED_CLUSTER_BITS: u32 = 14;
/// The largest L1 table in bytes. QEMU's limit (`QCOW_MAX_L1_SIZE`).
pub(crate) const MAX_L1_BYTES: u64 = 32 << 20;
/// The largest refcount table in bytes. QEMU's limit (`QCOW_MAX_REFTABLE_SIZE`).
pub(crate) const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
/// The longest backing file name in bytes. Set by the specification.
pub(crate) const MAX_BACKING_NAME: u32 = 1023;
/// log2 of the widest refcount, 64 bits. Set by the specification.
pub(crate) const MAX_REFCOUNT_ORDER: u32 = 6;
/// The unit of virtual sizes, in bytes.
pub(crate) const SECTOR: u64 = 512;

/// The compression method of an image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Compression {
    /// Raw deflate, which the specification calls zlib.
    Deflate = 0,
    /// Zstandard, one or more frames.
    Zstd = 1,
}

impl Compression {
    /// The name of the method in the output of `qemu-img`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Deflate => "zlib",
            Self::Zstd => "zstd",
        }
    }
}

/// The encryption method of an image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Encryption {
    /// AES-CBC, the deprecated method 1.
    Aes = 1,
    /// LUKS, method 2.
    Luks = 2,
}

impl Encryption {
    /// The name of the method in the output of `qemu-img`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
            Self::Luks => "luks",
        }
    }
}

/// The checked header. Nothing is checked against the size of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) version: u32,
    /// The offset and the length in bytes of the backing file name; `None` if there is none.
    pub(crate) backing_name: Option<(u64, u32)>,
    /// The end of the header extensions: the backing file name, or the end of the first cluster.
    pub(crate) extensions_end: u64,
    pub(crate) geometry: Geometry,
    /// The size field in bytes, not rounded.
    pub(crate) size: u64,
    pub(crate) encryption: Option<Encryption>,
    pub(crate) l1_entries: u64,
    pub(crate) l1_table_offset: u64,
    pub(crate) refcount_table_offset: u64,
    pub(crate) refcount_table_clusters: u32,
    pub(crate) snapshots: u32,
    pub(crate) snapshots_offset: u64,
    pub(crate) incompatible: u64,
    pub(crate) compatible: u64,
    pub(crate) autoclear: u64,
    pub(crate) refcount_order: u32,
    pub(crate) length: u32,
    pub(crate) compression: Compression,
}

impl Header {
    /// The size of the disk in bytes: the size field rounded down to whole sectors, as QEMU does.
    pub(crate) const fn virtual_size(&self) -> u64 {
        self.size & !(SECTOR - 1)
    }

    /// The length of the L1 table in bytes.
    pub(crate) const fn l1_bytes(&self) -> u64 {
        // No overflow: at most 32 MiB.
        self.l1_entries * 8
    }

    /// The length of the refcount table in bytes, at most 2^53.
    pub(crate) const fn refcount_table_bytes(&self) -> u64 {
        (self.refcount_table_clusters as u64) << self.geometry.cluster_bits()
    }

    /// The place of the refcount table in the file.
    pub(crate) const fn refcount_table(&self) -> Range<HostOffset> {
        span(HostOffset(self.refcount_table_offset), self.refcount_table_bytes())
    }

    /// Returns true if an incompatible feature is set.
    pub(crate) const fn has(&self, incompatible: u64) -> bool {
        self.incompatible & incompatible != 0
    }

    /// Parses and checks a header. `bytes` is the beginning of the file, at least 112 bytes unless the file is
    /// shorter.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the magic; [`ErrorKind::Truncated`] if `bytes` ends before the
    /// header; [`ErrorKind::Corrupt`], [`ErrorKind::Unsupported`] or [`ErrorKind::Limit`] for an invalid field.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let fields = HeaderFields::parse(bytes)?;
        fields.to_header()
    }
}

impl HeaderFields {
    fn to_header(&self) -> Result<Header> {
        let geometry = self.geometry()?;
        let backing_name = self.backing_name(geometry)?;
        let (l1_entries, refcount_order) = (self.l1_entries(geometry)?, self.refcount_order()?);
        let aligned = |field, at, value| aligned(field, at, value, geometry);
        aligned("refcount_table_offset", 48, self.refcount_table_offset)?;
        aligned("snapshots_offset", 64, self.snapshots_offset)?;
        self.check_autoclear()?;
        Ok(Header {
            version: self.version,
            backing_name,
            extensions_end: match self.backing_file_offset {
                0 => geometry.cluster_size(),
                offset => offset,
            },
            geometry,
            size: self.size()?,
            encryption: self.encryption()?,
            l1_entries,
            l1_table_offset: self.l1_table_offset,
            refcount_table_offset: self.refcount_table_offset,
            refcount_table_clusters: self.refcount_table_clusters,
            snapshots: self.nb_snapshots,
            snapshots_offset: self.snapshots_offset,
            incompatible: self.incompatible,
            compatible: self.compatible,
            autoclear: self.autoclear,
            refcount_order,
            length: self.header_length,
            compression: self.compression()?,
        })
    }

    fn geometry(&self) -> Result<Geometry> {
        let bits = self.cluster_bits;
        if !(MIN_CLUSTER_BITS..=MAX_CLUSTER_BITS).contains(&bits) {
            let range = format!("{MIN_CLUSTER_BITS} to {MAX_CLUSTER_BITS}");
            return Err(unsupported("cluster_bits").at(20).found(bits).expected(range));
        }
        let extended = self.incompatible & features::EXTENDED_L2 != 0;
        if extended && bits < MIN_EXTENDED_CLUSTER_BITS {
            let expected = format!("at least {MIN_EXTENDED_CLUSTER_BITS} with extended L2 entries");
            return Err(corrupt("cluster_bits").at(20).found(bits).expected(expected));
        }
        let geometry = Geometry::new(bits, extended);
        let length = self.header_length;
        let length_error = || corrupt("header_length").at(100).found(length);
        ensure(u64::from(length) <= geometry.cluster_size(), || {
            length_error().expected(format_args!("at most a cluster, {}", geometry.cluster_size()))
        })?;
        if self.version == 3 && (length < V3_LENGTH || length % 8 != 0) {
            return Err(length_error().expected(format_args!("a multiple of 8, at least {V3_LENGTH}")));
        }
        Ok(geometry)
    }

    fn backing_name(&self, geometry: Geometry) -> Result<Option<(u64, u32)>> {
        let (offset, size, cluster) =
            (self.backing_file_offset, self.backing_file_size, geometry.cluster_size());
        if offset == 0 {
            return Ok(None);
        }
        if offset < u64::from(self.header_length) || offset > cluster {
            return Err(corrupt("backing_file_offset").at(8).found(offset).expected(format_args!(
                "an offset in the first cluster after the header, {} to {cluster}",
                self.header_length
            )));
        }
        let room = (cluster - offset).min(u64::from(MAX_BACKING_NAME));
        if u64::from(size) > room {
            return Err(corrupt("backing_file_size").at(16).found(size).expected(format_args!(
                "at most {room}, a name of {MAX_BACKING_NAME} bytes that ends in the first cluster"
            )));
        }
        Ok((size != 0).then_some((offset, size)))
    }

    fn size(&self) -> Result<u64> {
        match i64::try_from(self.size) {
            Ok(_) => Ok(self.size),
            Err(_) => Err(limit("size").at(24).found(self.size).expected("less than 2^63 bytes")),
        }
    }

    fn encryption(&self) -> Result<Option<Encryption>> {
        match self.crypt_method {
            0 => Ok(None),
            1 => Ok(Some(Encryption::Aes)),
            2 => Ok(Some(Encryption::Luks)),
            other => Err(unsupported("crypt_method").at(32).found(other).expected("0, 1 (AES) or 2 (LUKS)")),
        }
    }

    fn l1_entries(&self, geometry: Geometry) -> Result<u64> {
        let entries = u64::from(self.l1_size);
        let bytes = entries * 8;
        if bytes > MAX_L1_BYTES {
            return Err(limit("l1_size").at(36).found(entries).expected(format_args!(
                "at most {} entries, a table of {MAX_L1_BYTES} bytes",
                MAX_L1_BYTES / 8
            )));
        }
        let needed = geometry.l1_entries_for(self.size()? & !(SECTOR - 1));
        if entries < needed {
            return Err(corrupt("l1_size").at(36).found(entries).expected(format_args!(
                "at least {needed}: the L1 table is too small for a disk of {} bytes",
                self.size
            )));
        }
        aligned("l1_table_offset", 40, self.l1_table_offset, geometry)?;
        if self.l1_table_offset.checked_add(bytes).is_none_or(|end| i64::try_from(end).is_err()) {
            let expected = "a table that ends before 2^63";
            return Err(corrupt("l1_table_offset").at(40).found_hex(self.l1_table_offset).expected(expected));
        }
        Ok(entries)
    }

    fn refcount_order(&self) -> Result<u32> {
        if self.refcount_order > MAX_REFCOUNT_ORDER {
            let expected = format!("at most {MAX_REFCOUNT_ORDER}, refcounts of 64 bits");
            return Err(corrupt("refcount_order").at(96).found(self.refcount_order).expected(expected));
        }
        Ok(self.refcount_order)
    }

    fn check_autoclear(&self) -> Result<()> {
        let raw_external = self.autoclear & features::RAW_EXTERNAL != 0;
        if raw_external && self.incompatible & features::DATA_FILE == 0 {
            let expected = "no raw external data without the external data file feature";
            return Err(corrupt("autoclear_features").at(88).found_hex(self.autoclear).expected(expected));
        }
        Ok(())
    }

    fn compression(&self) -> Result<Compression> {
        let flagged = self.incompatible & features::COMPRESSION_TYPE != 0;
        let found = corrupt("compression_type").at(104).found(self.compression_type);
        match (self.compression_type, flagged) {
            (0, false) => Ok(Compression::Deflate),
            (1, true) => Ok(Compression::Zstd),
            (0, true) => Err(found.expected("not 0: the compression type feature is set")),
            (1, false) => Err(found.expected("0: the compression type feature is not set")),
            _ => Err(found.with_kind(ErrorKind::Unsupported).expected("0 (zlib) or 1 (zstd)")),
        }
    }
}

fn aligned(field: &str, at: u64, value: u64, geometry: Geometry) -> Result<()> {
    ensure(geometry.in_cluster(value) == 0, || {
        let expected = format!("a multiple of the cluster size {:#x}", geometry.cluster_size());
        corrupt(field).at(at).found_hex(value).expected(expected)
    })
}
