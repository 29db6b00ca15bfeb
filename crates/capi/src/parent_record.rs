//! A file below an image that the caller chooses, for C.

use std::ffi::c_char;
use std::path::PathBuf;

use diskimg::{Format, Result};

use crate::argument::{check_reserved, invalid};
use crate::format::{FormatNumber, driver_of};
use crate::sized_record::{self, SizedRecord};
use crate::strings;

/// A file below an image, in place of the name that the image records.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParentRecord {
    /// sizeof(diskimg_parent).
    pub struct_size: usize,
    /// The path of the file or block device.
    pub path: *const c_char,
    /// The format of the file; DISKIMG_FORMAT_AUTO for the one that the image above it records.
    pub format: FormatNumber,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl SizedRecord for ParentRecord {}

/// The path of a parent, and its format if the caller states it.
pub(crate) type ParentPath = (PathBuf, Option<Format>);

/// Reads `count` structures at `parents`. Each is as long as the first.
///
/// # Safety
/// NULL, or `count` structures as for [`sized_record::read`], whose paths are strings.
///
/// # Errors
/// Rejects NULL with a count, and invalid structures.
pub(crate) unsafe fn read_all(parents: *const ParentRecord, count: usize) -> Result<Vec<ParentPath>> {
    let mut paths = Vec::new();
    let mut next = parents.cast::<u8>();
    for index in 0..count {
        if parents.is_null() {
            return Err(invalid("parents", "a pointer to parent_count structures, not NULL"));
        }
        // SAFETY: guaranteed by the caller.
        unsafe {
            let record = sized_record::read(next.cast::<ParentRecord>())?;
            check_reserved(record.reserved)?;
            let path =
                strings::path(record.path).map_err(|error| error.field(format!("parents[{index}].path")))?;
            paths.push((path, driver_of(record.format)?.map(|driver| driver.format)));
            next = next.add((*parents).struct_size);
        }
    }
    Ok(paths)
}
