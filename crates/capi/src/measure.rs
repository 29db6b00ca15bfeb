//! What a target would take up.

use crate::convert_options::ConvertRecord;
use crate::error::ErrorReport;
use crate::guard::{Out, with};
use crate::image::Image;
use crate::record;
use crate::status::Status;

/// Measures the file that diskimg_convert_to_path() would make with these options, which may be NULL: `*required` bytes
/// at most as the disk is now, `*fully_allocated` when all of it is written; either may be NULL. Where it makes several
/// files, that is their sum, with names that follow from "disk.vmdk". Numbers of raw and qcow2 are those of
/// `qemu-img measure`. Reads no data. DISKIMG_ERR_UNSUPPORTED for a format that cannot be written.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_measure(
    image: *const Image,
    options: *const ConvertRecord,
    required: *mut u64,
    fully_allocated: *mut u64,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need.
    unsafe {
        let (required, full) = (Out::optional(required, 0), Out::optional(fully_allocated, 0));
        with(image, err, |image| {
            let measured = record::read(options)?.measure(image.disk()?)?;
            for (out, bytes) in [(required, measured.required), (full, measured.fully_allocated)] {
                if let Some(out) = out {
                    out.set(bytes);
                }
            }
            Ok(())
        })
    }
}
