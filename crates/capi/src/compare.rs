//! The comparison of two disks.

use diskimg::{BlockSource, CompareOptions, compare};

use crate::argument::invalid;
use crate::error::ErrorReport;
use crate::guard::with;
use crate::handle::Out;
use crate::image::ImageHandle;
use crate::progress::{CallProgress, CancelFlag};
use crate::status::StatusCode;

/// Compares the guest's view of two disks, on all cores. `*same` is true if all bytes are equal; the
/// shorter disk is treated as if zeros followed it. `*first_difference` is the offset of the first
/// different byte, or UINT64_MAX if there is none; it may be NULL. `cancel` may be NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_compare(
    a: *const ImageHandle,
    b: *const ImageHandle,
    cancel: *const CancelFlag,
    same: *mut bool,
    first_difference: *mut u64,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        let (same, first) = (Out::new(same, "same", false), Out::optional(first_difference, u64::MAX));
        with(a, err, |a| {
            let same = same?;
            let second = b.as_ref().ok_or_else(|| invalid("b", "a handle, not NULL"))?;
            let (a, b) = (a.disk()?, second.disk()?);
            let progress = CallProgress::begin(None, std::ptr::null_mut(), cancel, a.size().max(b.size()))?;
            let compared = compare(a, b, &CompareOptions::default(), &progress)?;
            same.set(compared.same());
            if let (Some(first), Some(offset)) = (first, compared.first_difference()) {
                first.set(offset);
            }
            Ok(())
        })
    }
}
