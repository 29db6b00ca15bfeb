//! A panic inside the library returns a status and poisons the handle in use.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use diskimg::{BlockSource, Opener, Result};

use crate::convert::diskimg_convert;
use crate::create::diskimg_create;
use crate::error::{ErrorReport, diskimg_error_free, diskimg_error_message, diskimg_error_status};
use crate::image::{ImageHandle, diskimg_close};
use crate::read::diskimg_pread;
use crate::status::{DISKIMG_ERR_INTERNAL, DISKIMG_OK};
use crate::target_record::TargetRecord;

/// A disk of zeros that panics after its first 64 KiB, except in its last sector, which format detection
/// reads.
struct Panicking;

impl BlockSource for Panicking {
    fn size(&self) -> u64 {
        8 << 20
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        assert!(offset < 65_536 || offset == self.size() - 512, "a bug at byte {offset}");
        buf.fill(0);
        Ok(())
    }
}

fn image() -> *mut ImageHandle {
    let mut opener = Opener::new();
    opener.format = Some(diskimg::driver("raw").unwrap().format);
    let disk = opener.open_source(Arc::new(Panicking)).unwrap();
    Box::into_raw(Box::new(ImageHandle::new(disk, opener, CString::default())))
}

/// Returns the target at a path.
fn target_at(path: *const c_char) -> TargetRecord {
    let (struct_size, io, write_user) = (size_of::<TargetRecord>(), null(), null_mut());
    TargetRecord { struct_size, path, fd: -1, reserved: 0, io, write: None, write_user }
}

/// Returns the message of an error and frees the error.
unsafe fn message(error: *mut ErrorReport) -> String {
    // SAFETY: the tests pass an error that a call has just returned.
    unsafe {
        assert_eq!(diskimg_error_status(error), DISKIMG_ERR_INTERNAL);
        let message = CStr::from_ptr(diskimg_error_message(error)).to_str().unwrap().to_owned();
        diskimg_error_free(error);
        message
    }
}

#[test]
fn panic_returns_a_status_and_poisons_the_handle() {
    let (image, mut error, mut buf) = (image(), null_mut(), [1_u8; 16]);
    // SAFETY: handle, error and buffer are valid.
    unsafe {
        let buf_ptr = buf.as_mut_ptr().cast();
        assert_eq!(diskimg_pread(image, buf_ptr, 16, 0, null_mut(), &raw mut error), DISKIMG_OK);
        assert_eq!(
            diskimg_pread(image, buf_ptr, 16, 70_000, null_mut(), &raw mut error),
            DISKIMG_ERR_INTERNAL
        );
        assert!(message(error).contains("a bug at byte 70000"));
        assert_eq!(diskimg_pread(image, buf_ptr, 16, 0, null_mut(), &raw mut error), DISKIMG_ERR_INTERNAL);
        assert!(message(error).contains("an earlier call"));
        diskimg_close(image);
    }
}

#[test]
fn panic_of_a_worker_returns_a_status_and_leaves_no_target() {
    let (image, mut error) = (image(), null_mut());
    let scratch = tempfile::tempdir().unwrap();
    let path = CString::new(scratch.path().join("target").to_str().unwrap()).unwrap();
    // SAFETY: handle, path and error are valid, everything else is NULL.
    unsafe {
        let target = target_at(path.as_ptr());
        let status = diskimg_convert(image, &raw const target, null(), null_mut(), &raw mut error);
        assert_eq!(status, DISKIMG_ERR_INTERNAL);
        message(error);
        diskimg_close(image);
    }
    assert!(!scratch.path().join("target").exists());
}

#[test]
fn handle_is_null_after_a_failure() {
    let mut writer = std::ptr::dangling_mut();
    // SAFETY: the target is NULL, and there is room for the handle.
    let status = unsafe { diskimg_create(null(), 1, null(), &raw mut writer, null_mut()) };
    assert_ne!(status, DISKIMG_OK);
    assert!(writer.is_null());
}
