//! Converting, from an image or a stream, to a file or a stream.

use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Read};

use diskimg::{BlockSource, Converted, Disk, Result, Target, WriteOrder, convert, convert_stream};

use crate::convert_options::{ConvertRecord, ConvertResult, DISKIMG_CONVERT_IN_PLACE, Place};
use crate::error::ErrorReport;
use crate::guard::{call, invalid, with};
use crate::image::Image;
use crate::io::{Callbacks, Io};
use crate::open_options::{OpenOptions, duplicate};
use crate::progress::{Stop, Told};
use crate::record;
use crate::status::Status;
use crate::stream::{Incoming, Outgoing, ReadFn, WriteFn};
use crate::strings;

/// Copies the disk into a file of the format that the options name. A new file appears when it is whole, and on
/// disk, or not at all; a block device is written in place. `options` and `result` may be NULL. Worker threads
/// end before it returns.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_to_path(
    image: *const Image,
    path: *const c_char,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need.
    unsafe {
        with(image, err, |image| from_image(image, Ok(Place::Path(strings::path(path)?)), options, result))
    }
}

/// Copies the disk into a file or block device that is open for reading and writing: a file that is not empty is
/// emptied first, unless DISKIMG_CONVERT_TARGET_IS_ZERO says otherwise. A pipe or socket gets what
/// diskimg_convert_to_stream() writes. The descriptor stays the caller's. After a failure the file holds what was
/// written so far. Otherwise as diskimg_convert_to_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_to_fd(
    image: *const Image,
    fd: c_int,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need.
    unsafe {
        with(image, err, |image| from_image(image, Ok(Place::File(duplicate(fd, "fd")?)), options, result))
    }
}

/// Copies the disk into a file of the caller's own, by `pwrite` and what else it has. For an image format the
/// file has to be empty. `*io` is copied; its close is called before this returns. Otherwise as
/// diskimg_convert_to_fd().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_to_io(
    image: *const Image,
    io: *const Io,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need.
    unsafe {
        // Outside of `with`, for it is closed even if the image is NULL.
        let place = place_of(io);
        with(image, err, |image| from_image(image, place, options, result))
    }
}

/// Writes the disk into a stream, from the first byte to the last: raw, or as a format that never goes back, a
/// streamOptimized VMDK; DISKIMG_ERR_NEEDS_SEEK for others. Otherwise as diskimg_convert_to_path().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_to_stream(
    image: *const Image,
    write: WriteFn,
    user: *mut c_void,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need.
    unsafe {
        with(image, err, |image| {
            from_image(image, Ok(Place::Stream(Outgoing::new(write, user)?)), options, result)
        })
    }
}

/// Converts an image that arrives once, in order. Where its format and the target allow (a raw disk, compressed or
/// not, into raw, for one) it is converted as it comes; else it is kept in an anonymous temporary file first, as
/// `open_options` allow, and `progress` is told of the bytes that came. Of an OVA the disk in it is converted; with
/// several there is no target. `read` is called from a thread of the library or from the caller's. Otherwise as
/// diskimg_convert_to_path(), and of its options threads and memory matter where the image is kept.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream_to_path(
    read: ReadFn,
    read_user: *mut c_void,
    open_options: *const OpenOptions,
    path: *const c_char,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let place = Place::Path(strings::path(path)?);
            from_stream(Incoming::new(read, read_user)?, open_options, place, options, result)
        })
    }
}

/// As diskimg_convert_stream_to_path(), into what diskimg_convert_to_fd() takes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream_to_fd(
    read: ReadFn,
    read_user: *mut c_void,
    open_options: *const OpenOptions,
    fd: c_int,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let place = Place::File(duplicate(fd, "fd")?);
            from_stream(Incoming::new(read, read_user)?, open_options, place, options, result)
        })
    }
}

/// As diskimg_convert_stream_to_path(), into what diskimg_convert_to_io() takes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream_to_io(
    read: ReadFn,
    read_user: *mut c_void,
    open_options: *const OpenOptions,
    io: *const Io,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let place = place_of(io)?;
            from_stream(Incoming::new(read, read_user)?, open_options, place, options, result)
        })
    }
}

/// As diskimg_convert_stream_to_path(), into what diskimg_convert_to_stream() takes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_convert_stream_to_stream(
    read: ReadFn,
    read_user: *mut c_void,
    open_options: *const OpenOptions,
    write: WriteFn,
    write_user: *mut c_void,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let place = Place::Stream(Outgoing::new(write, write_user)?);
            from_stream(Incoming::new(read, read_user)?, open_options, place, options, result)
        })
    }
}

/// # Safety
/// `io` as for [`record::read`].
unsafe fn place_of(io: *const Io) -> Result<Place> {
    // SAFETY: the caller's promise.
    let io = unsafe { record::read(io) }?;
    Ok(Place::Callbacks(Callbacks::new(io)?))
}

/// # Safety
/// `options` and `result` as for [`record::read`] and [`record::write`].
unsafe fn from_image(
    image: &Image,
    place: Result<Place>,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        let place = place?;
        let options = record::read(options)?;
        let disk = image.disk()?;
        options.check()?;
        keep_source(disk, &place, &options)?;
        let told = Told::begin(options.progress, options.progress_user, options.cancel, disk.size())?;
        let sink = options.target(place, Some(disk.size()))?;
        let done = convert(disk, sink, &options.how()?, &told)?;
        told.end();
        report(result, done)
    }
}

/// # Safety
/// As [`from_image`], and `open_options` as for [`record::read`].
unsafe fn from_stream(
    stream: Incoming,
    open_options: *const OpenOptions,
    place: Place,
    options: *const ConvertRecord,
    result: *mut ConvertResult,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        let options = record::read(options)?;
        let opener = record::read(open_options)?.opener(None)?;
        options.check()?;
        let told = Told::begin(options.progress, options.progress_user, options.cancel, 0)?;
        let arriving = opener.arriving(Stoppable { stream, stop: Stop::new(options.cancel) })?;
        let done = if arriving.streams(order_of(&place)) && options.takes_any_size()? {
            let sink = options.target(place, None)?;
            convert_stream(arriving, sink, &options.how()?, &told)?
        } else {
            let disk = arriving.into_disk(&opener, &told)?;
            keep_source(&disk, &place, &options)?;
            let sink = options.target(place, Some(disk.size()))?;
            convert(&disk, sink, &options.how()?, &told)?
        };
        told.end();
        report(result, done)
    }
}

/// In which order a target takes its bytes.
fn order_of(place: &Place) -> WriteOrder {
    match place {
        Place::Stream(_) => WriteOrder::Ascending,
        _ => WriteOrder::Any,
    }
}

/// # Safety
/// `result` is NULL or as for [`record::write`].
unsafe fn report(result: *mut ConvertResult, done: Converted) -> Result<()> {
    match result.is_null() {
        true => Ok(()),
        // SAFETY: not null, and the caller promises the rest.
        false => unsafe { record::write(result, &ConvertResult::from(done)) },
    }
}

/// Refuses a target written in place that the source is read from: it would destroy what is being read.
fn keep_source(disk: &Disk, place: &Place, options: &ConvertRecord) -> Result<()> {
    match place {
        Place::Path(path) => {
            let mut target = Target::file(path, options.driver()?.format);
            target.in_place = options.has(DISKIMG_CONVERT_IN_PLACE);
            target.ensure_not_source(disk)
        }
        Place::File(file) if file.metadata().is_ok_and(|there| disk.reads_from(&there)) => {
            Err(invalid("target", "a file that the source is not read from"))
        }
        Place::File(_) | Place::Callbacks(_) | Place::Stream(_) => Ok(()),
    }
}

/// A stream that ends with an error once a flag is triggered, so that not even the beginning has to arrive.
struct Stoppable {
    stream: Incoming,
    stop: Stop,
}

impl Read for Stoppable {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.stream.read(buf)
    }
}
