//! Opening images.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::Arc;

use diskimg::{BlockSource, Error, FileSource, Finding, Result};

use crate::callback_source::{BorrowedBytes, CallbackSource};
use crate::error::ErrorReport;
use crate::guard::create_handle;
use crate::image::ImageHandle;
use crate::info_record::severity_number;
use crate::io::{IoRecord, create_io_handle};
use crate::open_record::{DISKIMG_OPEN_INFO_ONLY, OpenOptionsRecord, duplicate};
use crate::progress::CallProgress;
use crate::sized_record;
use crate::status::StatusCode;
use crate::strings::{self, c_string};

/// Opens the image in a file or block device for reading, and the files that it refers to as far as the
/// options allow. On success the caller owns `*out` and closes it with diskimg_close(). It is NULL after a
/// failure. `options` may be NULL. The library does not use `options` after the call, except for its
/// callbacks and their user pointers.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNKNOWN_FORMAT,
/// DISKIMG_ERR_UNSUPPORTED, DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT,
/// DISKIMG_ERR_REFERENCE, DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_AMBIGUOUS, DISKIMG_ERR_NEEDS_SEEK,
/// DISKIMG_ERR_IN_USE, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_open_path(
    path: *const c_char,
    options: *const OpenOptionsRecord,
    out: *mut *mut ImageHandle,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        create_handle(out, err, || {
            let path = strings::path(path)?;
            let name = c_string(&path.to_string_lossy());
            let options = sized_record::read(options)?;
            let opener = options.opener(Some(&path))?;
            let progress = CallProgress::begin(vec![options.hooks()], 0)?;
            let image = match options.has(DISKIMG_OPEN_INFO_ONLY) {
                true => {
                    let described = opener.inspect_with(&path, &progress);
                    described.map(|described| ImageHandle::inspected(described, opener, name))
                }
                false => opener.open_with(&path, &progress).map(|disk| ImageHandle::new(disk, opener, name)),
            };
            let image = image.map_err(|error| name_file(error, &path))?;
            progress.end();
            log_findings(image.findings(), &options);
            Ok(image)
        })
    }
}

/// Opens the image in a file that is open for reading. The descriptor is duplicated, and the caller keeps
/// ownership of it. Its position is neither used nor moved. Otherwise the same as diskimg_open_path().
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNKNOWN_FORMAT,
/// DISKIMG_ERR_UNSUPPORTED, DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT,
/// DISKIMG_ERR_REFERENCE, DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_AMBIGUOUS, DISKIMG_ERR_NEEDS_SEEK,
/// DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_open_fd(
    fd: c_int,
    options: *const OpenOptionsRecord,
    out: *mut *mut ImageHandle,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        create_handle(out, err, || {
            let options = sized_record::read(options)?;
            open(Arc::new(FileSource::new(duplicate(fd, "fd")?)?), &options)
        })
    }
}

/// Opens the image in `len` bytes of memory. The bytes must stay valid and unchanged until the image is
/// closed. Otherwise the same as diskimg_open_path().
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNKNOWN_FORMAT,
/// DISKIMG_ERR_UNSUPPORTED, DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT,
/// DISKIMG_ERR_REFERENCE, DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_AMBIGUOUS, DISKIMG_ERR_NEEDS_SEEK,
/// DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_open_memory(
    data: *const c_void,
    len: usize,
    options: *const OpenOptionsRecord,
    out: *mut *mut ImageHandle,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here, and bytes that stay unchanged.
    unsafe {
        create_handle(out, err, || {
            let options = sized_record::read(options)?;
            open(Arc::new(BorrowedBytes::new(data, len)?), &options)
        })
    }
}

/// Opens the image in a file that callbacks of the caller provide. `*io` is copied. Its `close` is called
/// when the file is no longer needed: when the image is closed or before, and also if this function fails.
/// Otherwise the same as diskimg_open_path().
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNKNOWN_FORMAT,
/// DISKIMG_ERR_UNSUPPORTED, DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT,
/// DISKIMG_ERR_REFERENCE, DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_AMBIGUOUS, DISKIMG_ERR_NEEDS_SEEK,
/// DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_open_io(
    io: *const IoRecord,
    options: *const OpenOptionsRecord,
    out: *mut *mut ImageHandle,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        create_io_handle(io, out, err, |callbacks| {
            let options = sized_record::read(options)?;
            open(Arc::new(CallbackSource::new(callbacks)?), &options)
        })
    }
}

fn name_file(error: Error, path: &Path) -> Error {
    if error.field_name().is_some() { error } else { error.field(format!("'{}'", path.display())) }
}

/// # Safety
/// The strings of `options` are NULL or end with a NUL.
unsafe fn open(source: Arc<dyn BlockSource>, options: &OpenOptionsRecord) -> Result<ImageHandle> {
    // SAFETY: guaranteed by the caller.
    let (opener, hooks) = unsafe { (options.opener(None)?, options.hooks()) };
    let progress = CallProgress::begin(vec![hooks], 0)?;
    let image = if options.has(DISKIMG_OPEN_INFO_ONLY) {
        let described = opener.inspect_source_with(&source, &progress)?;
        ImageHandle::inspected(described, opener, CString::default())
    } else {
        ImageHandle::new(opener.open_source_with(source, &progress)?, opener, CString::default())
    };
    progress.end();
    log_findings(image.findings(), options);
    Ok(image)
}

/// Passes findings to the callback of the options.
pub(crate) fn log_findings(findings: &[Finding], options: &OpenOptionsRecord) {
    let Some(log) = options.log else { return };
    for finding in findings {
        let message = c_string(&finding.message);
        // SAFETY: called as the header documents; the message is valid during the call.
        unsafe { log(options.log_user, severity_number(finding.severity), message.as_ptr()) }
    }
}
