//! Reading the disk, and asking where its bytes lie.

use std::ffi::c_void;

use diskimg::{BlockSource, Extent, ExtentKind, Extents, Result, check_range};

use crate::error::ErrorReport;
use crate::guard::{Out, invalid, with};
use crate::image::Image;
use crate::status::Status;

/// Stored bytes.
pub const DISKIMG_EXTENT_DATA: u32 = 1;
/// Reads as zeros.
pub const DISKIMG_EXTENT_ZERO: u32 = 2;
/// The image, or a layer below it, says what is there. Without it nothing does, and zeros are read.
pub const DISKIMG_EXTENT_ALLOCATED: u32 = 4;
/// Stored compressed: reading has to decode.
pub const DISKIMG_EXTENT_COMPRESSED: u32 = 8;
/// The bytes lie verbatim at `file_offset` of the file of their layer.
pub const DISKIMG_EXTENT_HAS_OFFSET: u32 = 16;

/// A run of the guest's bytes of one kind. All members are bytes, but for flags and depth.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ExtentRecord {
    /// Guest offset of the first byte.
    pub start: u64,
    /// Bytes in the run; at least one.
    pub length: u64,
    /// With DISKIMG_EXTENT_HAS_OFFSET: where they lie in the file.
    pub file_offset: u64,
    /// Bits of DISKIMG_EXTENT_*.
    pub flags: u32,
    /// Layers above the one that answered; 0 is the image itself.
    pub depth: u32,
}

/// Reads up to `len` bytes at `offset` of the disk into `buf`: fewer only at the end of the disk, none at it and
/// behind. Stores in `*nread` how many; where nobody wants to know (NULL), a range that ends behind the disk is
/// DISKIMG_ERR_OUT_OF_BOUNDS. After a failure `buf` holds nothing to rely on.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_pread(
    image: *const Image,
    buf: *mut c_void,
    len: usize,
    offset: u64,
    nread: *mut usize,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need, and for room of `len` bytes.
    unsafe {
        let nread = Out::optional(nread, 0);
        with(image, err, |image| {
            let disk = image.disk()?;
            let len = match nread {
                None => len,
                Some(_) => usize::try_from(disk.size().saturating_sub(offset)).unwrap_or(usize::MAX).min(len),
            };
            if len > 0 {
                disk.read_at(offset, room(buf, len)?)?;
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

/// # Safety
/// `buf` is NULL or has room for `len` bytes, which nobody else uses meanwhile. They may hold anything: sources
/// write them and do not read them.
unsafe fn room<'a>(buf: *mut c_void, len: usize) -> Result<&'a mut [u8]> {
    if buf.is_null() {
        return Err(invalid("buf", "room for the bytes, and not NULL"));
    }
    if isize::try_from(len).is_err() {
        return Err(invalid("len", "a length in memory").found(len));
    }
    // SAFETY: not null, of a length that memory can have, and the caller promises the rest.
    Ok(unsafe { std::slice::from_raw_parts_mut(buf.cast(), len) })
}

/// Fills `out` with the runs of `len` bytes at `offset`, in ascending order and without gaps, as long as there is
/// room for `cap` of them, at least one, and stores in `*count` how many. Go on where the last one ended. Reads tables
/// only as far as it gets. DISKIMG_ERR_OUT_OF_BOUNDS for a range that ends behind the disk.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_extents(
    image: *const Image,
    offset: u64,
    len: u64,
    out: *mut ExtentRecord,
    cap: usize,
    count: *mut usize,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with` and each of these need, and for room of `cap` records.
    unsafe {
        let count = Out::new(count, "count", 0);
        with(image, err, |image| {
            let count = count?;
            let disk = image.disk()?;
            check_range(offset, len, disk.size())?;
            if out.is_null() || cap == 0 {
                return Err(invalid("out", "room for one extent at least"));
            }
            let mut filled = 0;
            for extent in Extents::new(disk, offset..offset.saturating_add(len)).take(cap) {
                // SAFETY: `take` keeps below `cap`.
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
