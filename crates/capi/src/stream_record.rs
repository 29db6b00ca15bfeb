//! A stream that is read, for C.

use std::ffi::c_void;

use diskimg::Result;

use crate::argument::invalid;
use crate::callback_stream::{CallbackReader, ReadFn};
use crate::sized_record::{self, SizedRecord};

/// A stream that an image is read from. Initialise it with DISKIMG_STREAM_INIT. The library does not use the
/// structure after the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StreamRecord {
    /// sizeof(diskimg_stream).
    pub struct_size: usize,
    /// Reads the bytes. Required.
    pub read: ReadFn,
    /// Passed to `read`.
    pub read_user: *mut c_void,
    /// The number of bytes that the stream must have, such as the Content-Length of a download; 0 if it is unknown. A
    /// stream with fewer bytes is DISKIMG_ERR_TRUNCATED, one with more is DISKIMG_ERR_CORRUPT, and neither leaves a
    /// target.
    pub length: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl SizedRecord for StreamRecord {}

/// Returns the stream at `stream`.
///
/// # Safety
/// As [`sized_record::read`].
///
/// # Errors
/// Rejects NULL, an invalid structure, and a stream without `read`.
pub(crate) unsafe fn reader(stream: *const StreamRecord) -> Result<CallbackReader> {
    if stream.is_null() {
        return Err(invalid("stream", "a pointer to a structure, not NULL"));
    }
    // SAFETY: guaranteed by the caller.
    let record = unsafe { sized_record::read(stream) }?;
    CallbackReader::new(record.read, record.read_user, (record.length != 0).then_some(record.length))
}
