//! The size of a conversion target.

use diskimg::BlockSource;

use crate::convert_record::ConvertOptionsRecord;
use crate::error::ErrorReport;
use crate::guard::with;
use crate::handle::Out;
use crate::image::ImageHandle;
use crate::progress::CallProgress;
use crate::sized_record;
use crate::status::StatusCode;

/// Measures the file that diskimg_convert() would write to a path with these options. `*required` is the
/// largest size in bytes for the current content of the disk; `*fully_allocated` is the size once all of
/// the disk is written. Either may be NULL, and so may `options`. For a target of several files, the
/// sizes are sums, and file names are derived from "disk.vmdk". For raw and qcow2 the sizes equal those
/// of `qemu-img measure`. Reads no data. Returns DISKIMG_ERR_UNSUPPORTED for a format that cannot be
/// written.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS,
/// DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_measure(
    image: *const ImageHandle,
    options: *const ConvertOptionsRecord,
    required: *mut u64,
    fully_allocated: *mut u64,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        let (required, full) = (Out::optional(required, 0), Out::optional(fully_allocated, 0));
        with(image, err, |image| {
            let (options, disk) = (sized_record::read(options)?, image.disk()?);
            let target = options.measured_target()?;
            let progress = CallProgress::begin(vec![options.hooks()], disk.size())?;
            let measured = target.measure_disk_with(disk, &progress)?;
            progress.end();
            for (out, bytes) in [(required, measured.required), (full, measured.fully_allocated)] {
                if let Some(out) = out {
                    out.set(bytes);
                }
            }
            Ok(())
        })
    }
}
