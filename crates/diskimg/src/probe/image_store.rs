//! The bytes of a streamed image, stored to compare its tables with its length.

use std::sync::Arc;

use diskimg_core::{BlockSource, Error, ErrorKind, Finding, ImageInfo, Memory, Result};

use crate::opener::Opener;
use crate::sniff::{FileParts, HEAD};
use crate::spool::ImageSpool;

/// The bytes of an image whose format has tables; of other images only the head.
pub(super) struct ImageStore {
    opener: Opener,
    stage: StoreStage,
    /// True if the image has ended. The stream around it may continue.
    ended: bool,
}

enum StoreStage {
    /// The bytes so far, at most the head.
    Head(Vec<u8>),
    /// A format with tables.
    File(Box<ImageSpool>),
    /// A format without tables, or unrecognised bytes.
    NotNeeded,
    /// An image that must not be stored.
    Refused(Error),
}

impl ImageStore {
    pub(super) fn new(opener: &Opener) -> Self {
        Self { opener: opener.clone(), stage: StoreStage::Head(Vec::new()), ended: false }
    }

    /// Adds the next bytes of the image.
    ///
    /// # Errors
    /// Those of the temporary file. One that is not allowed, or too small, becomes a finding.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let pushed = match &mut self.stage {
            StoreStage::Head(head) => {
                head.extend_from_slice(bytes);
                if head.len() < HEAD {
                    return Ok(());
                }
                let head = std::mem::take(head);
                self.leave_head(&head)
            }
            StoreStage::File(spool) => spool.push(bytes),
            StoreStage::NotNeeded | StoreStage::Refused(_) => Ok(()),
        };
        match pushed {
            Err(error) if matches!(error.kind(), ErrorKind::NeedsSeek | ErrorKind::Limit) => {
                self.stage = StoreStage::Refused(error);
                Ok(())
            }
            other => other,
        }
    }

    /// Stores the head if the format has tables.
    fn leave_head(&mut self, head: &[u8]) -> Result<()> {
        self.stage = StoreStage::NotNeeded;
        let driver = self.opener.driver_for(FileParts::of_head(head, None));
        if driver.is_ok_and(|driver| driver.survey.is_some()) {
            let mut spool = ImageSpool::new(&self.opener.spool, self.opener.limits.virtual_size)?;
            spool.push(head)?;
            self.stage = StoreStage::File(Box::new(spool));
        }
        Ok(())
    }

    /// Marks the image as complete.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Returns true if the rest of the image has to be stored, although its description is complete.
    pub(super) fn awaits_end(&self) -> bool {
        matches!(self.stage, StoreStage::File(_)) && !self.ended
    }

    /// Returns the description of the image from all of its bytes. `streamed` is the description without its tables.
    pub(super) fn describe(self, streamed: Result<ImageInfo>) -> Result<ImageInfo> {
        let mut info = streamed?;
        let file: Arc<dyn BlockSource> = match self.stage {
            StoreStage::Head(head) => Arc::new(Memory::new(head)),
            StoreStage::File(spool) => Arc::new(spool.finish()?),
            StoreStage::NotNeeded => return Ok(info),
            StoreStage::Refused(reason) => {
                let message = format!("the tables were not compared with the length of the stream: {reason}");
                info.findings.push(Finding::note("tables_not_compared", message));
                return Ok(info);
            }
        };
        self.opener.inspect_image(&file)
    }
}
