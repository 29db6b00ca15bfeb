//! Images that the caller writes.

use std::ffi::c_void;

use diskimg::{BlockSink, Result};

use crate::argument::{bytes, invalid};
use crate::convert_record::ConvertOptionsRecord;
use crate::error::ErrorReport;
use crate::guard::{create_handle, with};
use crate::handle::{Handle, Poison, free};
use crate::progress::CallProgress;
use crate::sized_record;
use crate::status::StatusCode;
use crate::target_record::{Destination, TargetRecord};

/// A disk being written. Bytes that are never written read as zeros. The image becomes valid with
/// diskimg_finish().
pub struct WriterHandle {
    sink: Option<Box<dyn BlockSink>>,
    poison: Poison,
}

impl Handle for WriterHandle {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

impl WriterHandle {
    fn sink(&self) -> Result<&dyn BlockSink> {
        self.sink.as_deref().ok_or_else(|| invalid("writer", "a writer that is not finished"))
    }
}

/// Creates a disk of `virtual_size` bytes at the target, with `options`, which may be NULL. A file at a path
/// appears with diskimg_finish(). `cancel` applies while space is preallocated, also in diskimg_finish();
/// `progress` is called before and after. On success the caller owns `*out` and frees it with
/// diskimg_writer_free(). It is NULL after a failure.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS, DISKIMG_ERR_NEEDS_SEEK, DISKIMG_ERR_EXISTS,
/// DISKIMG_ERR_IN_USE, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_create(
    target: *const TargetRecord,
    virtual_size: u64,
    options: *const ConvertOptionsRecord,
    out: *mut *mut WriterHandle,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        // First, so that the callbacks of the target are closed whatever else is invalid.
        let place = Destination::read(target);
        create_handle(out, err, || {
            let place = place?;
            let options = sized_record::read(options)?;
            let target = options.target(place)?;
            let progress = CallProgress::begin(vec![options.hooks()], virtual_size)?;
            let sink = target.create(Some(virtual_size))?;
            progress.end();
            Ok(WriterHandle { sink: Some(sink), poison: Poison::default() })
        })
    }
}

/// Writes all `len` bytes at `offset` of the disk. Any number of threads may write different ranges
/// concurrently. With DISKIMG_CONVERT_COMPRESS, a cluster or grain written whole in one call is
/// compressed and cannot be rewritten (DISKIMG_ERR_INVALID_ARGUMENT). A part of one is stored
/// uncompressed and can be written any number of times. A streamOptimized VMDK accepts only ascending
/// offsets (DISKIMG_ERR_NEEDS_SEEK) and compresses all data. Returns DISKIMG_ERR_OUT_OF_BOUNDS if the
/// range extends past the end of the disk.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS, DISKIMG_ERR_NEEDS_SEEK, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_write(
    writer: *const WriterHandle,
    buf: *const c_void,
    len: usize,
    offset: u64,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with`, and `len` readable bytes.
    unsafe {
        with(writer, err, |writer| {
            let sink = writer.sink()?;
            sink.write_at(offset, bytes(buf, len, "buf")?)
        })
    }
}

/// Makes `len` bytes at `offset` of the disk read as zeros. It is cheap for ranges that were never written.
/// Otherwise the same as diskimg_write().
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS, DISKIMG_ERR_NEEDS_SEEK, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_write_zeroes(
    writer: *const WriterHandle,
    offset: u64,
    len: u64,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with`.
    unsafe {
        with(writer, err, |writer| {
            let end =
                offset.checked_add(len).ok_or_else(|| invalid("len", "a range below 2^64").found(len))?;
            writer.sink()?.zero(offset..end)
        })
    }
}

/// Completes the disk: the image is valid afterwards, and its file appears. No other call may be using the
/// writer. After this call, successful or not, the writer can only be freed. A failure leaves no valid
/// image.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_CANCELLED, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS, DISKIMG_ERR_NEEDS_SEEK, DISKIMG_ERR_EXISTS,
/// DISKIMG_ERR_IN_USE, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_finish(writer: *mut WriterHandle, err: *mut *mut ErrorReport) -> StatusCode {
    // SAFETY: the header requires NULL or a writer that nothing else uses. The sink is taken out before `with` borrows
    // the handle.
    unsafe {
        let sink = if writer.is_null() { None } else { (&raw mut (*writer).sink).replace(None) };
        with(writer.cast_const(), err, |_| match sink {
            Some(sink) => sink.finish(),
            None => Err(invalid("writer", "a writer that is not finished")),
        })
    }
}

/// Frees a writer. If it is not finished, no file remains at a path, and no valid image remains elsewhere.
/// NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_writer_free(writer: *mut WriterHandle) {
    // SAFETY: the handle came from `NewHandle`, and the header allows one free.
    unsafe { free(writer) }
}
