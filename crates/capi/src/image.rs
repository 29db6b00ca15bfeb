//! The handle of an opened image.

use std::ffi::CString;

use diskimg::{BlockSource, Disk, Inspection, Opener, Result};

use crate::guard::{Handle, Poison, invalid};
use crate::info::Texts;
use crate::lists::Lists;

/// An opened image: its disk, and what it claims. Functions that take it as `const` may run at once on any
/// threads; it may be opened on one thread and closed on another.
pub struct Image {
    disk: Option<Disk>,
    inspection: Inspection,
    opener: Opener,
    filename: CString,
    texts: Texts,
    lists: Lists,
    poison: Poison,
}

impl Image {
    /// An image that can be read.
    pub(crate) fn new(disk: Disk, opener: Opener, filename: CString) -> Self {
        Self::of(disk.inspection(), Some(disk), opener, filename)
    }

    /// An image that was only looked at.
    pub(crate) fn inspected(inspection: Inspection, opener: Opener, filename: CString) -> Self {
        Self::of(inspection, None, opener, filename)
    }

    fn of(inspection: Inspection, disk: Option<Disk>, opener: Opener, filename: CString) -> Self {
        let (texts, lists) = (Texts::of(&inspection.info), Lists::of(&inspection.info));
        Self { disk, inspection, opener, filename, texts, lists, poison: Poison::default() }
    }

    /// # Errors
    /// An image opened with `DISKIMG_OPEN_INFO_ONLY`.
    pub(crate) fn disk(&self) -> Result<&Disk> {
        self.disk.as_ref().ok_or_else(|| {
            invalid("handle", "an image that can be read")
                .because("it was opened with DISKIMG_OPEN_INFO_ONLY")
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.disk.as_ref().map_or(self.inspection.info.virtual_size, BlockSource::size)
    }

    pub(crate) fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    pub(crate) fn opener(&self) -> &Opener {
        &self.opener
    }

    pub(crate) fn filename(&self) -> &CString {
        &self.filename
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }
}

impl Handle for Image {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// Closes an image, and all files that were opened for it. No other call may be using it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_close(image: *mut Image) {
    if !image.is_null() {
        // SAFETY: `call` gets no room for an error; the handle came out of Box::into_raw, and the header asks to
        // close it once. A panic while dropping ends here.
        unsafe {
            crate::guard::call(std::ptr::null_mut(), || {
                drop(Box::from_raw(image));
                Ok(())
            });
        }
    }
}
