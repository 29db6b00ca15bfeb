//! A panic inside the library is a status, and poisons the handle it met.

use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use diskimg::{BlockSource, Opener, Result};

use crate::convert::diskimg_convert_to_path;
use crate::create::diskimg_create_path;
use crate::error::{ErrorReport, diskimg_error_free, diskimg_error_message, diskimg_error_status};
use crate::image::{Image, diskimg_close};
use crate::read::diskimg_pread;
use crate::status::{DISKIMG_ERR_INTERNAL, DISKIMG_OK};

/// A disk of zeros that panics behind its first 64 KiB, but for its last sector, which tells a format too.
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

fn image() -> *mut Image {
    let mut opener = Opener::new();
    opener.format = Some(diskimg::driver("raw").unwrap().format);
    let disk = opener.open_source(Arc::new(Panicking)).unwrap();
    Box::into_raw(Box::new(Image::new(disk, opener, CString::default())))
}

/// The message of an error, which is freed.
unsafe fn message(error: *mut ErrorReport) -> String {
    // SAFETY: the tests hand over what a call has just given.
    unsafe {
        assert_eq!(diskimg_error_status(error), DISKIMG_ERR_INTERNAL);
        let message = CStr::from_ptr(diskimg_error_message(error)).to_str().unwrap().to_owned();
        diskimg_error_free(error);
        message
    }
}

#[test]
fn x03_a_panic_is_a_status_and_later_calls_fail_the_same_way() {
    let (image, mut error, mut buf) = (image(), null_mut(), [1_u8; 16]);
    // SAFETY: handle, error and buffer are good.
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
fn x03_a_panic_of_a_worker_is_a_status_and_leaves_no_target() {
    let (image, mut error) = (image(), null_mut());
    let scratch = tempfile::tempdir().unwrap();
    let path = CString::new(scratch.path().join("target").to_str().unwrap()).unwrap();
    // SAFETY: handle, path and error are good, everything else is NULL.
    unsafe {
        let status = diskimg_convert_to_path(image, path.as_ptr(), null(), null_mut(), &raw mut error);
        assert_eq!(status, DISKIMG_ERR_INTERNAL);
        message(error);
        diskimg_close(image);
    }
    assert!(!scratch.path().join("target").exists());
}

#[test]
fn x03_a_handle_that_is_not_made_is_null() {
    let mut writer = std::ptr::dangling_mut();
    // SAFETY: the path is NULL, and there is room for the handle.
    let status = unsafe { diskimg_create_path(null(), 1, null(), &raw mut writer, null_mut()) };
    assert_ne!(status, DISKIMG_OK);
    assert!(writer.is_null());
}
