//! Functions that list the references, snapshots and findings of an image.

use diskimg::Result;

use crate::argument::invalid;
use crate::error::ErrorReport;
use crate::guard::with;
use crate::image::ImageHandle;
use crate::list_records::{FindingRecord, ReferenceRecord, SnapshotRecord};
use crate::sized_record::{self, SizedRecord};
use crate::status::StatusCode;

/// Returns the number of references from the image to other files; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_reference_count(image: *const ImageHandle) -> usize {
    // SAFETY: the header requires NULL or an image that is not closed.
    unsafe { image.as_ref() }.map_or(0, |image| image.lists().references.len())
}

/// Fills `*out` with the reference at `index`, which counts from 0. The caller must set its `struct_size`.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_reference(
    image: *const ImageHandle,
    index: usize,
    out: *mut ReferenceRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and `write`.
    unsafe { with(image, err, |image| write_item(&image.lists().references, index, out)) }
}

/// Returns the number of internal snapshots that the image lists; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_snapshot_count(image: *const ImageHandle) -> usize {
    // SAFETY: the header requires NULL or an image that is not closed.
    unsafe { image.as_ref() }.map_or(0, |image| image.lists().snapshots.len())
}

/// Fills `*out` with the snapshot at `index`, which counts from 0. The caller must set its `struct_size`.
/// To read a snapshot, open the image with its id or name.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_snapshot(
    image: *const ImageHandle,
    index: usize,
    out: *mut SnapshotRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and `write`.
    unsafe { with(image, err, |image| write_item(&image.lists().snapshots, index, out)) }
}

/// Returns the number of findings about the image; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_finding_count(image: *const ImageHandle) -> usize {
    // SAFETY: the header requires NULL or an image that is not closed.
    unsafe { image.as_ref() }.map_or(0, |image| image.lists().findings.len())
}

/// Fills `*out` with the finding at `index`, which counts from 0. The caller must set its `struct_size`.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_finding(
    image: *const ImageHandle,
    index: usize,
    out: *mut FindingRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and `write`.
    unsafe { with(image, err, |image| write_item(&image.lists().findings, index, out)) }
}

/// # Safety
/// `out` as for [`sized_record::write`].
unsafe fn write_item<T: SizedRecord>(records: &[T], index: usize, out: *mut T) -> Result<()> {
    let record = records
        .get(index)
        .ok_or_else(|| invalid("index", format_args!("less than {}", records.len())).found(index))?;
    // SAFETY: guaranteed by the caller.
    unsafe { sized_record::write(out, record) }
}
