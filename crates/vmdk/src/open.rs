//! Opening and inspection of an image.

use std::fmt;
use std::sync::Arc;

use diskimg_codec::units::UnitReader;
use diskimg_core::{
    BlockSource, Error, ErrorKind, Finding, HostOffset, Image, ImageInfo, Limits, OpenOptions, Result,
};

use crate::create_type::{embedded_line, missing};
use crate::describe::describe;
use crate::descriptor::Descriptor;
use crate::disk_builder::{DiskBuilder, ExtentFile};
use crate::errors::{FORMAT, corrupt, misuse};
use crate::extent_line::{Access, ExtentLine};
use crate::extents::DescriptorExtents;
use crate::file_head::{FileHead, FileKind};
use crate::footer;
use crate::grain_codec::GrainCodec;
use crate::grain_directories;
use crate::grain_survey::trailing_data;
use crate::open_files::open_extents;
use crate::part::several_extents;
use crate::references::extent_references;
use crate::sparse_header::SparseHeader;

/// A VMDK image as a readable disk: one file, or a descriptor and the files that it names.
///
/// It is one layer. Unallocated bytes read as zeros, and a parent is reported but not opened.
///
/// Any number of threads may read at the same time; no lock is held while bytes are read or decompressed.
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
    pub(crate) extents: DescriptorExtents,
    /// Reads compressed grains and caches some of them.
    pub(crate) compressed_grains: UnitReader<GrainCodec>,
    pub(crate) info: ImageInfo,
}

impl fmt::Debug for Vmdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vmdk").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Vmdk {
    /// Opens an image.
    ///
    /// The files that a descriptor names are requested from [`OpenOptions::resolver`], each as a
    /// [`diskimg_core::ReferenceRole::Extent`] with the bytes of its name. If the descriptor's `encoding` is
    /// windows-1252, a name that is not ASCII is requested in UTF-8 first. A sparse extent is never read as
    /// another descriptor. Devices are never requested.
    ///
    /// A file that is one part or one layer of a larger disk is opened too; [`ImageInfo::is_part`] reports it.
    ///
    /// The size of a disk in one file is the capacity in its header, as in QEMU, or the size in the descriptor if
    /// that is smaller by less than a grain. The size of one of several sparse extents is the capacity in its header,
    /// or the size in the descriptor if that is smaller. A difference is in [`ImageInfo::findings`]. A capacity that
    /// is smaller than the size in the descriptor is [`diskimg_core::ErrorKind::Corrupt`] if another extent follows,
    /// because all of its bytes would move. `RDONLY` extents are read like others. `ZERO` and `NOACCESS` extents read as zeros,
    /// and their files are not opened.
    ///
    /// Grain tables are read in pages on first use, and damage is reported when it is read. Grains and tables past
    /// the end of the file are [`diskimg_core::ErrorKind::Truncated`], never zeros. Grains that overlap the
    /// header, the descriptor, a grain directory or a grain table are [`diskimg_core::ErrorKind::Corrupt`]; of
    /// grain tables, the first two million of a directory are checked, and compressed grains are checked by their
    /// markers instead. If an entry of the grain directory is damaged, the redundant directory is used.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Encrypted`] for an encrypted image; [`diskimg_core::ErrorKind::Denied`], or the
    /// error of the resolver, for the files of the image, for devices, and for a file with a descriptor but no
    /// disk; [`diskimg_core::ErrorKind::Unsupported`] for unknown versions and types;
    /// [`diskimg_core::ErrorKind::Limit`] for a disk larger than the limit;
    /// [`diskimg_core::ErrorKind::InvalidInput`] for a snapshot, which the format does not have;
    /// [`diskimg_core::ErrorKind::Corrupt`] and [`diskimg_core::ErrorKind::Truncated`] for damage.
    pub fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Self> {
        if options.snapshot.is_some() {
            return Err(misuse("snapshot").because("VMDK images have no internal snapshots"));
        }
        let head = FileHead::read(source.as_ref(), &options.limits)?.require_descriptor()?;
        let descriptor = head.valid_descriptor();
        if let Some(descriptor) = descriptor {
            descriptor.check_readable()?;
        }
        let mut disk = DiskBuilder::new(options);
        let file = Arc::clone(&source);
        match &head.kind {
            FileKind::Text => open_extents(&mut disk, descriptor.ok_or_else(missing)?, options)?,
            kind => open_one(&mut disk, kind, descriptor, source, &options.limits)?,
        }
        let (extents, mut findings) = disk.finish();
        options.limits.check_virtual_size(extents.size()).map_err(|error| error.format(FORMAT))?;
        let mut info = describe(&head, &options.limits, Some(&extents));
        info.findings.append(&mut findings);
        info.findings.extend(trailing_data(file.as_ref(), &head, &info, &options.limits));
        let compressed_grains = UnitReader::in_group(options.limits.metadata_cache, &options.caches);
        Ok(Self { extents, compressed_grains, info })
    }
}

/// Opens one layer: [`diskimg_core::Driver::open`] of this format.
///
/// # Errors
/// As [`Vmdk::open`].
pub(crate) fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Arc<dyn Image>> {
    Ok(Arc::new(Vmdk::open(source, options)?))
}

/// Describes an image without opening the files it names.
///
/// This succeeds for images that cannot be opened: because files are missing, because an extent is a device, or
/// because the descriptor after a valid header is damaged. A virtual size past [`Limits::virtual_size`] is a
/// finding, not an error.
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
/// [`diskimg_core::ErrorKind::UnknownFormat`], [`diskimg_core::ErrorKind::Truncated`],
/// [`diskimg_core::ErrorKind::Unsupported`], [`diskimg_core::ErrorKind::Corrupt`] or
/// [`diskimg_core::ErrorKind::Limit`] for an invalid header, or an invalid descriptor that is a file of its own.
pub fn inspect(source: &dyn BlockSource, limits: &Limits) -> Result<ImageInfo> {
    let head = FileHead::read(source, limits)?;
    let mut info = describe(&head, limits, None);
    let no_access = |line: &ExtentLine| line.access == Access::NoAccess;
    let inaccessible = head.valid_descriptor().is_some_and(|found| found.extents.iter().any(no_access));
    if let FileKind::Hosted(header) = &head.kind {
        if header.capacity() > 0 && !inaccessible {
            // The place of an invalid descriptor may overlap the tables.
            let read_directory = head.descriptor.is_ok();
            info.findings.extend(directory_findings(source, header, read_directory));
        }
    }
    Ok(info)
}

/// Returns the findings on the footer and on the grain directories.
///
/// With `read_directory`, the directory itself is read, unless the footer gives its offset: a source that streams
/// no longer has it then.
fn directory_findings(source: &dyn BlockSource, header: &SparseHeader, read_directory: bool) -> Vec<Finding> {
    if !header.has_footer() {
        return grain_directories::findings(source, header, HostOffset(0), read_directory);
    }
    match footer::find_near_end(source, header) {
        Ok(Some(footer)) => grain_directories::findings(source, &footer.header, footer.at, false),
        Ok(None) => vec![footer::zeros_follow()],
        Err(error) => vec![Finding::warning("footer", error.to_string())],
    }
}

/// Opens an image in one file.
fn open_one(
    disk: &mut DiskBuilder,
    kind: &FileKind,
    descriptor: Option<&Descriptor>,
    source: Arc<dyn BlockSource>,
    limits: &Limits,
) -> Result<()> {
    if let FileKind::Hosted(header) = kind {
        if header.is_descriptor_only() {
            return Err(descriptor_only(descriptor, header));
        }
    }
    let described = descriptor.filter(|found| !found.is_blank() && several_extents(found).is_none());
    let line = described.map(embedded_line).transpose()?;
    if let Some(line) = line.filter(|line| line.access == Access::NoAccess) {
        disk.push_zeros(line.bytes());
        return Ok(());
    }
    let file = ExtentFile { source, line, last: true, named: false };
    match kind {
        FileKind::Hosted(header) => {
            limits.check_virtual_size(header.capacity()).map_err(|error| error.format(FORMAT).at(12))?;
            disk.push_hosted(&file, header)
        }
        FileKind::Cowd(header) => disk.push_cowd(&file, header),
        FileKind::SeSparse(header) => {
            limits.check_virtual_size(header.capacity).map_err(|error| error.format(FORMAT).at(16))?;
            disk.push_sesparse(&file, header, limits)
        }
        FileKind::Text => Ok(()),
    }
}

/// The error for a file with a header and a descriptor but no disk. Its only use is to make a reader open the
/// files that the descriptor names.
fn descriptor_only(descriptor: Option<&Descriptor>, header: &SparseHeader) -> Error {
    let at = header.descriptor().map_or(0, |range| range.start.0);
    match descriptor.and_then(|descriptor| extent_references(descriptor).into_iter().next()) {
        Some(reference) => reference
            .describe(Error::new(ErrorKind::Denied))
            .because("the file contains no disk, and the extents in such a descriptor are never opened"),
        None => corrupt("capacity").at(12).found(0).because(format_args!(
            "the file contains no disk, and the descriptor at byte {at} names no extent"
        )),
    }
}
