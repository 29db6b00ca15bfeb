//! Checking the structure of an image.

use std::ffi::{c_char, c_int, c_void};
use std::ops::Range;
use std::sync::Arc;

use diskimg::{BlockSource, CheckReport, Error, ErrorKind, Extent, Location, Problem, ProblemKind, Result};

use crate::error::ErrorReport;
use crate::guard::with;
use crate::image::Image;
use crate::progress::{CancelFlag, Stop};
use crate::record::{self, Record};
use crate::status::Status;
use crate::strings::c_string;

/// Guest bytes are wrong or unreadable, or may become so.
pub const DISKIMG_PROBLEM_CORRUPTION: c_int = 1;
/// Space is lost, and nothing else.
pub const DISKIMG_PROBLEM_LEAK: c_int = 2;

/// Told of one problem: `kind` is one of DISKIMG_PROBLEM_*, `file_offset` UINT64_MAX where there is no one place.
/// The message ends when the call does. Called on the thread that checks. Non-zero stops with
/// DISKIMG_ERR_CANCELLED.
pub type ProblemFn = Option<
    unsafe extern "C" fn(user: *mut c_void, kind: c_int, file_offset: u64, message: *const c_char) -> c_int,
>;

/// What a check found. Begin with DISKIMG_CHECK_RESULT_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CheckResult {
    /// sizeof(diskimg_check_result).
    pub struct_size: usize,
    /// Problems that make guest bytes wrong or unreadable.
    pub corruptions: u64,
    /// Units of the file that nothing uses.
    pub leaks: u64,
    /// Units (clusters, grains, blocks) of the disk; 0 if not counted, as the next.
    pub total_units: u64,
    /// Of these, how many have data of their own.
    pub allocated_units: u64,
    /// Of the allocated ones, how many are compressed.
    pub compressed_units: u64,
    /// Of the allocated ones, how many do not lie right behind the one before.
    pub fragmented_units: u64,
    /// Byte offset behind the last unit in use; 0 if not known.
    pub image_end: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers.
unsafe impl Record for CheckResult {}

/// Checks the structure of the image, not of what lies below it. What it finds is no failure: look at `*result`.
/// `problem` is told of the first thousand problems, in the end; it, `cancel` and `result` may be NULL.
/// DISKIMG_ERR_UNSUPPORTED where the format has nothing to check, or this build cannot: see DISKIMG_CAN_CHECK.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_check(
    image: *const Image,
    problem: ProblemFn,
    user: *mut c_void,
    cancel: *const CancelFlag,
    result: *mut CheckResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need.
    unsafe {
        with(image, err, |image| {
            let stop = Stop::new(cancel);
            stop.check()?;
            let disk = image.disk()?;
            let mut opener = image.opener().clone();
            opener.format = Some(image.inspection().info.format);
            let report =
                opener.check_source(Arc::new(Stoppable { file: Arc::clone(disk.file()), stop }))?.report;
            for found in &report.problems {
                tell(problem, user, found)?;
            }
            match result.is_null() {
                true => Ok(()),
                false => record::write(result, &CheckResult::from(&report)),
            }
        })
    }
}

/// The file of an image, which cannot be read any more once a flag is triggered.
struct Stoppable {
    file: Arc<dyn BlockSource>,
    stop: Stop,
}

impl BlockSource for Stoppable {
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

fn tell(problem: ProblemFn, user: *mut c_void, found: &Problem) -> Result<()> {
    let Some(problem) = problem else { return Ok(()) };
    let kind = match found.kind {
        ProblemKind::Corruption => DISKIMG_PROBLEM_CORRUPTION,
        ProblemKind::Leak => DISKIMG_PROBLEM_LEAK,
    };
    let message = c_string(&found.message);
    // SAFETY: a function of the caller's, called as the header says; the message lives through the call.
    match unsafe { problem(user, kind, found.offset.unwrap_or(u64::MAX), message.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Error::new(ErrorKind::Cancelled).because("the check was cancelled")),
    }
}

impl From<&CheckReport> for CheckResult {
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
