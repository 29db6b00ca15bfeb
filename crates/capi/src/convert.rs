//! Conversion of an image or a stream.

use std::io::{self, Read};

use diskimg::BlockSource;

use crate::callback_stream::CallbackReader;
use crate::convert_record::{ConvertOptionsRecord, ConvertResultRecord};
use crate::error::ErrorReport;
use crate::guard::{call, with};
use crate::image::ImageHandle;
use crate::open::log_findings;
use crate::open_record::OpenOptionsRecord;
use crate::progress::{CallProgress, CancelChecks};
use crate::sized_record;
use crate::status::StatusCode;
use crate::stream_record::{self, StreamRecord};
use crate::target_record::{Destination, TargetRecord};

/// Converts the disk to the target, in the format that the options set. `options` and `result` may be NULL.
/// All worker threads end before the call returns.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS,
/// DISKIMG_ERR_NEEDS_SEEK, DISKIMG_ERR_EXISTS, DISKIMG_ERR_IN_USE, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert(
    image: *const ImageHandle,
    target: *const TargetRecord,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        // Before `with`, so that the callbacks of the target are closed even if the image is NULL.
        let place = Destination::read(target);
        with(image, err, |image| {
            let place = place?;
            let options = sized_record::read(options)?;
            let disk = image.disk()?;
            let target = options.target(place)?;
            let progress = CallProgress::begin(vec![options.hooks()], disk.size())?;
            let done = disk.convert_to(&target, &options.convert_options()?, &progress)?;
            progress.end();
            sized_record::write_optional(result, &ConvertResultRecord::from(done))
        })
    }
}

/// Converts an image that is read from a stream to the target. If the format and the target allow it, the
/// image is converted while it is read; an example is a raw disk, compressed or not, converted to raw.
/// Otherwise it is stored in an anonymous temporary file first, if `open_options` allow that, and `progress`
/// also counts the bytes stored. From an OVA its disk is converted; if the OVA contains several disks, the
/// call fails and creates no target. `read` is called from the calling thread or a thread of the library.
/// `progress` and `cancel` of both options apply. Otherwise the same as diskimg_convert(); the options
/// `threads` and `max_memory` apply only if a temporary file is used.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNKNOWN_FORMAT,
/// DISKIMG_ERR_UNSUPPORTED, DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT,
/// DISKIMG_ERR_REFERENCE, DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_AMBIGUOUS, DISKIMG_ERR_OUT_OF_BOUNDS,
/// DISKIMG_ERR_NEEDS_SEEK, DISKIMG_ERR_EXISTS, DISKIMG_ERR_IN_USE, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream(
    stream: *const StreamRecord,
    open_options: *const OpenOptionsRecord,
    target: *const TargetRecord,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        call(err, || {
            // First, so that the callbacks of the target are closed whatever else is invalid.
            let place = Destination::read(target)?;
            let stream = stream_record::reader(stream)?;
            let options = sized_record::read(options)?;
            let open_options = sized_record::read(open_options)?;
            options.check()?;
            let opener = open_options.opener(None)?;
            let progress = CallProgress::begin(vec![options.hooks(), open_options.hooks()], 0)?;
            let target = options.target(place)?;
            let input = opener.stream(CancellableStream { stream, stop: progress.cancel_checks() })?;
            let done = input.convert_to(&target, &options.convert_options()?, &progress)?;
            progress.end();
            log_findings(&done.findings, &open_options);
            sized_record::write_optional(result, &ConvertResultRecord::from(done))
        })
    }
}

/// A stream whose reads fail once a flag is triggered, even before its first bytes.
struct CancellableStream {
    stream: CallbackReader,
    stop: CancelChecks,
}

impl Read for CancellableStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.stream.read(buf)
    }
}
