//! Opening of the files that a descriptor names.

use std::sync::Arc;

use diskimg_core::{
    BlockSource, Error, HostOffset, OpenOptions, Reference, ReferenceRole, Remedy, Resolver, Result, ensure,
};

use crate::addr::SECTOR;
use crate::cowd::CowdHeader;
use crate::create_type::{CreateType, create_type};
use crate::descriptor::Descriptor;
use crate::disk_builder::{DiskBuilder, ExtentFile};
use crate::encoding;
use crate::errors::{FORMAT, corrupt, limit, unsupported};
use crate::extent_line::{Access, ExtentLine, ExtentType};
use crate::extents::name_error;
use crate::file_head::{embedded, not_an_extent, read_structure};
use crate::lineage::parent;
use crate::references::{extent_reference, extent_references, is_device_extent};
use crate::sesparse::SeSparseHeader;
use crate::sparse_header::SparseHeader;

/// Opens the extents of a descriptor and adds them to the disk.
///
/// # Errors
/// As [`Vmdk::open`](crate::Vmdk::open) for an image of several files.
pub(crate) fn open_extents(
    disk: &mut DiskBuilder,
    descriptor: &Descriptor,
    options: &OpenOptions<'_>,
) -> Result<()> {
    let (create_type, value) = create_type(descriptor)?;
    ensure(create_type != CreateType::Device, || device_denied(descriptor))?;
    let lines = &descriptor.extents;
    for line in lines {
        create_type.check(value, line)?;
        if line.sectors == 0 && lines.len() > 1 {
            return Err(corrupt("extent line").at(line.at).found("0 sectors").expected("at least 1"));
        }
    }
    let total = total_size(lines)?;
    options.limits.check_virtual_size(total).map_err(|error| error.format(FORMAT))?;
    for (number, line) in (1..).zip(lines) {
        let last = number == lines.len();
        open_extent(disk, line, &ExtentContext { descriptor, last, options })?;
    }
    Ok(())
}

/// Returns the bytes of all extents.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Corrupt`] without lines, [`diskimg_core::ErrorKind::Limit`] for 2^63 bytes and more.
fn total_size(lines: &[ExtentLine]) -> Result<u64> {
    ensure(!lines.is_empty(), || corrupt("extents").found(0).expected("at least 1"))?;
    let mut total = 0_u64;
    for line in lines {
        total = total
            .checked_add(line.bytes())
            .filter(|total| i64::try_from(*total).is_ok())
            .ok_or_else(|| limit("extents").at(line.at).expected("less than 2^63 bytes in total"))?;
    }
    Ok(total)
}

/// The error for an image that is a device of the host.
fn device_denied(descriptor: &Descriptor) -> Error {
    let because = "the image is a device of the host";
    let references = extent_references(descriptor);
    match references.iter().find(|reference| reference.role == ReferenceRole::Extent) {
        Some(reference) => denied(reference, because),
        None => unsupported("createType").because(because),
    }
}

fn denied(reference: &Reference, because: &str) -> Error {
    let because = format!("{because}, which is never opened");
    reference.denied().because(because).with_remedy(Remedy::ReadDevice)
}

/// The part of an image that the opening of one extent depends on.
struct ExtentContext<'a, 'o> {
    descriptor: &'a Descriptor,
    /// True for the last extent of the disk.
    last: bool,
    options: &'a OpenOptions<'o>,
}

/// Opens the file of a line and adds its extent.
fn open_extent(disk: &mut DiskBuilder, line: &ExtentLine, context: &ExtentContext<'_, '_>) -> Result<()> {
    let Some(name) = line.name.as_ref().filter(|_| line.access != Access::NoAccess) else {
        disk.push_zeros(line.bytes());
        return Ok(());
    };
    let reference = extent_reference(line, name);
    ensure(!is_device_extent(line, name), || denied(&reference, "the extent is a device of the host"))?;
    let source = resolve(&reference, context.descriptor.encoding(), context.options.resolver)?;
    if matches!(line.kind, ExtentType::Flat | ExtentType::Vmfs) {
        return disk.push_flat(line, source).map_err(|error| name_error(error, name));
    }
    ensure(line.offset_sectors == 0, || {
        unsupported("offset of a sparse extent").at(line.at).found(line.offset_sectors).expected("0")
    })?;
    let file = ExtentFile { source, line: Some(line), last: context.last, named: true };
    open_sparse(disk, &file, line.kind, context).map_err(|error| name_error(not_an_extent(error), name))
}

/// Resolves a reference by its name in UTF-8, if decoding changes it, or else by the bytes of its name.
fn resolve(
    reference: &Reference,
    encoding: Option<&[u8]>,
    resolver: &dyn Resolver,
) -> Result<Arc<dyn BlockSource>> {
    let Some(name) = encoding::decoded(&reference.name, encoding) else {
        return resolver.resolve(reference);
    };
    let in_utf_8 = reference.with_name(name);
    resolver.resolve(&in_utf_8).or_else(|error| resolver.resolve(reference).map_err(|_| error))
}

/// Adds a sparse extent, which must be of the type in its line.
fn open_sparse(
    disk: &mut DiskBuilder,
    file: &ExtentFile<'_>,
    kind: ExtentType,
    context: &ExtentContext<'_, '_>,
) -> Result<()> {
    let limits = &context.options.limits;
    let source = file.source.as_ref();
    let first = read_structure(source, "header", HostOffset(0), SECTOR.min(source.size()), limits)?;
    match kind {
        ExtentType::VmfsSparse => disk.push_cowd(file, &CowdHeader::parse(&first)?),
        ExtentType::SeSparse => disk.push_sesparse(file, &SeSparseHeader::parse(&first)?, limits),
        _ => {
            let header = SparseHeader::parse(&first, HostOffset(0))?;
            ensure(!header.is_descriptor_only(), || {
                corrupt("capacity").at(12).found(0).expected("an extent, not another descriptor")
            })?;
            if let Ok(Some(own)) = embedded(source, &header, &first, limits) {
                check_own_descriptor(&own, context.descriptor)?;
            }
            disk.push_hosted(file, &header)
        }
    }
}

/// Checks that a descriptor in an extent does not say that the extent is encrypted, or based on a parent of which the
/// descriptor of the image says nothing. Everything else in it is ignored.
fn check_own_descriptor(own: &Descriptor, of_image: &Descriptor) -> Result<()> {
    own.check_readable()?;
    ensure(parent(own).is_none() || parent(of_image).is_some(), || {
        unsupported("descriptor").because("the extent has a parent of its own, and the image has none")
    })
}
