//! Creating images and writing them.

use std::ffi::{c_char, c_int, c_void};

use diskimg::{BlockSink, Result};

use crate::convert_options::{ConvertRecord, Place};
use crate::error::ErrorReport;
use crate::guard::{Handle, NewHandle, Poison, call, invalid, with};
use crate::io::{Callbacks, Io};
use crate::open_options::duplicate;
use crate::record;
use crate::status::Status;
use crate::strings;

/// A disk being written. Bytes never written read as zeros. Nothing is a valid image before diskimg_finish().
pub struct Writer {
    sink: Option<Box<dyn BlockSink>>,
    poison: Poison,
}

impl Handle for Writer {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

impl Writer {
    fn sink(&self) -> Result<&dyn BlockSink> {
        self.sink.as_deref().ok_or_else(|| invalid("writer", "one that is not finished"))
    }
}

/// Begins a new disk of `virtual_size` bytes in a file, as the options say; progress and cancel are not used. The
/// file appears with diskimg_finish(). On success `*out` is the caller's, to be freed with diskimg_writer_free();
/// on failure it is NULL. `options` may be NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_create_path(
    path: *const c_char,
    virtual_size: u64,
    options: *const ConvertRecord,
    out: *mut *mut Writer,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let out = NewHandle::new(out)?;
            create(Place::Path(strings::path(path)?), virtual_size, options, out)
        })
    }
}

/// As diskimg_create_path(), in what diskimg_convert_to_fd() takes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_create_fd(
    fd: c_int,
    virtual_size: u64,
    options: *const ConvertRecord,
    out: *mut *mut Writer,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let out = NewHandle::new(out)?;
            create(Place::File(duplicate(fd, "fd")?), virtual_size, options, out)
        })
    }
}

/// As diskimg_create_path(), in what diskimg_convert_to_io() takes; its close is called when the writer is
/// finished or freed, and also when this fails.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_create_io(
    io: *const Io,
    virtual_size: u64,
    options: *const ConvertRecord,
    out: *mut *mut Writer,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            // First of all, for one is NULL and the other closed whatever else is wrong.
            let out = NewHandle::new(out);
            let callbacks = Callbacks::new(record::read(io)?)?;
            create(Place::Callbacks(callbacks), virtual_size, options, out?)
        })
    }
}

/// # Safety
/// `options` as for [`record::read`].
unsafe fn create(
    place: Place,
    virtual_size: u64,
    options: *const ConvertRecord,
    out: NewHandle<Writer>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        let sink = record::read(options)?.target(place, Some(virtual_size))?;
        out.set(Writer { sink: Some(sink), poison: Poison::default() });
        Ok(())
    }
}

/// Writes all `len` bytes at `offset` of the disk. Any number of threads may write different ranges at once. With
/// DISKIMG_CONVERT_COMPRESS a unit that comes whole in one call is compressed, and cannot be written again
/// (DISKIMG_ERR_INVALID_ARGUMENT); a part of one is stored as it is, as often as you like. A streamOptimized VMDK takes
/// ascending offsets alone (DISKIMG_ERR_NEEDS_SEEK), and compresses whatever comes. DISKIMG_ERR_OUT_OF_BOUNDS for a range
/// that ends behind the disk.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_write(
    writer: *const Writer,
    buf: *const c_void,
    len: usize,
    offset: u64,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` needs, and for `len` bytes.
    unsafe {
        with(writer, err, |writer| {
            let sink = writer.sink()?;
            if buf.is_null() && len > 0 {
                return Err(invalid("buf", "the bytes, and not NULL"));
            }
            if isize::try_from(len).is_err() {
                return Err(invalid("len", "a length in memory").found(len));
            }
            let bytes = if len == 0 { &[][..] } else { std::slice::from_raw_parts(buf.cast(), len) };
            sink.write_at(offset, bytes)
        })
    }
}

/// Makes `len` bytes at `offset` of the disk read as zeros; cheap where nothing was written yet. Otherwise as
/// diskimg_write().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_write_zeroes(
    writer: *const Writer,
    offset: u64,
    len: u64,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` needs.
    unsafe {
        with(writer, err, |writer| {
            let end =
                offset.checked_add(len).ok_or_else(|| invalid("len", "a range below 2^64").found(len))?;
            writer.sink()?.zero(offset..end)
        })
    }
}

/// Completes the disk: the image is valid, and there, from here on. No other call may be using the writer. It can
/// only be freed afterwards, also after a failure, which leaves no valid image.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_finish(writer: *mut Writer, err: *mut *mut ErrorReport) -> Status {
    // SAFETY: the header asks for NULL or a writer that nobody else uses; what is taken out of it is not used by
    // `with`, which holds the poison alone.
    unsafe {
        let sink = if writer.is_null() { None } else { (&raw mut (*writer).sink).replace(None) };
        with(writer.cast_const(), err, |_| match sink {
            Some(sink) => sink.finish(),
            None => Err(invalid("writer", "one that is not finished")),
        })
    }
}

/// Frees a writer. One that is not finished leaves nothing behind at a path, and no valid image elsewhere. NULL is
/// fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_writer_free(writer: *mut Writer) {
    if !writer.is_null() {
        // SAFETY: `call` gets no room for an error; the handle came out of Box::into_raw, and the header asks to
        // free it once.
        unsafe {
            call(std::ptr::null_mut(), || {
                drop(Box::from_raw(writer));
                Ok(())
            });
        }
    }
}
