//! Describing the files below an image.

use diskimg_core::{ImageInfo, Result};

use crate::below::FilesBelow;
use crate::inspection::{FileSizes, Inspection};
use crate::opener::{Opener, describe};

/// The description of a file below an image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InspectionBelow {
    /// The name of the file, for display: the path that was opened, or the name in the image above. Not escaped.
    pub name: String,
    /// The description.
    pub inspection: Inspection,
}

impl Opener {
    /// Describes the files below the image that `top` describes, from top to bottom: those in [`Opener::parents`], then
    /// those that the resolver finds, unless `top` is a disk in an archive. Reads only their headers. Opens no data files and no extents.
    ///
    /// ```no_run
    /// use diskimg::{Opener, WithinDirectory};
    /// use std::sync::Arc;
    /// let mut opener = Opener::new();
    /// opener.resolver = Arc::new(WithinDirectory::of_image("top.qcow2".as_ref())?);
    /// let top = opener.inspect("top.qcow2")?;
    /// for below in opener.inspect_below(&top)? {
    ///     println!("{:?}: {}", below.name, below.inspection.info.format);
    /// }
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) for a file that the resolver refuses, or with another identity than the image
    /// above records; [`InvalidInput`](crate::ErrorKind::InvalidInput) for more parents than there are layers; defects
    /// of the headers.
    pub fn inspect_below(&self, top: &Inspection) -> Result<Vec<InspectionBelow>> {
        match top.archive {
            Some(_) => self.inside_archive().describe_below(&top.info),
            None => self.describe_below(&top.info),
        }
    }

    /// Describes the files below an image of this opener.
    pub(crate) fn describe_below(&self, top: &ImageInfo) -> Result<Vec<InspectionBelow>> {
        let mut below = FilesBelow::new(self, None);
        let mut layers = Vec::<InspectionBelow>::new();
        loop {
            let above = below.place().clone();
            let info = layers.last().map_or(top, |layer| &layer.inspection.info);
            let Some(file) = below.next(info)? else { break };
            let info =
                describe(file.driver, &file.source, &self.limits).map_err(|error| file.place.name(error));
            let mut info = info?;
            info.findings.extend(file.check_identity(self, &above, &info)?);
            let name = file.place.shown.unwrap_or_default();
            let mut inspection = Inspection::new(info, None, FileSizes::of(&file.source));
            inspection.in_use = self.locking.of_source(&*file.source, &name)?;
            layers.push(InspectionBelow { name, inspection });
        }
        self.check_parents_used(layers.len(), top)?;
        Ok(layers)
    }
}
