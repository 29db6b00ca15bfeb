//! A file that callbacks of the caller provide.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use diskimg::{Error, ErrorKind, Result};

use crate::argument::{check_flags, check_reserved, invalid};
use crate::error::ErrorReport;
use crate::guard::call;
use crate::handle::NewHandle;
use crate::sized_record::{self, SizedRecord};
use crate::status::StatusCode;

/// Calls at most one of the functions at a time. Without it, several threads call them concurrently.
pub const DISKIMG_IO_SERIAL: u32 = 1;

/// A file that the caller provides: memory, a network resource, an object in a store.
///
/// Each function receives `user` and returns 0 or a positive errno. Any thread may call it, including
/// threads of the library. Several threads may call concurrently unless DISKIMG_IO_SERIAL is set. A
/// function must not throw, longjmp, or use the handle that it serves. Offsets and lengths are in bytes. A
/// length is never 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoRecord {
    /// sizeof(diskimg_io).
    pub struct_size: usize,
    /// DISKIMG_IO_SERIAL or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Passed to each function.
    pub user: *mut c_void,
    /// Reads up to `len` bytes at `offset` into `buf` and stores the number of bytes read in `*nread`.
    /// After a short read the library requests the rest. 0 means the end of the file. Required for
    /// reading.
    pub pread: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            buf: *mut c_void,
            len: usize,
            offset: u64,
            nread: *mut usize,
        ) -> c_int,
    >,
    /// Stores the length of the file in `*bytes`. Called once. Required for reading.
    pub size: Option<unsafe extern "C" fn(user: *mut c_void, bytes: *mut u64) -> c_int>,
    /// Stores in `*start` and `*end` the bounds of the first data range that ends after `offset`. Bytes
    /// between data ranges are holes, which the library does not read. If there is none, sets both to the end of
    /// the file. An error is a range that ends before its start or before `offset`, that is empty or starts after the end
    /// of the file, or that is a hole where an earlier call for the same bytes said data, or the reverse. NULL: the whole
    /// file is data.
    pub next_data:
        Option<unsafe extern "C" fn(user: *mut c_void, offset: u64, start: *mut u64, end: *mut u64) -> c_int>,
    /// Writes all `len` bytes at `offset`. Required for writing; NULL for a file that is only read.
    pub pwrite:
        Option<unsafe extern "C" fn(user: *mut c_void, buf: *const c_void, len: usize, offset: u64) -> c_int>,
    /// Makes a range read as zeros. NULL: the library writes zeros, or skips ranges known to read as zeros.
    pub zero: Option<unsafe extern "C" fn(user: *mut c_void, offset: u64, len: u64) -> c_int>,
    /// Sets the length of the file: for a raw disk before the first write, for an image after the last
    /// write. NULL: a raw disk is written or zeroed up to its last byte.
    pub set_size: Option<unsafe extern "C" fn(user: *mut c_void, bytes: u64) -> c_int>,
    /// Makes all writes durable. Called once, after the last write. May be NULL.
    pub flush: Option<unsafe extern "C" fn(user: *mut c_void) -> c_int>,
    /// Releases the file. Called exactly once for each diskimg_io that the library has read, as the last
    /// call, and also if the function that received the diskimg_io fails. May be NULL.
    pub close: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl SizedRecord for IoRecord {}

/// A pointer that the library only passes back to callbacks.
#[derive(Clone, Copy)]
pub(crate) struct UserPointer(pub(crate) *mut c_void);

// SAFETY: the library never dereferences the pointer, and the header states which threads call callbacks.
unsafe impl Send for UserPointer {}
// SAFETY: as above.
unsafe impl Sync for UserPointer {}

/// The functions of one file, closed when dropped.
pub(crate) struct Callbacks {
    io: IoRecord,
    serial: Option<Mutex<()>>,
}

// SAFETY: the header states that any thread calls the functions, and several at the same time unless
// they are serial. `serial` then admits one caller at a time.
unsafe impl Send for Callbacks {}
// SAFETY: as above.
unsafe impl Sync for Callbacks {}

impl Callbacks {
    /// Reads the functions at `io`. If this succeeds in reading them, `close` will be called.
    ///
    /// # Safety
    /// As [`sized_record::read`].
    ///
    /// # Errors
    /// Rejects an invalid structure or flag.
    pub(crate) unsafe fn read(io: *const IoRecord) -> Result<Self> {
        // SAFETY: guaranteed by the caller.
        Self::new(unsafe { sized_record::read(io) }?)
    }

    /// Takes ownership of the functions: `close` will be called, also if this fails.
    ///
    /// # Errors
    /// Rejects unknown flags.
    pub(crate) fn new(io: IoRecord) -> Result<Self> {
        let serial = (io.flags & DISKIMG_IO_SERIAL != 0).then(Mutex::default);
        let this = Self { io, serial };
        check_flags(this.io.flags, DISKIMG_IO_SERIAL)?;
        check_reserved(this.io.reserved)?;
        Ok(this)
    }

    pub(crate) fn functions(&self) -> &IoRecord {
        &self.io
    }

    fn serial(&self) -> Option<MutexGuard<'_, ()>> {
        self.serial.as_ref().map(|serial| serial.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the length of the file in bytes.
    pub(crate) fn size(&self) -> Result<u64> {
        let size = required(self.io.size, "size")?;
        let mut bytes = 0;
        let _serial = self.serial();
        // SAFETY: called as the header documents.
        outcome("size", unsafe { size(self.io.user, &raw mut bytes) })?;
        Ok(bytes)
    }

    /// Calls `pread` once and returns the number of bytes read, at most the length of `buf`.
    pub(crate) fn pread(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let pread = required(self.io.pread, "pread")?;
        let mut read = 0;
        let _serial = self.serial();
        // SAFETY: as above; `buf` is valid for its length.
        let code = unsafe { pread(self.io.user, buf.as_mut_ptr().cast(), buf.len(), offset, &raw mut read) };
        outcome("pread", code).map_err(|error| error.at(offset))?;
        if read > buf.len() {
            return Err(broken("pread")
                .at(offset)
                .found(read)
                .expected(format_args!("at most {} bytes", buf.len())));
        }
        Ok(read)
    }

    /// Returns the next data range that ends after `offset`; `None` without a function for it.
    pub(crate) fn next_data(&self, offset: u64) -> Result<Option<std::ops::Range<u64>>> {
        let Some(next_data) = self.io.next_data else { return Ok(None) };
        // A callback that sets only `start` has found no data.
        let (mut start, mut end) = (0, u64::MAX);
        let _serial = self.serial();
        // SAFETY: as above.
        outcome("next_data", unsafe { next_data(self.io.user, offset, &raw mut start, &raw mut end) })?;
        Ok(Some(start..end))
    }

    pub(crate) fn pwrite(&self, data: &[u8], offset: u64) -> Result<()> {
        let pwrite = required(self.io.pwrite, "pwrite")?;
        let _serial = self.serial();
        // SAFETY: as above; `data` is valid for its length.
        let code = unsafe { pwrite(self.io.user, data.as_ptr().cast(), data.len(), offset) };
        outcome("pwrite", code).map_err(|error| error.at(offset))
    }

    /// Makes a range read as zeros. Returns false without a function for it.
    pub(crate) fn zero(&self, offset: u64, len: u64) -> Result<bool> {
        let Some(zero) = self.io.zero else { return Ok(false) };
        let _serial = self.serial();
        // SAFETY: as above.
        outcome("zero", unsafe { zero(self.io.user, offset, len) }).map_err(|error| error.at(offset))?;
        Ok(true)
    }

    pub(crate) fn set_size(&self, bytes: u64) -> Result<()> {
        let Some(set_size) = self.io.set_size else { return Ok(()) };
        let _serial = self.serial();
        // SAFETY: as above.
        outcome("set_size", unsafe { set_size(self.io.user, bytes) })
    }

    pub(crate) fn flush(&self) -> Result<()> {
        let Some(flush) = self.io.flush else { return Ok(()) };
        let _serial = self.serial();
        // SAFETY: as above.
        outcome("flush", unsafe { flush(self.io.user) })
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        if let Some(close) = self.io.close {
            // SAFETY: as above; nothing uses `io` afterwards.
            unsafe { close(self.io.user) }
        }
    }
}

/// Creates a handle over a file of the caller, as [`create_handle`](crate::guard::create_handle) does.
///
/// # Safety
/// `io` as for [`sized_record::read`]; `out` and `err` are NULL or have room for a pointer.
pub(crate) unsafe fn create_io_handle<T>(
    io: *const IoRecord,
    out: *mut *mut T,
    err: *mut *mut ErrorReport,
    body: impl FnOnce(Callbacks) -> Result<T>,
) -> StatusCode {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(err, || {
            // Both come first: `*out` becomes NULL and `io` is closed, whatever else fails.
            let out = NewHandle::new(out);
            let callbacks = Callbacks::read(io)?;
            let out = out?;
            out.set(body(callbacks)?);
            Ok(())
        })
    }
}

fn required<F>(function: Option<F>, name: &'static str) -> Result<F> {
    function.ok_or_else(|| invalid(name, "a function, not NULL"))
}

/// Converts the result of a callback: 0 or an errno.
pub(crate) fn outcome(name: &'static str, code: c_int) -> Result<()> {
    match code {
        0 => Ok(()),
        code if code > 0 => Err(Error::from(std::io::Error::from_raw_os_error(code))
            .with_kind(ErrorKind::Io)
            .field(callback(name))),
        code => Err(broken(name).found(code).expected("0 or a positive errno")),
    }
}

/// Returns the error of a callback that breaks its contract.
pub(crate) fn broken(name: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput).field(callback(name))
}

fn callback(name: &'static str) -> String {
    format!("callback {name}")
}
