//! Bytes in order, from and to the caller.

use std::ffi::{c_int, c_void};
use std::io::{self, Read, Write};

use diskimg::Result;

use crate::guard::invalid;
use crate::io::{User, broken, outcome};

/// Reads up to `len` bytes of a stream into `buf` and stores in `*nread` how many; 0 is its end. Returns 0 or a
/// positive errno. Called from a thread of the library or the caller's, never twice at once, and no more once the function that
/// got it has returned.
pub type ReadFn =
    Option<unsafe extern "C" fn(user: *mut c_void, buf: *mut c_void, len: usize, nread: *mut usize) -> c_int>;

/// Writes all `len` bytes at the end of a stream. Returns 0 or a positive errno. Called from threads of the
/// library, never twice at once.
pub type WriteFn = Option<unsafe extern "C" fn(user: *mut c_void, buf: *const c_void, len: usize) -> c_int>;

/// A stream of the caller's, read.
pub(crate) struct Incoming {
    read: unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut usize) -> c_int,
    user: User,
}

impl Incoming {
    /// # Errors
    /// NULL.
    pub(crate) fn new(read: ReadFn, user: *mut c_void) -> Result<Self> {
        let read = read.ok_or_else(|| invalid("read", "a function, and not NULL"))?;
        Ok(Self { read, user: User(user) })
    }
}

impl Read for Incoming {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut read = 0;
        // SAFETY: a function of the caller's, called as the header says; `buf` is valid for its own length.
        let code = unsafe { (self.read)(self.user.0, buf.as_mut_ptr().cast(), buf.len(), &raw mut read) };
        outcome("read", code)?;
        if read > buf.len() {
            let most = format_args!("at most {} bytes", buf.len()).to_string();
            return Err(broken("read").found(read).expected(most).into());
        }
        Ok(read)
    }
}

/// A stream of the caller's, written.
pub(crate) struct Outgoing {
    write: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    user: User,
}

impl Outgoing {
    /// # Errors
    /// NULL.
    pub(crate) fn new(write: WriteFn, user: *mut c_void) -> Result<Self> {
        let write = write.ok_or_else(|| invalid("write", "a function, and not NULL"))?;
        Ok(Self { write, user: User(user) })
    }
}

impl Write for Outgoing {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // SAFETY: a function of the caller's, called as the header says; `data` is valid for its own length.
        let code = unsafe { (self.write)(self.user.0, data.as_ptr().cast(), data.len()) };
        outcome("write", code)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
