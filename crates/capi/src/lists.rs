//! References, snapshots and findings of an image, one by one.

use std::ffi::{c_char, c_int};

use diskimg::{ImageInfo, Result};

use crate::error::ErrorReport;
use crate::guard::{invalid, with};
use crate::image::Image;
use crate::info::severity_number;
use crate::record::{self, Record};
use crate::resolver::role_number;
use crate::status::Status;
use crate::strings::c_string;

/// A name inside an image that points outside it. A stranger's bytes: never open it as it is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ReferenceRecord {
    /// sizeof(diskimg_reference).
    pub struct_size: usize,
    /// One of DISKIMG_ROLE_*.
    pub role: u32,
    /// 1 if `offset` is known.
    pub offset_known: u32,
    /// The name exactly as it stands in the image, with a NUL behind it. Lives as long as the image.
    pub name: *const c_char,
    /// Bytes of the name; there may be NULs among them.
    pub name_length: usize,
    /// The format the image says the file has; NULL if it does not say. Lives as long as the image.
    pub format: *const c_char,
    /// Byte offset of the name in the image file.
    pub offset: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl Record for ReferenceRecord {}

/// An internal snapshot, as its image lists it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SnapshotRecord {
    /// sizeof(diskimg_snapshot).
    pub struct_size: usize,
    /// The unique id, UTF-8, not escaped for a terminal. Lives as long as the image.
    pub id: *const c_char,
    /// The name, UTF-8, not escaped for a terminal. Lives as long as the image.
    pub name: *const c_char,
    /// Size in bytes of the disk when the snapshot was taken.
    pub virtual_size: u64,
    /// Bytes of saved machine state; 0 without.
    pub vm_state_size: u64,
    /// How long the guest had been running, in nanoseconds.
    pub vm_clock_nanoseconds: u64,
    /// When it was taken, seconds since 1970 (UTC).
    pub date_seconds: u32,
    /// Nanoseconds of that second.
    pub date_nanoseconds: u32,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl Record for SnapshotRecord {}

/// Something that a careful importer should know about an image.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FindingRecord {
    /// sizeof(diskimg_finding).
    pub struct_size: usize,
    /// One of DISKIMG_SEVERITY_*.
    pub severity: c_int,
    /// 1 if `offset` is known.
    pub offset_known: u32,
    /// A short name for programs, such as "backing_file". Lives as long as the image.
    pub check: *const c_char,
    /// One line for people, names escaped. Lives as long as the image.
    pub message: *const c_char,
    /// Byte offset in the image file.
    pub offset: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl Record for FindingRecord {}

/// The records of an image, and the strings they point to.
pub(crate) struct Lists {
    references: Vec<ReferenceRecord>,
    snapshots: Vec<SnapshotRecord>,
    findings: Vec<FindingRecord>,
    /// Held for the pointers above: a `Vec` keeps its bytes in one place while it is moved.
    _texts: Vec<Vec<u8>>,
}

// SAFETY: the pointers lead into `_texts`, which nobody changes.
unsafe impl Send for Lists {}
// SAFETY: as above.
unsafe impl Sync for Lists {}

impl Lists {
    pub(crate) fn of(info: &ImageInfo) -> Self {
        let mut texts = Texts::default();
        let references = info.references.iter().map(|reference| ReferenceRecord {
            struct_size: size_of::<ReferenceRecord>(),
            role: role_number(reference.role),
            offset_known: u32::from(reference.offset.is_some()),
            name: texts.bytes(&reference.name),
            name_length: reference.name.len(),
            format: reference.format.as_deref().map_or(std::ptr::null(), |format| texts.text(format)),
            offset: reference.offset.unwrap_or(0),
        });
        let references = references.collect();
        let snapshots = info.snapshots.iter().map(|snapshot| SnapshotRecord {
            struct_size: size_of::<SnapshotRecord>(),
            id: texts.text(&snapshot.id),
            name: texts.text(&snapshot.name),
            virtual_size: snapshot.virtual_size,
            vm_state_size: snapshot.vm_state_size,
            vm_clock_nanoseconds: snapshot.vm_clock_nanoseconds,
            date_seconds: snapshot.date_seconds,
            date_nanoseconds: snapshot.date_nanoseconds,
        });
        let snapshots = snapshots.collect();
        let findings = info.findings.iter().map(|finding| FindingRecord {
            struct_size: size_of::<FindingRecord>(),
            severity: severity_number(finding.severity),
            offset_known: u32::from(finding.offset.is_some()),
            check: texts.text(finding.check),
            message: texts.text(&finding.message),
            offset: finding.offset.unwrap_or(0),
        });
        let findings = findings.collect();
        Self { references, snapshots, findings, _texts: texts.0 }
    }
}

#[derive(Default)]
struct Texts(Vec<Vec<u8>>);

impl Texts {
    fn text(&mut self, text: &str) -> *const c_char {
        self.bytes(c_string(text).as_bytes())
    }

    /// Bytes with a NUL behind them; NULs among them are kept.
    fn bytes(&mut self, bytes: &[u8]) -> *const c_char {
        let with_end = [bytes, &[0]].concat();
        let pointer = with_end.as_ptr().cast();
        self.0.push(with_end);
        pointer
    }
}

/// How many names the image has that point outside it; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_reference_count(image: *const Image) -> usize {
    // SAFETY: the header asks for NULL or an image that is not closed.
    unsafe { image.as_ref() }.map_or(0, |image| image.lists().references.len())
}

/// Fills `*out` with the name of this index, from 0. Its `struct_size` has to be set.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_reference(
    image: *const Image,
    index: usize,
    out: *mut ReferenceRecord,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and `write` need.
    unsafe { with(image, err, |image| record::write(out, at(&image.lists().references, index)?)) }
}

/// How many internal snapshots the image lists; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_snapshot_count(image: *const Image) -> usize {
    // SAFETY: the header asks for NULL or an image that is not closed.
    unsafe { image.as_ref() }.map_or(0, |image| image.lists().snapshots.len())
}

/// Fills `*out` with the snapshot of this index, from 0. Its `struct_size` has to be set. To read one, open the
/// image with its id or name.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_snapshot(
    image: *const Image,
    index: usize,
    out: *mut SnapshotRecord,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and `write` need.
    unsafe { with(image, err, |image| record::write(out, at(&image.lists().snapshots, index)?)) }
}

/// How many findings there are about the image; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_finding_count(image: *const Image) -> usize {
    // SAFETY: the header asks for NULL or an image that is not closed.
    unsafe { image.as_ref() }.map_or(0, |image| image.lists().findings.len())
}

/// Fills `*out` with the finding of this index, from 0. Its `struct_size` has to be set.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_finding(
    image: *const Image,
    index: usize,
    out: *mut FindingRecord,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and `write` need.
    unsafe { with(image, err, |image| record::write(out, at(&image.lists().findings, index)?)) }
}

fn at<T>(records: &[T], index: usize) -> Result<&T> {
    records
        .get(index)
        .ok_or_else(|| invalid("index", format_args!("less than {}", records.len())).found(index))
}
