//! Checks of the structure of an image.

use std::ffi::{c_char, c_int, c_void};
use std::ops::Range;
use std::sync::Arc;

use diskimg::core::{CheckReport, Location, Problem, ProblemKind};
use diskimg::{BlockSource, Error, Extent, Result};

use crate::argument::{check_flags, check_reserved};
use crate::error::ErrorReport;
use crate::guard::with;
use crate::image::ImageHandle;
use crate::progress::{CallHooks, CallProgress, CancelChecks, CancelFlag, ProgressFn};
use crate::sized_record::{self, SizedRecord};
use crate::status::StatusCode;
use crate::strings::c_string;

/// Guest bytes are wrong or unreadable, or may become so.
pub const DISKIMG_PROBLEM_CORRUPTION: c_int = 1;
/// Space in the file is lost. Guest bytes are not affected.
pub const DISKIMG_PROBLEM_LEAK: c_int = 2;

/// Receives one problem. `kind` is one of DISKIMG_PROBLEM_*. `file_offset` is UINT64_MAX if the problem has
/// no single offset. `message` is valid during the call. Called on the calling thread. A non-zero result
/// cancels the check with DISKIMG_ERR_CANCELLED.
pub type ProblemFn = Option<
    unsafe extern "C" fn(user: *mut c_void, kind: c_int, file_offset: u64, message: *const c_char) -> c_int,
>;

/// The result of a check. Initialise it with DISKIMG_CHECK_RESULT_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CheckResultRecord {
    /// sizeof(diskimg_check_result).
    pub struct_size: usize,
    /// The number of problems that make guest bytes wrong or unreadable.
    pub corruptions: u64,
    /// The number of units of the file that nothing uses.
    pub leaks: u64,
    /// The number of units (clusters, grains, blocks) of the disk; 0 if not counted.
    pub total_units: u64,
    /// The number of these with data of their own; 0 if not counted.
    pub allocated_units: u64,
    /// The number of allocated units that are compressed.
    pub compressed_units: u64,
    /// The number of allocated units that do not directly follow the previous one in the file.
    pub fragmented_units: u64,
    /// The byte offset after the last unit in use; 0 if unknown.
    pub image_end: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers.
unsafe impl SizedRecord for CheckResultRecord {}

/// The options of a check. Initialise it with DISKIMG_CHECK_OPTIONS_INIT. NULL for the structure sets all
/// defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CheckOptionsRecord {
    /// sizeof(diskimg_check_options).
    pub struct_size: usize,
    /// Must be 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Receives the first thousand problems, after the check; may be NULL.
    pub problem: ProblemFn,
    /// Passed to `problem`.
    pub problem_user: *mut c_void,
    /// Receives progress in bytes of the disk whose tables were checked; may be NULL.
    pub progress: ProgressFn,
    /// Passed to `progress`.
    pub progress_user: *mut c_void,
    /// Cancels the call when it is triggered; may be NULL.
    pub cancel: *const CancelFlag,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl SizedRecord for CheckOptionsRecord {}

/// Checks the structure of the image, but not of the layers below it. Problems in the image are not a
/// failure of the call: see `*result`. `options` and `result` may be NULL. Returns DISKIMG_ERR_UNSUPPORTED
/// if the format has no check or this build does not support it: see DISKIMG_CAN_CHECK.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_REFERENCE,
/// DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_OUT_OF_BOUNDS, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_check(
    image: *const ImageHandle,
    options: *const CheckOptionsRecord,
    result: *mut CheckResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        with(image, err, |image| {
            let options = sized_record::read(options)?;
            check_flags(options.flags, 0)?;
            check_reserved(options.reserved)?;
            let disk = image.disk()?;
            let hooks = CallHooks::new(options.progress, options.progress_user, options.cancel);
            let progress = CallProgress::begin(vec![hooks], image.inspection().info.virtual_size)?;
            let mut opener = image.opener().clone();
            opener.format = Some(image.inspection().info.format);
            let file = CancellableFile { file: Arc::clone(disk.file()), stop: progress.cancel_checks() };
            let report = opener.check_source_with(Arc::new(file), &progress)?.report;
            progress.end();
            for found in &report.problems {
                report_problem(&options, found)?;
            }
            sized_record::write_optional(result, &CheckResultRecord::from(&report))
        })
    }
}

/// The file of an image. Reading fails once a flag is triggered.
struct CancellableFile {
    file: Arc<dyn BlockSource>,
    stop: CancelChecks,
}

impl BlockSource for CancellableFile {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.stop.check()?;
        self.file.read_at(offset, buf)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        self.file.extent_at(range)
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        self.file.locate(range)
    }
}

fn report_problem(options: &CheckOptionsRecord, found: &Problem) -> Result<()> {
    let Some(problem) = options.problem else { return Ok(()) };
    let kind = match found.kind {
        ProblemKind::Corruption => DISKIMG_PROBLEM_CORRUPTION,
        ProblemKind::Leak => DISKIMG_PROBLEM_LEAK,
    };
    let message = c_string(&found.message);
    // SAFETY: called as the header documents; the message is valid during the call.
    match unsafe { problem(options.problem_user, kind, found.offset.unwrap_or(u64::MAX), message.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Error::cancelled()),
    }
}

impl From<&CheckReport> for CheckResultRecord {
    fn from(report: &CheckReport) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            corruptions: report.corruptions,
            leaks: report.leaks,
            total_units: report.total_units.unwrap_or(0),
            allocated_units: report.allocated_units.unwrap_or(0),
            compressed_units: report.compressed_units,
            fragmented_units: report.fragmented_units,
            image_end: report.image_end.unwrap_or(0),
        }
    }
}
