//! Reads of the disk and of its extents.

use std::ffi::c_void;

use diskimg::core::{check_range, range};
use diskimg::{BlockSource, Extent, ExtentKind, Extents};

use crate::argument::{buffer, invalid};
use crate::error::ErrorReport;
use crate::guard::with;
use crate::handle::Out;
use crate::image::ImageHandle;
use crate::status::StatusCode;

/// The bytes are stored.
pub const DISKIMG_EXTENT_DATA: u32 = 1;
/// The bytes read as zeros.
pub const DISKIMG_EXTENT_ZERO: u32 = 2;
/// The image or a layer below it allocates the range. Without it, no layer does, and the range reads as
/// zeros.
pub const DISKIMG_EXTENT_ALLOCATED: u32 = 4;
/// The bytes are stored compressed. Reading decompresses them.
pub const DISKIMG_EXTENT_COMPRESSED: u32 = 8;
/// The bytes are stored verbatim at `file_offset` in the file of their layer.
pub const DISKIMG_EXTENT_HAS_OFFSET: u32 = 16;

/// An extent: consecutive guest bytes of one kind. Offsets and lengths are in bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ExtentRecord {
    /// The guest offset of the first byte.
    pub start: u64,
    /// The length; at least 1.
    pub length: u64,
    /// The offset of the bytes in the file, with DISKIMG_EXTENT_HAS_OFFSET.
    pub file_offset: u64,
    /// Bits of DISKIMG_EXTENT_*.
    pub flags: u32,
    /// The depth of the layer that the bytes come from; 0 is the image itself.
    pub depth: u32,
}

/// Reads `len` bytes at `offset` of the disk into `buf` and stores the number of bytes read in `*nread`. It
/// is less than `len` only at the end of the disk, and 0 at or past the end. If `nread` is NULL, a range
/// that extends past the end is DISKIMG_ERR_OUT_OF_BOUNDS. After a failure the content of `buf` is
/// undefined.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_UNSUPPORTED, DISKIMG_ERR_CORRUPT,
/// DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_pread(
    image: *const ImageHandle,
    buf: *mut c_void,
    len: usize,
    offset: u64,
    nread: *mut usize,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it, and room for `len` bytes.
    unsafe {
        let nread = Out::optional(nread, 0);
        with(image, err, |image| {
            let disk = image.disk()?;
            let len = match nread {
                None => len,
                Some(_) => range::buffer_len(&(offset..disk.size())).min(len),
            };
            if len > 0 {
                disk.read_at(offset, buffer(buf, len, "buf")?)?;
            } else if nread.is_none() {
                check_range(offset, 0, disk.size())?;
            }
            if let Some(nread) = nread {
                nread.set(len);
            }
            Ok(())
        })
    }
}

/// Fills `out` with the extents of the `len` bytes at `offset`, in ascending order and without gaps, and
/// stores their number in `*count`. `cap` is the capacity of `out` in extents, at least 1. If the last
/// extent ends before the range does, call again from its end. Reads only the tables that it needs.
/// Returns DISKIMG_ERR_OUT_OF_BOUNDS if the range extends past the end of the disk.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_UNSUPPORTED, DISKIMG_ERR_CORRUPT,
/// DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_OUT_OF_BOUNDS, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_extents(
    image: *const ImageHandle,
    offset: u64,
    len: u64,
    out: *mut ExtentRecord,
    cap: usize,
    count: *mut usize,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with` and each call in it, and room for `cap` records.
    unsafe {
        let count = Out::new(count, "count", 0);
        with(image, err, |image| {
            let count = count?;
            let disk = image.disk()?;
            check_range(offset, len, disk.size())?;
            if out.is_null() || cap == 0 {
                return Err(invalid("out", "room for at least one extent"));
            }
            let mut filled = 0;
            for extent in Extents::new(disk, offset..offset.saturating_add(len)).take(cap) {
                // SAFETY: `take` keeps `filled` below `cap`.
                out.add(filled).write(extent_record(&extent?));
                filled = filled.saturating_add(1);
            }
            count.set(filled);
            Ok(())
        })
    }
}

fn extent_record(extent: &Extent<'_>) -> ExtentRecord {
    let flags = match extent.kind {
        ExtentKind::Data => DISKIMG_EXTENT_DATA | DISKIMG_EXTENT_ALLOCATED,
        ExtentKind::Encoded => DISKIMG_EXTENT_DATA | DISKIMG_EXTENT_ALLOCATED | DISKIMG_EXTENT_COMPRESSED,
        ExtentKind::Zero => DISKIMG_EXTENT_ZERO | DISKIMG_EXTENT_ALLOCATED,
        ExtentKind::Unallocated => DISKIMG_EXTENT_ZERO,
    };
    let (file_offset, has) =
        extent.location.host.map_or((0, 0), |host| (host.offset, DISKIMG_EXTENT_HAS_OFFSET));
    ExtentRecord {
        start: extent.offset,
        length: extent.len,
        file_offset,
        flags: flags | has,
        depth: extent.depth,
    }
}
