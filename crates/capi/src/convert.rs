//! Conversion of an image or a stream to a file or a stream.

use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Read};

use diskimg::{BlockSource, Result};

use crate::callback_stream::{CallbackReader, CallbackWriter, ReadFn, WriteFn};
use crate::convert_record::{ConvertOptionsRecord, ConvertResultRecord, Destination};
use crate::error::ErrorReport;
use crate::guard::{call, with};
use crate::image::ImageHandle;
use crate::io::{Callbacks, IoRecord};
use crate::open::log_findings;
use crate::open_record::{OpenOptionsRecord, duplicate};
use crate::progress::{CallProgress, CancelCheck};
use crate::sized_record;
use crate::status::StatusCode;
use crate::strings;

/// Converts the disk to a file at `path`, in the format that the options set. A new file appears only when it
/// is complete and durable. A block device is written in place. `options` and `result` may be NULL. All
/// worker threads end before the call returns.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_to_path(
    image: *const ImageHandle,
    path: *const c_char,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        with(image, err, |image| {
            from_image(image, Ok(Destination::Path(strings::path(path)?)), options, result)
        })
    }
}

/// Converts the disk to a file or block device that is open for reading and writing. A file is truncated to
/// length 0 first, unless DISKIMG_CONVERT_IN_PLACE or DISKIMG_CONVERT_TARGET_IS_ZERO is set. A pipe or socket
/// receives the same bytes as from diskimg_convert_to_stream(). The caller keeps ownership of the descriptor.
/// After a failure the file contains the data written so far. Otherwise the same as
/// diskimg_convert_to_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_to_fd(
    image: *const ImageHandle,
    fd: c_int,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        with(image, err, |image| {
            from_image(image, Ok(Destination::File(duplicate(fd, "fd")?)), options, result)
        })
    }
}

/// Converts the disk to a file that callbacks of the caller provide. `*io` is copied. Its `pwrite` is
/// required. Its `close` is called before this function returns. For an image format the file must be
/// empty. Otherwise the same as diskimg_convert_to_fd().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_to_io(
    image: *const ImageHandle,
    io: *const IoRecord,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        // Before `with`, so that `io` is closed even if the image is NULL.
        let place = callbacks_of(io);
        with(image, err, |image| from_image(image, place, options, result))
    }
}

/// Writes the disk to a stream, from the first byte to the last. The target is raw or a streamOptimized VMDK;
/// any other format is DISKIMG_ERR_NEEDS_SEEK. Otherwise the same as diskimg_convert_to_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_to_stream(
    image: *const ImageHandle,
    write: WriteFn,
    user: *mut c_void,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it.
    unsafe {
        with(image, err, |image| {
            from_image(image, Ok(Destination::Stream(CallbackWriter::new(write, user)?)), options, result)
        })
    }
}

/// Converts an image that is read from a stream to a file at `path`. If the format and the target allow it,
/// the image is converted while it is read; an example is a raw disk, compressed or not, converted to raw.
/// Otherwise it is stored in an anonymous temporary file first, if `open_options` allow that, and `progress`
/// also counts the bytes stored. From an OVA its disk is converted; if the OVA contains several disks, the
/// call fails and creates no target. `read` is called from the calling thread or a thread of the library.
/// Otherwise the same as diskimg_convert_to_path(); the options `threads` and `max_memory` apply only if a
/// temporary file is used.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream_to_path(
    read: ReadFn,
    read_user: *mut c_void,
    open_options: *const OpenOptionsRecord,
    path: *const c_char,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        call(err, || {
            let place = Destination::Path(strings::path(path)?);
            from_stream(CallbackReader::new(read, read_user)?, open_options, place, options, result)
        })
    }
}

/// Converts an image that is read from a stream to the open file `fd`, which is used as in
/// diskimg_convert_to_fd(). Otherwise the same as diskimg_convert_stream_to_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream_to_fd(
    read: ReadFn,
    read_user: *mut c_void,
    open_options: *const OpenOptionsRecord,
    fd: c_int,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        call(err, || {
            let place = Destination::File(duplicate(fd, "fd")?);
            from_stream(CallbackReader::new(read, read_user)?, open_options, place, options, result)
        })
    }
}

/// Converts an image that is read from a stream to a file that callbacks of the caller provide, which is
/// used as in diskimg_convert_to_io(). Otherwise the same as diskimg_convert_stream_to_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream_to_io(
    read: ReadFn,
    read_user: *mut c_void,
    open_options: *const OpenOptionsRecord,
    io: *const IoRecord,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        call(err, || {
            let place = callbacks_of(io)?;
            from_stream(CallbackReader::new(read, read_user)?, open_options, place, options, result)
        })
    }
}

/// Converts an image that is read from a stream to another stream, which is written as in
/// diskimg_convert_to_stream(). Otherwise the same as diskimg_convert_stream_to_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream_to_stream(
    read: ReadFn,
    read_user: *mut c_void,
    open_options: *const OpenOptionsRecord,
    write: WriteFn,
    write_user: *mut c_void,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        call(err, || {
            let place = Destination::Stream(CallbackWriter::new(write, write_user)?);
            from_stream(CallbackReader::new(read, read_user)?, open_options, place, options, result)
        })
    }
}

/// # Safety
/// `io` as for [`sized_record::read`].
unsafe fn callbacks_of(io: *const IoRecord) -> Result<Destination> {
    // SAFETY: guaranteed by the caller.
    unsafe { Callbacks::read(io) }.map(Destination::Callbacks)
}

/// # Safety
/// `options` and `result` as for [`sized_record::read`] and [`sized_record::write`].
unsafe fn from_image(
    image: &ImageHandle,
    place: Result<Destination>,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
) -> Result<()> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let place = place?;
        let options = sized_record::read(options)?;
        let disk = image.disk()?;
        let target = options.target(place)?;
        let progress =
            CallProgress::begin(options.progress, options.progress_user, options.cancel, disk.size())?;
        let done = disk.convert_to(&target, &options.convert_options()?, &progress)?;
        progress.end();
        sized_record::write_optional(result, &ConvertResultRecord::from(done))
    }
}

/// # Safety
/// As [`from_image`], and `open_options` as for [`sized_record::read`].
unsafe fn from_stream(
    stream: CallbackReader,
    open_options: *const OpenOptionsRecord,
    place: Destination,
    options: *const ConvertOptionsRecord,
    result: *mut ConvertResultRecord,
) -> Result<()> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let options = sized_record::read(options)?;
        let open_options = sized_record::read(open_options)?;
        let opener = open_options.opener(None)?;
        options.check()?;
        let progress = CallProgress::begin(options.progress, options.progress_user, options.cancel, 0)?;
        let target = options.target(place)?;
        let input = opener.stream(CancellableStream { stream, stop: CancelCheck::new(options.cancel) })?;
        let done = input.convert_to(&target, &options.convert_options()?, &progress)?;
        progress.end();
        log_findings(&done.findings, &open_options);
        sized_record::write_optional(result, &ConvertResultRecord::from(done))
    }
}

/// A stream whose reads fail once a flag is triggered, even before its first bytes.
struct CancellableStream {
    stream: CallbackReader,
    stop: CancelCheck,
}

impl Read for CancellableStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.stream.read(buf)
    }
}
