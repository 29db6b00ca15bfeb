//! The references, snapshots and findings of an image, as records for C.

use std::ffi::{c_char, c_int};

use diskimg::ImageInfo;

use crate::callback_resolver::role_number;
use crate::info_record::severity_number;
use crate::sized_record::SizedRecord;
use crate::strings::c_string;

/// A reference from an image to another file. The name is untrusted input: never open it unchecked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ReferenceRecord {
    /// sizeof(diskimg_reference).
    pub struct_size: usize,
    /// One of DISKIMG_ROLE_*.
    pub role: u32,
    /// 1 if `offset` is known.
    pub offset_known: u32,
    /// The name exactly as stored in the image, followed by a NUL. Valid until the image is closed.
    pub name: *const c_char,
    /// The length of the name in bytes. The name may contain NULs.
    pub name_length: usize,
    /// The format of the file as stated by the image; NULL if it states none. Valid until the image is
    /// closed.
    pub format: *const c_char,
    /// The byte offset of the name in the image file.
    pub offset: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl SizedRecord for ReferenceRecord {}

/// An internal snapshot, as listed in its image.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SnapshotRecord {
    /// sizeof(diskimg_snapshot).
    pub struct_size: usize,
    /// The unique id in UTF-8, not escaped for a terminal. Valid until the image is closed.
    pub id: *const c_char,
    /// The name in UTF-8, not escaped for a terminal. Valid until the image is closed.
    pub name: *const c_char,
    /// The size of the disk in bytes when the snapshot was taken.
    pub virtual_size: u64,
    /// The size of the saved machine state in bytes; 0 if there is none.
    pub vm_state_size: u64,
    /// The run time of the guest in nanoseconds.
    pub vm_clock_nanoseconds: u64,
    /// The time of the snapshot in seconds since 1970 (UTC).
    pub date_seconds: u32,
    /// The nanoseconds within that second.
    pub date_nanoseconds: u32,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl SizedRecord for SnapshotRecord {}

/// A finding: a property of an image that matters to an importer of untrusted images.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FindingRecord {
    /// sizeof(diskimg_finding).
    pub struct_size: usize,
    /// One of DISKIMG_SEVERITY_*.
    pub severity: c_int,
    /// 1 if `offset` is known.
    pub offset_known: u32,
    /// A short name for programs, such as "backing_file". Valid until the image is closed.
    pub check: *const c_char,
    /// A line for people, with names escaped. Valid until the image is closed.
    pub message: *const c_char,
    /// The byte offset in the image file.
    pub offset: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl SizedRecord for FindingRecord {}

/// The records of an image and the strings that they point to.
pub(crate) struct ListRecords {
    pub(crate) references: Vec<ReferenceRecord>,
    pub(crate) snapshots: Vec<SnapshotRecord>,
    pub(crate) findings: Vec<FindingRecord>,
    /// The strings. The bytes of a `Vec` do not move when the `Vec` moves.
    _texts: Vec<Vec<u8>>,
}

// SAFETY: the pointers lead into `_texts`, which never changes.
unsafe impl Send for ListRecords {}
// SAFETY: as above.
unsafe impl Sync for ListRecords {}

impl ListRecords {
    pub(crate) fn of(info: &ImageInfo) -> Self {
        let mut texts = TextStore::default();
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

/// Strings that records point to.
#[derive(Default)]
struct TextStore(Vec<Vec<u8>>);

impl TextStore {
    fn text(&mut self, text: &str) -> *const c_char {
        self.bytes(c_string(text).as_bytes())
    }

    /// Stores bytes followed by a NUL. NULs among the bytes are kept.
    fn bytes(&mut self, bytes: &[u8]) -> *const c_char {
        let with_end = [bytes, &[0]].concat();
        let pointer = with_end.as_ptr().cast();
        self.0.push(with_end);
        pointer
    }
}
