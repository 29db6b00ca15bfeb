//! Opening: everything that is checked once, before the first guest byte is read.

use std::fmt;
use std::sync::Arc;

use diskimg_codec::units::UnitReader;
use diskimg_core::{
    BlockSource, Error, ErrorKind, Finding, Image, ImageInfo, Limits, OpenOptions, Reference, ReferenceRole,
    Remedy, Resolver, Result,
};

use crate::cowd::CowdHeader;
use crate::create_type::{Layout, is_device};
use crate::describe::{Opened, describe, references, warning};
use crate::descriptor::Descriptor;
use crate::directories;
use crate::encoding;
use crate::errors::{FORMAT, corrupt, limit, unsupported};
use crate::extent_line::{Access, ExtentLine, ExtentType};
use crate::extents::{Content, ExtentFile, Part, Parts, check_flat, named};
use crate::footer;
use crate::grain_codec::GrainCodec;
use crate::parsed::{self, Kind, Parsed};
use crate::sesparse::SeSparseHeader;
use crate::sparse_header::{SECTOR, SparseHeader};

/// A VMDK image as a disk to read: one file, or a descriptor and the files that it names. One layer: what is
/// unallocated reads as zeros, and a parent is only reported.
///
/// Any number of threads may read at once; no lock is held while bytes are read or inflated.
///
/// ```
/// use diskimg_core::{ErrorKind, Memory, OpenOptions};
/// use diskimg_vmdk::Vmdk;
/// use std::sync::Arc;
///
/// let not_an_image = Arc::new(Memory::new(vec![0; 512]));
/// let error = Vmdk::open(not_an_image, &OpenOptions::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::UnknownFormat);
/// ```
pub struct Vmdk {
    /// In the order of the disk, without gaps.
    pub(crate) parts: Vec<Part>,
    pub(crate) grains: UnitReader<GrainCodec>,
    pub(crate) info: ImageInfo,
    pub(crate) size: u64,
}

impl fmt::Debug for Vmdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vmdk").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Vmdk {
    /// Opens an image.
    ///
    /// The files that a descriptor names are asked of [`OpenOptions::resolver`], each as a
    /// [`ReferenceRole::Extent`] with the bytes of its name as they stand there. A name that is not ASCII is
    /// asked for in UTF-8 first, where the descriptor's `encoding` is windows-1252. A sparse extent among them
    /// has to be one: it is never taken for a descriptor again. Devices are never asked for.
    ///
    /// An extent's size is what its own header says, as in QEMU, or what the descriptor says where that is
    /// less, with a warning in [`ImageInfo::findings`]. A header that says less where another extent follows is
    /// [`ErrorKind::Corrupt`], for it would move all of that one's bytes. `RDONLY` extents are read like others; `ZERO` and
    /// `NOACCESS` extents read as zeros, and no file is opened for them.
    ///
    /// Grain tables are read in pages when they are first needed. Damage is reported where it is met: grains
    /// and tables behind the end of the file are [`ErrorKind::Truncated`], never zeros. Grains on the header, the
    /// descriptor, a grain directory or a grain table are [`ErrorKind::Corrupt`]; of grain tables, the first two
    /// million of a directory are looked at, and compressed grains are known by their markers instead. Where the
    /// grain directory is damaged, the redundant one is used.
    ///
    /// # Errors
    /// [`ErrorKind::Encrypted`] for an encrypted image;
    /// [`ErrorKind::Denied`], or what the resolver says, for the files of the image, for devices, and for a
    /// header that holds nothing but a descriptor; [`ErrorKind::Unsupported`] for other versions and types;
    /// [`ErrorKind::Limit`] for a disk larger than the limit; [`ErrorKind::InvalidInput`] for a snapshot,
    /// which VMDK has none of; [`ErrorKind::Corrupt`] and [`ErrorKind::Truncated`] for damage.
    pub fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Self> {
        if options.snapshot.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(FORMAT)
                .field("snapshot")
                .because("VMDK images have no internal snapshots"));
        }
        let parsed = Parsed::read(source.as_ref(), &options.limits)?.sound()?;
        let mut parts = Parts::new(&options.limits);
        let descriptor = parsed.readable();
        if let Some(descriptor) = descriptor {
            descriptor.check_plain()?;
        }
        match &parsed.kind {
            Kind::Text => {
                let descriptor = descriptor.ok_or_else(no_create_type)?;
                open_files(&mut parts, descriptor, options)?;
            }
            kind => open_one(&mut parts, kind, descriptor, source, &options.limits)?,
        }
        options.limits.check_virtual_size(parts.size).map_err(|error| error.format(FORMAT))?;
        let opened = Opened::new(&parts);
        let mut info = describe(&parsed, &options.limits, Some(&opened));
        info.findings.append(&mut parts.findings);
        Ok(Self { size: parts.size, parts: parts.all, grains: UnitReader::new(), info })
    }
}

/// Opens one layer: [`diskimg_core::Driver::open`] of this format.
///
/// # Errors
/// As [`Vmdk::open`].
pub(crate) fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Arc<dyn Image>> {
    Ok(Arc::new(Vmdk::open(source, options)?))
}

/// Reads what an image claims without opening anything it names, whatever it may be that keeps it from being
/// opened: files that are missing, devices, a damaged descriptor behind a sound header.
///
/// A virtual size past [`Limits::virtual_size`] is a finding here, not an error.
///
/// ```
/// use diskimg_core::{Limits, Memory};
/// let text = b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
///     createType=\"monolithicFlat\"\nRW 2048 FLAT \"disk-flat.vmdk\" 0\n";
/// let info = diskimg_vmdk::inspect(&Memory::new(text.to_vec()), &Limits::default())?;
/// assert_eq!((info.virtual_size, info.subformat.as_deref()), (1 << 20, Some("monolithicFlat")));
/// assert_eq!(info.references[0].name, b"disk-flat.vmdk");
/// # Ok::<(), diskimg_core::Error>(())
/// ```
///
/// # Errors
/// When the header, or a descriptor that stands alone, cannot be: [`ErrorKind::UnknownFormat`],
/// [`ErrorKind::Truncated`], [`ErrorKind::Unsupported`], [`ErrorKind::Corrupt`] or [`ErrorKind::Limit`].
pub fn inspect(source: &dyn BlockSource, limits: &Limits) -> Result<ImageInfo> {
    let parsed = Parsed::read(source, limits)?;
    let mut info = describe(&parsed, limits, None);
    let closed = |line: &ExtentLine| line.access == Access::NoAccess;
    let shut = parsed.readable().is_some_and(|descriptor| descriptor.extents.iter().any(closed));
    if let Kind::Hosted(header) = &parsed.kind
        && header.capacity() > 0
        && !shut
    {
        // Where a descriptor is not one, it may claim to lie on the tables.
        let sound = parsed.descriptor.is_ok();
        info.findings.extend(directory_findings(source, header, sound));
    }
    Ok(info)
}

/// What there is to tell of the footer, and of the grain directories that header or footer names.
///
/// The directory itself is only looked at if it may be looked `within`, and where the header names it: of a
/// stream that passes by, one that a footer names has passed.
fn directory_findings(source: &dyn BlockSource, header: &SparseHeader, within: bool) -> Vec<Finding> {
    if !header.has_footer() {
        return directories::findings(source, header, 0, within);
    }
    match footer::find(source, header) {
        Ok((footer, at)) => directories::findings(source, &footer, at, false),
        Err(error) => vec![warning("footer", error.to_string())],
    }
}

/// Opens an image in one file.
fn open_one(
    parts: &mut Parts,
    kind: &Kind,
    descriptor: Option<&Descriptor>,
    source: Arc<dyn BlockSource>,
    limits: &Limits,
) -> Result<()> {
    if let Kind::Hosted(header) = kind
        && header.is_descriptor_only()
    {
        return Err(descriptor_only(descriptor, header));
    }
    let line = descriptor.filter(|descriptor| !descriptor.is_silent()).map(only_line).transpose()?;
    if let Some(line) = line.filter(|line| line.access == Access::NoAccess) {
        parts.push(line.bytes(), Content::Zero, None);
        return Ok(());
    }
    let file = ExtentFile { source, line, last: true, named: false };
    match kind {
        Kind::Hosted(header) => {
            limits.check_virtual_size(header.capacity()).map_err(|error| error.format(FORMAT).at(12))?;
            parts.push_hosted(&file, header)
        }
        Kind::Cowd(header) => parts.push_cowd(&file, header),
        Kind::SeSparse(header) => {
            limits.check_virtual_size(header.capacity()).map_err(|error| error.format(FORMAT).at(16))?;
            parts.push_sesparse(&file, header, limits)
        }
        Kind::Text => Ok(()),
    }
}

/// The line of a descriptor that stands in the file it describes.
pub(crate) fn only_line(descriptor: &Descriptor) -> Result<&ExtentLine> {
    let create_type = descriptor.create_type.as_ref().ok_or_else(no_create_type)?;
    let layout = Layout::of(create_type)?;
    match descriptor.extents.as_slice() {
        [line] if line.kind == ExtentType::Sparse => layout.check(create_type, line).map(|()| line),
        [] => Err(corrupt("extents").found(0).expected("the line of this file")),
        [line] => Err(corrupt("extent type")
            .at(line.at)
            .found(line.kind.name())
            .expected("SPARSE, as this file is")),
        [_, second, ..] => Err(corrupt("extents")
            .at(second.at)
            .found(descriptor.extents.len())
            .expected("the line of this file alone")),
    }
}

/// A header of an empty disk whose descriptor names other files: only of use to those who want a reader to
/// open them.
fn descriptor_only(descriptor: Option<&Descriptor>, header: &SparseHeader) -> Error {
    let at = header.descriptor_offset_sectors.saturating_mul(SECTOR);
    match descriptor.and_then(|descriptor| references(descriptor).into_iter().next()) {
        Some(reference) => reference
            .denied()
            .because("the header has no disk of its own, and extents are never looked for in such a file"),
        None => corrupt("capacity").at(12).found(0).because(format_args!(
            "the header has no disk of its own, and the descriptor at byte {at} names none"
        )),
    }
}

fn no_create_type() -> Error {
    corrupt("createType").expected("one in every descriptor")
}

/// Opens the files that a descriptor names.
fn open_files(parts: &mut Parts, descriptor: &Descriptor, options: &OpenOptions<'_>) -> Result<()> {
    let create_type = descriptor.create_type.as_ref().ok_or_else(no_create_type)?;
    let layout = Layout::of(create_type)?;
    let lines = &descriptor.extents;
    if layout == Layout::Device {
        return Err(device(&references(descriptor), "the image is a device of the host"));
    }
    let mut total = 0_u64;
    for line in lines {
        layout.check(create_type, line)?;
        if line.sectors == 0 && lines.len() > 1 {
            return Err(corrupt("extent line").at(line.at).found("0 sectors").expected("at least 1"));
        }
        total = total
            .checked_add(line.bytes())
            .filter(|total| i64::try_from(*total).is_ok())
            .ok_or_else(|| limit("extents").at(line.at).expected("less than 2^63 bytes in all"))?;
    }
    if lines.is_empty() {
        return Err(corrupt("extents").found(0).expected("at least 1"));
    }
    options.limits.check_virtual_size(total).map_err(|error| error.format(FORMAT))?;
    for (number, line) in (1..).zip(lines) {
        open_file(parts, line, (descriptor.encoding(), number == lines.len()), options)?;
    }
    Ok(())
}

/// A reference to a device, refused.
fn device(references: &[Reference], because: &str) -> Error {
    match references.iter().find(|reference| reference.role == ReferenceRole::Extent) {
        Some(reference) => refused(reference, because),
        None => unsupported("createType").because(because.to_owned()),
    }
}

fn refused(reference: &Reference, because: &str) -> Error {
    reference
        .denied()
        .because(format_args!("{because}, which is never opened"))
        .with_remedy(Remedy::ReadDevice)
}

/// Opens the file of a line, whose name is written in this encoding, and behind which the disk ends if it is the
/// `last` one.
fn open_file(
    parts: &mut Parts,
    line: &ExtentLine,
    (encoding, last): (Option<&[u8]>, bool),
    options: &OpenOptions<'_>,
) -> Result<()> {
    let Some(name) = line.name.as_ref().filter(|_| line.access != Access::NoAccess) else {
        parts.push(line.bytes(), Content::Zero, None);
        return Ok(());
    };
    let reference = crate::describe::reference(line, name);
    if matches!(line.kind, ExtentType::VmfsRdm | ExtentType::VmfsRaw) || is_device(name) {
        return Err(refused(&reference, "the extent is a device of the host"));
    }
    let source = resolve(&reference, encoding, options.resolver)?;
    if matches!(line.kind, ExtentType::Flat | ExtentType::Vmfs) {
        let offset = check_flat(line, source.size()).map_err(|error| named(error, name))?;
        parts.push(line.bytes(), Content::Flat { source, offset }, Some(line));
        return Ok(());
    }
    if line.offset_sectors != 0 {
        return Err(unsupported("offset of a sparse extent")
            .at(line.at)
            .found(line.offset_sectors)
            .expected("0"));
    }
    let file = ExtentFile { source, line: Some(line), last, named: true };
    open_sparse(parts, &file, &options.limits).map_err(|error| named(parsed::not_an_extent(error), name))
}

/// The file of a reference: by its name in UTF-8, if that is another one, or by the bytes of its name.
fn resolve(
    reference: &Reference,
    encoding: Option<&[u8]>,
    resolver: &dyn Resolver,
) -> Result<Arc<dyn BlockSource>> {
    let Some(name) = encoding::decoded(&reference.name, encoding) else {
        return resolver.resolve(reference);
    };
    let in_utf_8 = Reference { name, ..reference.clone() };
    resolver.resolve(&in_utf_8).or_else(|error| resolver.resolve(reference).map_err(|_| error))
}

/// Opens a sparse extent as the kind that its line says, and as no other.
fn open_sparse(parts: &mut Parts, file: &ExtentFile<'_>, limits: &Limits) -> Result<()> {
    let first = parsed::read(file.source.as_ref(), "header", 0, SECTOR.min(file.source.size()), limits)?;
    match file.line.map(|line| line.kind) {
        Some(ExtentType::VmfsSparse) => parts.push_cowd(file, &CowdHeader::parse(&first)?),
        Some(ExtentType::SeSparse) => parts.push_sesparse(file, &SeSparseHeader::parse(&first)?, limits),
        _ => {
            let header = SparseHeader::parse(&first, 0)?;
            if header.is_descriptor_only() {
                return Err(corrupt("capacity")
                    .at(12)
                    .found(0)
                    .expected("an extent, not another descriptor"));
            }
            parts.push_hosted(file, &header)
        }
    }
}
