//! Comparing two disks.

use diskimg::{BlockSource, CompareOptions, compare};

use crate::error::ErrorReport;
use crate::guard::{Out, invalid, with};
use crate::image::Image;
use crate::progress::{CancelFlag, Told};
use crate::status::Status;

/// Compares two disks as a guest would see them, on all cores. `*same` tells whether the bytes are the same, where
/// a disk that is shorter counts as zeros behind its end; if not, `*first_difference`, which may be NULL, is the
/// offset of the first byte that differs, and UINT64_MAX otherwise. `cancel` may be NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_compare(
    a: *const Image,
    b: *const Image,
    cancel: *const CancelFlag,
    same: *mut bool,
    first_difference: *mut u64,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need.
    unsafe {
        let (same, first) = (Out::new(same, "same", false), Out::optional(first_difference, u64::MAX));
        with(a, err, |a| {
            let same = same?;
            let second = b.as_ref().ok_or_else(|| invalid("b", "a handle, and not NULL"))?;
            let (a, b) = (a.disk()?, second.disk()?);
            let told = Told::begin(None, std::ptr::null_mut(), cancel, a.size().max(b.size()))?;
            let compared = compare(a, b, &CompareOptions::default(), &told)?;
            same.set(compared.same());
            if let (Some(first), Some(offset)) = (first, compared.first_difference()) {
                first.set(offset);
            }
            Ok(())
        })
    }
}
