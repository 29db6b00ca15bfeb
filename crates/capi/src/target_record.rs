//! The place that a disk is written to, for C.

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::mem::offset_of;
use std::path::PathBuf;

use diskimg::Result;

use crate::argument::{check_reserved, invalid};
use crate::callback_stream::{CallbackWriter, WriteFn};
use crate::io::{Callbacks, IoRecord};
use crate::open_record::duplicate;
use crate::sized_record::{self, SizedRecord};
use crate::strings;

/// The place that a disk is written to: exactly one of `path`, `fd`, `io` and `write` is set. Initialise it
/// with DISKIMG_TARGET_INIT, which sets none of them. The library does not use the structure after the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TargetRecord {
    /// sizeof(diskimg_target).
    pub struct_size: usize,
    /// A file or block device. A new file appears only when it is complete and durable; after a failure there is none. A
    /// block device is written in place.
    pub path: *const c_char,
    /// A file or block device that is open for reading and writing, or a pipe or socket that is open for writing; -1 for
    /// none. A file is truncated to length 0 first, unless DISKIMG_CONVERT_IN_PLACE or DISKIMG_CONVERT_TARGET_IS_ZERO is
    /// set. A pipe or socket receives the same bytes as `write`. The caller keeps ownership of the descriptor. After a
    /// failure the file contains the data written so far.
    pub fd: c_int,
    /// Must be 0.
    pub reserved: u32,
    /// A file that callbacks provide. The structure is copied. Its `pwrite` is required. For an image format the file must
    /// be empty. Its `close` is called exactly once, also if the call fails: before diskimg_convert() and
    /// diskimg_convert_stream() return, and for diskimg_create() when the writer is finished or freed.
    pub io: *const IoRecord,
    /// Receives the bytes of the target from the first to the last. The format is raw or a streamOptimized VMDK; any other
    /// is DISKIMG_ERR_NEEDS_SEEK.
    pub write: WriteFn,
    /// Passed to `write`.
    pub write_user: *mut c_void,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl SizedRecord for TargetRecord {}

/// The place that a disk is written to.
pub(crate) enum Destination {
    Path(PathBuf),
    File(File),
    Callbacks(Callbacks),
    Stream(CallbackWriter),
}

impl Destination {
    /// Reads the target at `target`. If it has callbacks, they are closed also if this fails.
    ///
    /// # Safety
    /// As [`sized_record::read`], and its members are valid as the header documents.
    ///
    /// # Errors
    /// Rejects NULL, an invalid structure, and a target that is not exactly one place.
    pub(crate) unsafe fn read(target: *const TargetRecord) -> Result<Self> {
        if target.is_null() {
            return Err(invalid("target", "a pointer to a structure, not NULL"));
        }
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut record = sized_record::read(target)?;
            if record.struct_size < offset_of!(TargetRecord, reserved) {
                record.fd = -1;
            }
            let callbacks = if record.io.is_null() { None } else { Some(Callbacks::read(record.io)?) };
            check_reserved(record.reserved)?;
            check_one_place(&record)?;
            match (callbacks, record.write) {
                (Some(callbacks), _) => Ok(Self::Callbacks(callbacks)),
                (None, Some(_)) => CallbackWriter::new(record.write, record.write_user).map(Self::Stream),
                (None, None) if !record.path.is_null() => strings::path(record.path).map(Self::Path),
                (None, None) => duplicate(record.fd, "fd").map(Self::File),
            }
        }
    }
}

fn check_one_place(record: &TargetRecord) -> Result<()> {
    let places = [
        ("path", !record.path.is_null()),
        ("fd", record.fd != -1),
        ("io", !record.io.is_null()),
        ("write", record.write.is_some()),
    ];
    let set: Vec<_> = places.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect();
    match set.as_slice() {
        [_] => Ok(()),
        [] => Err(invalid("target", "one of path, fd, io and write").found("empty")),
        several => Err(invalid("target", "only one of path, fd, io and write")
            .found(several.join(" and "))
            .because("DISKIMG_TARGET_INIT sets fd to -1")),
    }
}
