//! What an image claims.

use std::ffi::{CString, c_char, c_int};

use diskimg::{ImageInfo, Inspection, ReferenceRole, Severity, json};

use crate::error::ErrorReport;
use crate::format::{FormatNumber, WrapperNumber, number, wrapper_number};
use crate::guard::{Out, with};
use crate::image::Image;
use crate::record::{self, Record};
use crate::status::Status;
use crate::strings::{c_string, optional};

/// The image names a backing file or a parent.
pub const DISKIMG_INFO_BACKING: u32 = 1 << 0;
/// The image names an external data file.
pub const DISKIMG_INFO_DATA_FILE: u32 = 1 << 1;
/// The image names the files it is put together of.
pub const DISKIMG_INFO_EXTENTS: u32 = 1 << 2;
/// The content is encrypted.
pub const DISKIMG_INFO_ENCRYPTED: u32 = 1 << 3;
/// The image was not closed cleanly by its last writer.
pub const DISKIMG_INFO_DIRTY: u32 = 1 << 4;
/// A writer marked the image as corrupt.
pub const DISKIMG_INFO_CORRUPT: u32 = 1 << 5;
/// The image has internal snapshots.
pub const DISKIMG_INFO_SNAPSHOTS: u32 = 1 << 6;
/// The content is an optical disc (ISO 9660 or UDF), to be attached as a CD-ROM.
pub const DISKIMG_INFO_OPTICAL_DISC: u32 = 1 << 7;
/// `virtual_size` is known. A probe of a stream may not know it before the end.
pub const DISKIMG_INFO_SIZE_KNOWN: u32 = 1 << 8;
/// `file_size` is known.
pub const DISKIMG_INFO_FILE_SIZE_KNOWN: u32 = 1 << 9;
/// `allocated_size` is known.
pub const DISKIMG_INFO_ALLOCATED_SIZE_KNOWN: u32 = 1 << 10;

/// Good to know; reading is not affected.
pub const DISKIMG_SEVERITY_NOTE: c_int = 0;
/// Unusual or damaged, yet readable.
pub const DISKIMG_SEVERITY_WARNING: c_int = 1;
/// Not to be used as it comes from a stranger: it reaches outside itself, or cannot be what it claims.
pub const DISKIMG_SEVERITY_UNSAFE: c_int = 2;

/// What an image claims: claims of its bytes, not promises of the library. Begin with DISKIMG_INFO_INIT. Strings
/// live as long as the handle they came from.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Info {
    /// sizeof(diskimg_info): as much is filled in, and zeros behind what the library knows.
    pub struct_size: usize,
    /// The format, inside any wrapper.
    pub format: FormatNumber,
    /// How the file is compressed.
    pub wrapper: WrapperNumber,
    /// Bits of DISKIMG_INFO_*.
    pub flags: u32,
    /// The version number of the format; 0 if it has none.
    pub version: u32,
    /// Size in bytes of the disk the guest sees.
    pub virtual_size: u64,
    /// Length in bytes of the file.
    pub file_size: u64,
    /// Bytes that the file takes up on its file system.
    pub allocated_size: u64,
    /// Bytes of a cluster, grain or block; 0 where the format has none.
    pub cluster_size: u64,
    /// The format's own name for the layout, such as "streamOptimized"; NULL where it has only one.
    pub subformat: *const c_char,
    /// How units are compressed, such as "zstd"; NULL if the header does not say.
    pub compression: *const c_char,
    /// How the content is encrypted, such as "luks"; NULL if it is not.
    pub encryption: *const c_char,
    /// What the bytes of a raw disk begin with, such as "gpt"; NULL if they do not say.
    pub content: *const c_char,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl Record for Info {}

/// The strings of an [`Info`].
#[derive(PartialEq)]
pub(crate) struct Texts {
    subformat: Option<CString>,
    compression: Option<CString>,
    encryption: Option<CString>,
    content: Option<CString>,
}

impl Texts {
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

/// `inspection` for C, with strings borrowed from `texts`. `size` is the virtual size, if it is known.
pub(crate) fn info_of(inspection: &Inspection, texts: &Texts, size: Option<u64>) -> Info {
    let info = &inspection.info;
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    Info {
        struct_size: size_of::<Info>(),
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

/// Size in bytes of the disk that is read: that of the snapshot, if one was opened; with DISKIMG_OPEN_INFO_ONLY that
/// which the image claims. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_size(image: *const Image) -> u64 {
    // SAFETY: the header asks for NULL or an image that is not closed.
    unsafe { image.as_ref() }.map_or(0, Image::size)
}

/// Fills `*info` with what the image claims. Its `struct_size` has to be set.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_info(
    image: *const Image,
    info: *mut Info,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and `write` need.
    unsafe {
        with(image, err, |image| {
            let inspection = image.inspection();
            record::write(info, &info_of(inspection, image.texts(), Some(inspection.info.virtual_size)))
        })
    }
}

/// Stores in `*json` what the image claims in the shape that `qemu-img info --output=json` has, with our
/// additions under "diskimg". `filename` is shown as the image's name; NULL for the path it was opened by. The
/// string is the caller's, to be freed with diskimg_string_free(); NULL on failure.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_info_json(
    image: *const Image,
    filename: *const c_char,
    json: *mut *mut c_char,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need.
    unsafe {
        // Outside of `with`, for it is NULL even if the image is.
        let out = Out::new(json, "json", std::ptr::null_mut());
        with(image, err, |image| {
            let out = out?;
            let own = image.filename().to_string_lossy();
            let filename = optional(filename, "filename")?.unwrap_or(&own);
            let text = json::info(image.inspection(), filename).to_string();
            out.set(c_string(&text).into_raw());
            Ok(())
        })
    }
}
