//! A file of the caller's own, behind callbacks.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use diskimg::{Error, ErrorKind, Result};

use crate::guard::{check_flags, invalid};
use crate::record::Record;

/// Never call two of the functions at once. Without it they are called from several threads at a time.
pub const DISKIMG_IO_SERIAL: u32 = 1;

/// A file of the caller's own: memory, a network, an object store.
///
/// Each function gets `user`, returns 0 or a positive errno, and may be called from any thread, also from threads of
/// the library, and from several at once unless DISKIMG_IO_SERIAL is set. It must not throw, longjmp, or use the handle
/// that it serves. Offsets and lengths are bytes, and no length is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Io {
    /// sizeof(diskimg_io).
    pub struct_size: usize,
    /// DISKIMG_IO_SERIAL or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
    /// Handed to each function.
    pub user: *mut c_void,
    /// Reads `len` bytes at `offset` into `buf` and stores in `*nread` how many it read: fewer are asked for
    /// again, none is the end of the file. Needed to read.
    pub pread: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            buf: *mut c_void,
            len: usize,
            offset: u64,
            nread: *mut usize,
        ) -> c_int,
    >,
    /// Stores the length of the file; asked once. Needed to read.
    pub size: Option<unsafe extern "C" fn(user: *mut c_void, bytes: *mut u64) -> c_int>,
    /// Stores the next run of bytes at or behind `offset` that is no hole; `*start` at the end of the file if
    /// there is none. NULL: everything is data.
    pub next_data:
        Option<unsafe extern "C" fn(user: *mut c_void, offset: u64, start: *mut u64, end: *mut u64) -> c_int>,
    /// Writes all `len` bytes at `offset`. Needed to write; NULL for what is only read.
    pub pwrite:
        Option<unsafe extern "C" fn(user: *mut c_void, buf: *const c_void, len: usize, offset: u64) -> c_int>,
    /// Makes the range read as zeros. NULL: zeros are written, or left out where the target is known to hold
    /// them.
    pub zero: Option<unsafe extern "C" fn(user: *mut c_void, offset: u64, len: u64) -> c_int>,
    /// Gives the file its length. Called before the first write with the size of a raw disk, and after the last
    /// with the length of an image. NULL: a raw disk is written, or zeroed, up to its last byte.
    pub set_size: Option<unsafe extern "C" fn(user: *mut c_void, bytes: u64) -> c_int>,
    /// Makes durable what was written; called once, when all is. May be NULL.
    pub flush: Option<unsafe extern "C" fn(user: *mut c_void) -> c_int>,
    /// The library needs the file no more. Called exactly once for each diskimg_io that was read, also when
    /// the function that got it fails; the last call of all. May be NULL.
    pub close: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl Record for Io {}

/// What a callback gets back; ours only to hand on.
#[derive(Clone, Copy)]
pub(crate) struct User(pub(crate) *mut c_void);

// SAFETY: we never look behind the pointer, and the header tells its owner from which threads callbacks come.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

/// The functions of one file, closed when dropped.
pub(crate) struct Callbacks {
    io: Io,
    turn: Option<Mutex<()>>,
}

// SAFETY: the header says that the functions are called from any thread, and from several at once unless they
// are serial; `turn` sees to that.
unsafe impl Send for Callbacks {}
// SAFETY: as above.
unsafe impl Sync for Callbacks {}

impl Callbacks {
    /// Takes the functions: from here on `close` will be called.
    ///
    /// # Errors
    /// A flag that is none.
    pub(crate) fn new(io: Io) -> Result<Self> {
        let turn = (io.flags & DISKIMG_IO_SERIAL != 0).then(Mutex::default);
        let this = Self { io, turn };
        check_flags(this.io.flags, DISKIMG_IO_SERIAL)?;
        check_flags(this.io.reserved, 0)?;
        Ok(this)
    }

    pub(crate) fn functions(&self) -> &Io {
        &self.io
    }

    fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Length of the file in bytes.
    pub(crate) fn size(&self) -> Result<u64> {
        let size = needed(self.io.size, "size")?;
        let mut bytes = 0;
        let _turn = self.turn();
        // SAFETY: a function of the caller's, called as the header says.
        outcome("size", unsafe { size(self.io.user, &raw mut bytes) })?;
        Ok(bytes)
    }

    /// Reads once; the bytes read, at most as many as asked for.
    pub(crate) fn pread(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let pread = needed(self.io.pread, "pread")?;
        let mut read = 0;
        let _turn = self.turn();
        // SAFETY: as above; `buf` is valid for its own length.
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

    /// The next run of data at or behind `offset`; `None` if the file has no such function.
    pub(crate) fn next_data(&self, offset: u64) -> Result<Option<std::ops::Range<u64>>> {
        let Some(next_data) = self.io.next_data else { return Ok(None) };
        let (mut start, mut end) = (0, 0);
        let _turn = self.turn();
        // SAFETY: as above.
        outcome("next_data", unsafe { next_data(self.io.user, offset, &raw mut start, &raw mut end) })?;
        Ok(Some(start..end))
    }

    pub(crate) fn pwrite(&self, data: &[u8], offset: u64) -> Result<()> {
        let pwrite = needed(self.io.pwrite, "pwrite")?;
        let _turn = self.turn();
        // SAFETY: as above; `data` is valid for its own length.
        let code = unsafe { pwrite(self.io.user, data.as_ptr().cast(), data.len(), offset) };
        outcome("pwrite", code).map_err(|error| error.at(offset))
    }

    /// Makes a range read as zeros; `false` if the file has no such function.
    pub(crate) fn zero(&self, offset: u64, len: u64) -> Result<bool> {
        let Some(zero) = self.io.zero else { return Ok(false) };
        let _turn = self.turn();
        // SAFETY: as above.
        outcome("zero", unsafe { zero(self.io.user, offset, len) }).map_err(|error| error.at(offset))?;
        Ok(true)
    }

    pub(crate) fn set_size(&self, bytes: u64) -> Result<()> {
        let Some(set_size) = self.io.set_size else { return Ok(()) };
        let _turn = self.turn();
        // SAFETY: as above.
        outcome("set_size", unsafe { set_size(self.io.user, bytes) })
    }

    pub(crate) fn flush(&self) -> Result<()> {
        let Some(flush) = self.io.flush else { return Ok(()) };
        let _turn = self.turn();
        // SAFETY: as above.
        outcome("flush", unsafe { flush(self.io.user) })
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        if let Some(close) = self.io.close {
            // SAFETY: as above; nothing of `io` is used behind this.
            unsafe { close(self.io.user) }
        }
    }
}

fn needed<F>(function: Option<F>, name: &'static str) -> Result<F> {
    function.ok_or_else(|| invalid(name, "a function, and not NULL"))
}

/// What a callback returned: 0 or an errno.
pub(crate) fn outcome(name: &'static str, code: c_int) -> Result<()> {
    match code {
        0 => Ok(()),
        code if code > 0 => Err(Error::from(std::io::Error::from_raw_os_error(code))
            .with_kind(ErrorKind::Io)
            .field(callback(name))),
        code => Err(broken(name).found(code).expected("0 or a positive errno")),
    }
}

/// A callback that breaks its contract.
pub(crate) fn broken(name: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput).field(callback(name))
}

fn callback(name: &'static str) -> String {
    format!("callback {name}")
}
