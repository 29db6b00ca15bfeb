//! The comparison of two disks.

use std::ffi::c_void;

use diskimg::{BlockSource, CompareOptions, compare};

use crate::argument::{check_flags, check_reserved, invalid};
use crate::error::ErrorReport;
use crate::guard::with;
use crate::handle::Out;
use crate::image::ImageHandle;
use crate::progress::{CallHooks, CallProgress, CancelFlag, ProgressFn};
use crate::sized_record::{self, SizedRecord};
use crate::status::StatusCode;

/// The options of a comparison. Initialise it with DISKIMG_COMPARE_OPTIONS_INIT. NULL for the structure sets
/// all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CompareOptionsRecord {
    /// sizeof(diskimg_compare_options).
    pub struct_size: usize,
    /// Must be 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Receives progress in bytes of the longer disk; may be NULL.
    pub progress: ProgressFn,
    /// Passed to `progress`.
    pub progress_user: *mut c_void,
    /// Cancels the call when it is triggered; may be NULL.
    pub cancel: *const CancelFlag,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl SizedRecord for CompareOptionsRecord {}

/// Compares the guest's view of two disks, on all cores. `*same` is true if all bytes are equal; the
/// shorter disk is treated as if zeros followed it. `*first_difference` is the offset of the first
/// different byte, or UINT64_MAX if there is none; it may be NULL. `options` may be NULL.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS,
/// DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_compare(
    a: *const ImageHandle,
    b: *const ImageHandle,
    options: *const CompareOptionsRecord,
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
            let options = sized_record::read(options)?;
            check_flags(options.flags, 0)?;
            check_reserved(options.reserved)?;
            let (a, b) = (a.disk()?, second.disk()?);
            let hooks = CallHooks::new(options.progress, options.progress_user, options.cancel);
            let progress = CallProgress::begin(vec![hooks], a.size().max(b.size()))?;
            let compared = compare(a, b, &CompareOptions::default(), &progress)?;
            progress.end();
            same.set(compared.same());
            if let (Some(first), Some(offset)) = (first, compared.first_difference()) {
                first.set(offset);
            }
            Ok(())
        })
    }
}
