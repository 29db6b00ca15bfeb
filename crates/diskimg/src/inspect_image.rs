//! Describing an image that is decompressed and extracted already.

use diskimg_core::{BlockSource, Driver, ImageInfo, Result};

use crate::opener::{Opener, describe};
use crate::sniff::FileEnds;

impl Opener {
    /// Describes the image in a source, and compares its tables with the length of the source.
    pub(crate) fn inspect_image(&self, source: &dyn BlockSource) -> Result<ImageInfo> {
        self.inspect_with_driver(self.driver_for(FileEnds::of(source)?.as_parts())?, source)
    }

    /// Describes an image as [`Opener::inspect_image`] does, with its driver.
    pub(crate) fn inspect_with_driver(&self, driver: &Driver, source: &dyn BlockSource) -> Result<ImageInfo> {
        let mut info = describe(driver, source, &self.limits)?;
        if let Some(survey) = driver.survey {
            let findings = survey(source, &info, &self.limits);
            info.findings.extend(findings);
        }
        Ok(info)
    }
}
