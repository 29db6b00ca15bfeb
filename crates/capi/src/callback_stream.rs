//! Streams that callbacks of the caller provide.

use std::ffi::{c_int, c_void};
use std::io::{self, Read, Write};

use diskimg::{Error, ErrorKind, Result};

use crate::argument::invalid;
use crate::io::{UserPointer, broken, outcome};

/// Reads up to `len` bytes of a stream into `buf` and stores the number of bytes read in `*nread`; 0 means
/// the end of the stream. Returns 0 or a positive errno. Called from the calling thread or a thread of the
/// library, never concurrently, and never after the function that received it has returned.
pub type ReadFn =
    Option<unsafe extern "C" fn(user: *mut c_void, buf: *mut c_void, len: usize, nread: *mut usize) -> c_int>;

/// Appends all `len` bytes to a stream. Returns 0 or a positive errno. Called from threads of the library,
/// never concurrently.
pub type WriteFn = Option<unsafe extern "C" fn(user: *mut c_void, buf: *const c_void, len: usize) -> c_int>;

/// A stream of the caller, as a reader.
pub(crate) struct CallbackReader {
    read: unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut usize) -> c_int,
    user: UserPointer,
    /// The number of bytes that the stream must have, if it is known.
    length: Option<u64>,
    /// The number of bytes read.
    position: u64,
}

impl CallbackReader {
    /// # Errors
    /// Rejects NULL.
    pub(crate) fn new(read: ReadFn, user: *mut c_void, length: Option<u64>) -> Result<Self> {
        let read = read.ok_or_else(|| invalid("read", "a function, not NULL"))?;
        Ok(Self { read, user: UserPointer(user), length, position: 0 })
    }

    /// Counts `read` more bytes; 0 is the end of the stream.
    ///
    /// # Errors
    /// Rejects a stream of another length than the caller stated.
    fn count(&mut self, read: usize) -> Result<()> {
        self.position = self.position.saturating_add(read as u64);
        let Some(length) = self.length else { return Ok(()) };
        let (kind, found) = match read {
            0 if self.position < length => (ErrorKind::Truncated, format!("{} bytes long", self.position)),
            _ if self.position > length => (ErrorKind::Corrupt, "longer".to_owned()),
            _ => return Ok(()),
        };
        Err(Error::new(kind).field("stream").found(found).expected(format_args!("{length} bytes")))
    }
}

impl Read for CallbackReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut read = 0;
        // SAFETY: called as the header documents; `buf` is valid for its length.
        let code = unsafe { (self.read)(self.user.0, buf.as_mut_ptr().cast(), buf.len(), &raw mut read) };
        outcome("read", code)?;
        if read > buf.len() {
            let error = broken("read").found(read).expected(format_args!("at most {} bytes", buf.len()));
            return Err(error.into());
        }
        self.count(read)?;
        Ok(read)
    }
}

/// A stream of the caller, as a writer.
pub(crate) struct CallbackWriter {
    write: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    user: UserPointer,
}

impl CallbackWriter {
    /// # Errors
    /// Rejects NULL.
    pub(crate) fn new(write: WriteFn, user: *mut c_void) -> Result<Self> {
        let write = write.ok_or_else(|| invalid("write", "a function, not NULL"))?;
        Ok(Self { write, user: UserPointer(user) })
    }
}

impl Write for CallbackWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // SAFETY: called as the header documents; `data` is valid for its length.
        let code = unsafe { (self.write)(self.user.0, data.as_ptr().cast(), data.len()) };
        outcome("write", code)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
