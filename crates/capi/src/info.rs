//! Functions that describe an image.

use std::ffi::c_char;

use diskimg::json;

use crate::error::ErrorReport;
use crate::guard::with;
use crate::handle::Out;
use crate::image::ImageHandle;
use crate::info_record::{InfoRecord, info_record};
use crate::sized_record;
use crate::status::StatusCode;
use crate::strings::optional;

/// Returns the size in bytes of the disk that is read. If a snapshot was opened, that is the snapshot's
/// size. With DISKIMG_OPEN_INFO_ONLY it is the size stated by the image. Returns 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_size(image: *const ImageHandle) -> u64 {
    // SAFETY: the header requires NULL or an image that is not closed.
    unsafe { image.as_ref() }.map_or(0, ImageHandle::size)
}

/// Fills `*info` with the description of the image. The caller must set its `struct_size`.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_info(
    image: *const ImageHandle,
    info: *mut InfoRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and `write`.
    unsafe {
        with(image, err, |image| {
            let inspection = image.inspection();
            let size = inspection.info.virtual_size;
            sized_record::write(info, &info_record(inspection, image.texts(), Some(size)))
        })
    }
}

/// Stores in `*json` the description of the image in the format of `qemu-img info --output=json`, with the
/// additions of this library under "diskimg". `filename` is the file name to report; NULL for the path that
/// the image was opened by. The caller owns the string and frees it with diskimg_string_free(). It is NULL
/// after a failure.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_info_json(
    image: *const ImageHandle,
    filename: *const c_char,
    json: *mut *mut c_char,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        // Before `with`, so that `*json` is NULL even if the image is NULL.
        let out = Out::text(json, "json");
        with(image, err, |image| {
            let out = out?;
            let own = image.filename().to_string_lossy();
            let filename = optional(filename, "filename")?.unwrap_or(&own);
            out.set_text(&json::escape(&json::info(image.inspection(), filename).to_string()));
            Ok(())
        })
    }
}
