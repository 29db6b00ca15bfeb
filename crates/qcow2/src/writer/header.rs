//! Encodes the first cluster: header, header extensions, name of the backing file.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Header" and "Header extensions".

use diskimg_core::Result;

use super::guest_map::TopTables;
use super::image_geometry::ImageGeometry;
use super::options::{BackingName, Version, WriterOptions};
use crate::addr::HostOffset;
use crate::errors::{internal, invalid_option};
use crate::extensions::{BACKING_FORMAT, END, FEATURE_NAME_TABLE, FEATURE_ROW_BYTES};
use crate::features::{COMPRESSION_TYPE, EXTENDED_L2, FEATURE_NAMES, LAZY_REFCOUNTS};
use crate::header::{Compression, MAGIC, MAX_BACKING_NAME, V2_LENGTH, V3_LENGTH_WITH_COMPRESSION};

/// The longest format name in bytes. QEMU's limit.
const MAX_BACKING_FORMAT: usize = 15;
/// Clusters up to this size have no room for a table of feature names. QEMU's choice.
const NO_NAMES: u64 = 4096;

/// Checks the options that only concern the header.
pub(super) fn check(options: &WriterOptions, geometry: &ImageGeometry) -> Result<()> {
    let only_v3 = [
        ("compression_type", options.compression_type == Compression::Zstd),
        ("extended_l2", options.extended_l2),
        ("lazy_refcounts", options.lazy_refcounts),
    ];
    if options.version == Version::V2 {
        if let Some((option, _)) = only_v3.iter().find(|(_, used)| *used) {
            return Err(invalid_option(option).because("not supported by version 2 of the format"));
        }
    }
    if let Some(BackingName { name, format }) = &options.backing {
        if name.is_empty() || name.len() > usize::try_from(MAX_BACKING_NAME).unwrap_or(0) {
            let expected = format!("1 to {MAX_BACKING_NAME} bytes");
            return Err(invalid_option("backing_file").found_name(name.as_bytes()).expected(expected));
        }
        if format.as_ref().is_some_and(|format| format.is_empty() || format.len() > MAX_BACKING_FORMAT) {
            let found = format.as_deref().unwrap_or_default().as_bytes();
            let expected = format!("1 to {MAX_BACKING_FORMAT} bytes");
            return Err(invalid_option("backing_fmt").found_name(found).expected(expected));
        }
    }
    let none = HostOffset(0);
    let tables = TopTables { l1_table: none, refcount_table: none, refcount_table_clusters: 0 };
    if encode(options, geometry, &tables)?.len() as u64 > geometry.clusters.cluster_size() {
        return Err(invalid_option("backing_file").because(format_args!(
            "header and name do not fit into the first cluster of {} bytes",
            geometry.clusters.cluster_size()
        )));
    }
    Ok(())
}

/// Encodes the first cluster up to its last byte that is not zero.
pub(super) fn encode(
    options: &WriterOptions,
    geometry: &ImageGeometry,
    tables: &TopTables,
) -> Result<Vec<u8>> {
    let name = options.backing.as_ref().map_or(&[][..], |backing| backing.name.as_bytes());
    let extensions = extensions(options, geometry)?;
    let length = match options.version {
        Version::V2 => V2_LENGTH,
        Version::V3 => V3_LENGTH_WITH_COMPRESSION,
    };
    let name_at = if name.is_empty() { 0 } else { u64::from(length).saturating_add(extensions.len() as u64) };
    let mut bytes = MAGIC.to_vec();
    put32(&mut bytes, if options.version == Version::V2 { 2 } else { 3 })?;
    put64(&mut bytes, name_at);
    put32(&mut bytes, name.len() as u64)?;
    put32(&mut bytes, geometry.clusters.cluster_bits().into())?;
    put64(&mut bytes, geometry.size_in_header());
    put32(&mut bytes, 0)?; // no encryption
    put32(&mut bytes, geometry.l1_entries())?;
    put64(&mut bytes, tables.l1_table.0);
    put64(&mut bytes, tables.refcount_table.0);
    put32(&mut bytes, tables.refcount_table_clusters)?;
    put32(&mut bytes, 0)?; // no snapshots
    put64(&mut bytes, 0);
    if options.version == Version::V3 {
        let zstd = options.compression_type == Compression::Zstd;
        let incompatible =
            [(zstd, COMPRESSION_TYPE), (options.extended_l2, EXTENDED_L2)].into_iter().filter(|(on, _)| *on);
        put64(&mut bytes, incompatible.fold(0, |bits, (_, bit)| bits | bit));
        put64(&mut bytes, if options.lazy_refcounts { LAZY_REFCOUNTS } else { 0 });
        put64(&mut bytes, 0);
        put32(&mut bytes, geometry.refcount_order.into())?;
        put32(&mut bytes, length.into())?;
        bytes.extend([options.compression_type as u8, 0, 0, 0, 0, 0, 0, 0]);
    }
    bytes.extend(extensions);
    bytes.extend(name);
    Ok(bytes)
}

fn extensions(options: &WriterOptions, geometry: &ImageGeometry) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(format) = options.backing.as_ref().and_then(|backing| backing.format.as_ref()) {
        put_extension(&mut bytes, BACKING_FORMAT, format.as_bytes())?;
    }
    if options.version == Version::V3 && geometry.clusters.cluster_size() > NO_NAMES {
        let mut rows = Vec::new();
        for (kind, bit, name) in FEATURE_NAMES {
            let end = rows.len().saturating_add(FEATURE_ROW_BYTES);
            rows.extend([kind as u8, bit]);
            rows.extend(name.as_bytes());
            rows.resize(end, 0);
        }
        put_extension(&mut bytes, FEATURE_NAME_TABLE, &rows)?;
    }
    put_extension(&mut bytes, END, &[])?;
    Ok(bytes)
}

fn put_extension(bytes: &mut Vec<u8>, kind: u32, data: &[u8]) -> Result<()> {
    put32(bytes, kind.into())?;
    put32(bytes, data.len() as u64)?;
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    Ok(())
}

/// Appends a 32-bit field. The options are checked, so that every value fits.
fn put32(bytes: &mut Vec<u8>, value: u64) -> Result<()> {
    let value = u32::try_from(value).map_err(|_| internal("header").found(value).expected("32 bits"))?;
    bytes.extend(value.to_be_bytes());
    Ok(())
}

fn put64(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend(value.to_be_bytes());
}
