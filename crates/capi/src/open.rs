//! Opening images.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::Arc;

use diskimg::{BlockSource, Error, FileSource, Result};

use crate::error::ErrorReport;
use crate::guard::{NewHandle, call};
use crate::image::Image;
use crate::info::severity_number;
use crate::io::{Callbacks, Io};
use crate::open_options::{DISKIMG_OPEN_DIRECT, DISKIMG_OPEN_INFO_ONLY, OpenOptions, duplicate};
use crate::record;
use crate::source::{BorrowedBytes, CallbackSource};
use crate::status::Status;
use crate::strings::{self, c_string};

/// Opens the image in a file or block device, and what lies below it as the options allow. Writes nothing. On
/// success `*out` is the caller's, to be closed with diskimg_close(); on failure it is NULL. `options` may be
/// NULL, and is not needed any more when the call returns, but for what its callbacks need.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_open_path(
    path: *const c_char,
    options: *const OpenOptions,
    out: *mut *mut Image,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let out = NewHandle::new(out)?;
            let path = strings::path(path)?;
            let options = record::read(options)?;
            let source = file(&path, &options)?;
            out.set(open(Arc::new(source), &options, Some(&path))?);
            Ok(())
        })
    }
}

/// Opens the image in a file that is open for reading. The descriptor is duplicated and stays the caller's; its
/// position is neither used nor moved. Otherwise as diskimg_open_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_open_fd(
    fd: c_int,
    options: *const OpenOptions,
    out: *mut *mut Image,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let out = NewHandle::new(out)?;
            let options = record::read(options)?;
            let source = FileSource::new(duplicate(fd, "fd")?)?;
            out.set(open(Arc::new(source), &options, None)?);
            Ok(())
        })
    }
}

/// Opens the image in `len` bytes of memory, which have to stay there unchanged until the handle is closed.
/// Otherwise as diskimg_open_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_open_memory(
    data: *const c_void,
    len: usize,
    options: *const OpenOptions,
    out: *mut *mut Image,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need, and for bytes that stay.
    unsafe {
        call(err, || {
            let out = NewHandle::new(out)?;
            let options = record::read(options)?;
            let source = BorrowedBytes::new(data.cast(), len)?;
            out.set(open(Arc::new(source), &options, None)?);
            Ok(())
        })
    }
}

/// Opens the image in a file of the caller's own. `*io` is copied. Its close is called once the file is not needed any
/// more: when the image is closed, or before, and also when this fails. Otherwise as diskimg_open_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_open_io(
    io: *const Io,
    options: *const OpenOptions,
    out: *mut *mut Image,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            // First of all, for one is NULL and the other closed whatever else is wrong.
            let out = NewHandle::new(out);
            let callbacks = Callbacks::new(record::read(io)?)?;
            let out = out?;
            let options = record::read(options)?;
            let source = CallbackSource::new(callbacks)?;
            out.set(open(Arc::new(source), &options, None)?);
            Ok(())
        })
    }
}

fn file(path: &Path, options: &OpenOptions) -> Result<FileSource> {
    let direct = options.has(DISKIMG_OPEN_DIRECT);
    FileSource::open_with(path, &diskimg::SourceOptions { direct }).map_err(|error| name_file(error, path))
}

fn name_file(error: Error, path: &Path) -> Error {
    if error.field_name().is_some() { error } else { error.field(format!("'{}'", path.display())) }
}

/// # Safety
/// The strings of `options` are NULL or end with a NUL.
unsafe fn open(source: Arc<dyn BlockSource>, options: &OpenOptions, path: Option<&Path>) -> Result<Image> {
    // SAFETY: the caller's promise.
    let opener = unsafe { options.opener(path) }?;
    let filename = path.map_or_else(CString::default, |path| c_string(&path.to_string_lossy()));
    let image = if options.has(DISKIMG_OPEN_INFO_ONLY) {
        Image::inspected(opener.inspect_any(source)?, opener, filename)
    } else {
        Image::new(opener.open_any(source)?, opener, filename)
    };
    log_findings(&image, options);
    Ok(image)
}

fn log_findings(image: &Image, options: &OpenOptions) {
    let Some(log) = options.log else { return };
    for finding in &image.inspection().info.findings {
        let message = c_string(&finding.message);
        // SAFETY: a function of the caller's, called as the header says; the message lives through the call.
        unsafe { log(options.log_user, severity_number(finding.severity), message.as_ptr()) }
    }
}
