//! The handle of an open image.

use std::ffi::CString;

use diskimg::{BlockSource, Disk, Finding, Inspection, Opener, Result};

use crate::argument::invalid;
use crate::handle::{Handle, Poison, free};
use crate::info_record::InfoTexts;
use crate::list_records::ListRecords;

/// An open image: its disk and its description. Functions that take it as `const` may run concurrently on
/// any threads. It may be opened on one thread and closed on another.
pub struct ImageHandle {
    disk: Option<Disk>,
    inspection: Inspection,
    opener: Opener,
    filename: CString,
    texts: InfoTexts,
    lists: ListRecords,
    poison: Poison,
}

impl ImageHandle {
    /// An image that can be read.
    pub(crate) fn new(disk: Disk, opener: Opener, filename: CString) -> Self {
        let mut inspection = disk.inspection();
        inspection.info.findings = disk.findings();
        Self::of(inspection, Some(disk), opener, filename)
    }

    /// An image whose description was read, and nothing else.
    pub(crate) fn inspected(inspection: Inspection, opener: Opener, filename: CString) -> Self {
        Self::of(inspection, None, opener, filename)
    }

    fn of(inspection: Inspection, disk: Option<Disk>, mut opener: Opener, filename: CString) -> Self {
        // The flag is for the call that opens the image.
        opener.cancel = None;
        let (texts, lists) = (InfoTexts::of(&inspection.info), ListRecords::of(&inspection.info));
        Self { disk, inspection, opener, filename, texts, lists, poison: Poison::default() }
    }

    /// The disk.
    ///
    /// # Errors
    /// Rejects an image opened with `DISKIMG_OPEN_INFO_ONLY`.
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

    /// The findings of all layers that were opened.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.inspection.info.findings
    }

    pub(crate) fn opener(&self) -> &Opener {
        &self.opener
    }

    pub(crate) fn filename(&self) -> &CString {
        &self.filename
    }

    pub(crate) fn texts(&self) -> &InfoTexts {
        &self.texts
    }

    pub(crate) fn lists(&self) -> &ListRecords {
        &self.lists
    }
}

impl Handle for ImageHandle {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// Closes an image and all files that were opened for it. No other call may be using the image. NULL is
/// ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_close(image: *mut ImageHandle) {
    // SAFETY: the handle came from `NewHandle`, and the header allows one close.
    unsafe { free(image) }
}
