//! Opening images.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::Arc;

use diskimg::{BlockSource, Error, FileSource, Result};

use crate::callback_source::{BorrowedBytes, CallbackSource};
use crate::error::ErrorReport;
use crate::guard::create_handle;
use crate::image::ImageHandle;
use crate::info_record::severity_number;
use crate::io::{IoRecord, create_io_handle};
use crate::open_record::{DISKIMG_OPEN_DIRECT, DISKIMG_OPEN_INFO_ONLY, OpenOptionsRecord, duplicate};
use crate::sized_record;
use crate::status::StatusCode;
use crate::strings::{self, c_string};

/// Opens the image in a file or block device for reading, and the files that it refers to as far as the
/// options allow. On success the caller owns `*out` and closes it with diskimg_close(). It is NULL after a
/// failure. `options` may be NULL. The library does not use `options` after the call, except for its
/// callbacks and their user pointers.
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
            let options = sized_record::read(options)?;
            open(Arc::new(file(&path, &options)?), &options, Some(&path))
        })
    }
}

/// Opens the image in a file that is open for reading. The descriptor is duplicated, and the caller keeps
/// ownership of it. Its position is neither used nor moved. Otherwise the same as diskimg_open_path().
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
            open(Arc::new(FileSource::new(duplicate(fd, "fd")?)?), &options, None)
        })
    }
}

/// Opens the image in `len` bytes of memory. The bytes must stay valid and unchanged until the image is
/// closed. Otherwise the same as diskimg_open_path().
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
            open(Arc::new(BorrowedBytes::new(data, len)?), &options, None)
        })
    }
}

/// Opens the image in a file that callbacks of the caller provide. `*io` is copied. Its `close` is called
/// when the file is no longer needed: when the image is closed or before, and also if this function fails.
/// Otherwise the same as diskimg_open_path().
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
            open(Arc::new(CallbackSource::new(callbacks)?), &options, None)
        })
    }
}

fn file(path: &Path, options: &OpenOptionsRecord) -> Result<FileSource> {
    let direct = options.has(DISKIMG_OPEN_DIRECT);
    FileSource::open_with(path, &diskimg::raw::SourceOptions { direct })
        .map_err(|error| name_file(error, path))
}

fn name_file(error: Error, path: &Path) -> Error {
    if error.field_name().is_some() { error } else { error.field(format!("'{}'", path.display())) }
}

/// # Safety
/// The strings of `options` are NULL or end with a NUL.
unsafe fn open(
    source: Arc<dyn BlockSource>,
    options: &OpenOptionsRecord,
    path: Option<&Path>,
) -> Result<ImageHandle> {
    // SAFETY: guaranteed by the caller.
    let opener = unsafe { options.opener(path) }?;
    let filename = path.map_or_else(CString::default, |path| c_string(&path.to_string_lossy()));
    let image = if options.has(DISKIMG_OPEN_INFO_ONLY) {
        ImageHandle::inspected(opener.inspect_source(&source)?, opener, filename)
    } else {
        ImageHandle::new(opener.open_source(source)?, opener, filename)
    };
    log_findings(&image, options);
    Ok(image)
}

fn log_findings(image: &ImageHandle, options: &OpenOptionsRecord) {
    let Some(log) = options.log else { return };
    for finding in &image.inspection().info.findings {
        let message = c_string(&finding.message);
        // SAFETY: called as the header documents; the message is valid during the call.
        unsafe { log(options.log_user, severity_number(finding.severity), message.as_ptr()) }
    }
}
