//! The description of an image, for C.

use std::ffi::{CString, c_char, c_int};

use diskimg::{ImageInfo, Inspection, ReferenceRole, Severity};

use crate::format::{FormatNumber, WrapperNumber, number, wrapper_number};
use crate::sized_record::SizedRecord;
use crate::strings::c_string;

/// The image refers to a backing file or a parent.
pub const DISKIMG_INFO_BACKING: u32 = 1 << 0;
/// The image refers to an external data file.
pub const DISKIMG_INFO_DATA_FILE: u32 = 1 << 1;
/// The image refers to extent files that hold its data.
pub const DISKIMG_INFO_EXTENTS: u32 = 1 << 2;
/// The content is encrypted.
pub const DISKIMG_INFO_ENCRYPTED: u32 = 1 << 3;
/// The last writer did not close the image cleanly.
pub const DISKIMG_INFO_DIRTY: u32 = 1 << 4;
/// A writer marked the image as corrupt.
pub const DISKIMG_INFO_CORRUPT: u32 = 1 << 5;
/// The image has internal snapshots.
pub const DISKIMG_INFO_SNAPSHOTS: u32 = 1 << 6;
/// The content is an optical disc (ISO 9660 or UDF). Attach it as a CD-ROM.
pub const DISKIMG_INFO_OPTICAL_DISC: u32 = 1 << 7;
/// `virtual_size` is known. A probe of a stream may learn it only at the end.
pub const DISKIMG_INFO_SIZE_KNOWN: u32 = 1 << 8;
/// `file_size` is known.
pub const DISKIMG_INFO_FILE_SIZE_KNOWN: u32 = 1 << 9;
/// `allocated_size` is known.
pub const DISKIMG_INFO_ALLOCATED_SIZE_KNOWN: u32 = 1 << 10;

/// Information only. Reading is not affected.
pub const DISKIMG_SEVERITY_NOTE: c_int = 0;
/// The image is unusual or damaged, but readable.
pub const DISKIMG_SEVERITY_WARNING: c_int = 1;
/// Unsafe if the image comes from an untrusted source: it refers to other files, or its metadata is
/// implausible.
pub const DISKIMG_SEVERITY_UNSAFE: c_int = 2;

/// The description of an image, as its metadata states it. The library does not verify these values.
/// Initialise it with DISKIMG_INFO_INIT. The strings are valid until the handle that they came from is
/// closed or freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct InfoRecord {
    /// sizeof(diskimg_info). Only this many bytes are filled in; members unknown to the library become
    /// zero.
    pub struct_size: usize,
    /// The format, after decompression.
    pub format: FormatNumber,
    /// The compression of the whole file.
    pub wrapper: WrapperNumber,
    /// Bits of DISKIMG_INFO_*.
    pub flags: u32,
    /// The version number of the format; 0 if it has none.
    pub version: u32,
    /// The size of the guest's disk in bytes.
    pub virtual_size: u64,
    /// The length of the file in bytes.
    pub file_size: u64,
    /// The bytes that the file occupies on its file system.
    pub allocated_size: u64,
    /// The size of a cluster, grain or block in bytes; 0 if the format has none.
    pub cluster_size: u64,
    /// The format's name for the layout, such as "streamOptimized"; NULL if the format has only one layout.
    pub subformat: *const c_char,
    /// The compression of clusters, grains or blocks, such as "zstd"; NULL if the header does not state it.
    pub compression: *const c_char,
    /// The encryption of the content, such as "luks"; NULL if it is not encrypted.
    pub encryption: *const c_char,
    /// The structure at the start of a raw disk, such as "gpt"; NULL if none is recognised.
    pub content: *const c_char,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl SizedRecord for InfoRecord {}

/// The strings of an [`InfoRecord`].
#[derive(PartialEq)]
pub(crate) struct InfoTexts {
    subformat: Option<CString>,
    compression: Option<CString>,
    encryption: Option<CString>,
    content: Option<CString>,
}

impl InfoTexts {
    pub(crate) fn of(info: &ImageInfo) -> Self {
        Self {
            subformat: info.subformat.as_deref().map(c_string),
            compression: info.compression.map(c_string),
            encryption: info.encryption.map(c_string),
            content: info.content.map(c_string),
        }
    }
}

pub(crate) fn severity_number(severity: Severity) -> c_int {
    match severity {
        Severity::Note => DISKIMG_SEVERITY_NOTE,
        Severity::Warning => DISKIMG_SEVERITY_WARNING,
        Severity::Unsafe => DISKIMG_SEVERITY_UNSAFE,
    }
}

/// Returns `inspection` for C, with strings borrowed from `texts`. `size` is the virtual size, if known.
pub(crate) fn info_record(inspection: &Inspection, texts: &InfoTexts, size: Option<u64>) -> InfoRecord {
    let info = &inspection.info;
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    InfoRecord {
        struct_size: size_of::<InfoRecord>(),
        format: number(info.format.name()),
        wrapper: wrapper_number(inspection.wrapper),
        flags: flags(inspection, size),
        version: info.version.unwrap_or(0),
        virtual_size: size.unwrap_or(0),
        file_size: inspection.file_size.unwrap_or(0),
        allocated_size: inspection.allocated_size.unwrap_or(0),
        cluster_size: info.allocation_unit.unwrap_or(0),
        subformat: pointer(&texts.subformat),
        compression: pointer(&texts.compression),
        encryption: pointer(&texts.encryption),
        content: pointer(&texts.content),
    }
}

fn flags(inspection: &Inspection, size: Option<u64>) -> u32 {
    let info = &inspection.info;
    let names = |wanted: &[ReferenceRole]| info.references.iter().any(|name| wanted.contains(&name.role));
    [
        (names(&[ReferenceRole::Backing, ReferenceRole::Parent]), DISKIMG_INFO_BACKING),
        (names(&[ReferenceRole::DataFile]), DISKIMG_INFO_DATA_FILE),
        (names(&[ReferenceRole::Extent]), DISKIMG_INFO_EXTENTS),
        (info.encryption.is_some(), DISKIMG_INFO_ENCRYPTED),
        (info.dirty, DISKIMG_INFO_DIRTY),
        (info.corrupt, DISKIMG_INFO_CORRUPT),
        (!info.snapshots.is_empty(), DISKIMG_INFO_SNAPSHOTS),
        (info.is_optical_disc, DISKIMG_INFO_OPTICAL_DISC),
        (size.is_some(), DISKIMG_INFO_SIZE_KNOWN),
        (inspection.file_size.is_some(), DISKIMG_INFO_FILE_SIZE_KNOWN),
        (inspection.allocated_size.is_some(), DISKIMG_INFO_ALLOCATED_SIZE_KNOWN),
    ]
    .into_iter()
    .fold(0, |flags, (set, bit)| if set { flags | bit } else { flags })
}
