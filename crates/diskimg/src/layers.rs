//! The layers of a disk: the image, its backing files and parents.

use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{
    BlockSource, Driver, Error, ErrorKind, Finding, Image, ImageInfo, OpenOptions, Result, SnapshotSelector,
};

use crate::archive::ArchiveMember;
use crate::below::{FilesBelow, Place};
use crate::disk::{Disk, NamedLayer};
use crate::opened_files::{OpenedFiles, RelativeResolver};
use crate::opener::Opener;
use crate::sniff::FileEnds;

impl Opener {
    /// Opens an image that is decompressed and extracted already, with all layers below it.
    pub(crate) fn open_image(
        &self,
        source: &Arc<dyn BlockSource>,
        wrapper: Option<Wrapper>,
        archive: Option<ArchiveMember>,
    ) -> Result<Disk> {
        let driver = self.driver_for(FileEnds::of(source)?.as_parts())?;
        let opened = OpenedFiles::new(self.locking);
        let mut below = FilesBelow::new(self, Some(source));
        let top = self.layer(driver, Arc::clone(source), below.place(), self.snapshot.clone(), &opened)?;
        let (layers, findings) = self.layers_below(&top, &mut below, &opened)?;
        let mut disk = Disk::new(Arc::clone(source), opened, top, layers, wrapper, archive)?;
        disk.add_findings(findings);
        self.accept(driver.format, &disk.findings())?;
        Ok(disk)
    }

    /// Opens one layer.
    fn layer(
        &self,
        driver: &Driver,
        source: Arc<dyn BlockSource>,
        place: &Place,
        snapshot: Option<SnapshotSelector>,
        opened: &OpenedFiles,
    ) -> Result<Arc<dyn Image>> {
        let resolver = RelativeResolver { resolver: &*place.resolver, referrer: &place.reached_by, opened };
        let limits = self.limits.clone();
        let caches = opened.caches.clone();
        let options = OpenOptions { limits, resolver: &resolver, snapshot, caches, ..OpenOptions::default() };
        let layer = (driver.open)(source, &options).map_err(|error| place.name(error))?;
        layer.info().check_whole(self.allow_part).map_err(|error| place.name(error))?;
        Ok(layer)
    }

    /// Opens the layers below `top`, each named by the one above it.
    fn layers_below(
        &self,
        top: &Arc<dyn Image>,
        below: &mut FilesBelow<'_>,
        opened: &OpenedFiles,
    ) -> Result<(Vec<NamedLayer>, Vec<Finding>)> {
        let (mut layers, mut findings) = (Vec::<NamedLayer>::new(), Vec::new());
        loop {
            let above = below.place().clone();
            let image = layers.last().map_or(top, |layer| &layer.image);
            let above_format = image.info().format;
            let Some(file) = below.next(image.info())? else { break };
            match self.parents.get(layers.len()) {
                // The locks of a file that the caller opened are the caller's.
                Some(given) if !given.is_path => opened.add_given(&file.source),
                _ => opened.add(
                    &file.source,
                    file.place.shown.as_deref().unwrap_or_default().as_bytes(),
                    above_format,
                )?,
            }
            let image = self.layer(file.driver, Arc::clone(&file.source), &file.place, None, opened)?;
            findings.extend(file.check_identity(self, &above, image.info())?);
            layers.push(NamedLayer { image, name: file.place.shown });
        }
        self.check_parents_used(layers.len(), top.info())?;
        Ok((layers, findings))
    }

    /// Checks that no more parents, or formats of parents, were given than the image has `layers` below it. Ignoring
    /// one would read a different disk from the one requested.
    pub(crate) fn check_parents_used(&self, layers: usize, top: &ImageInfo) -> Result<()> {
        let (files, formats) = (self.parents.len(), self.parent_formats.len());
        let (field, given) = match files > layers {
            true => ("parent", format!("{files} files")),
            false if formats > layers => ("format of the parent", format!("{formats} formats")),
            false => return Ok(()),
        };
        let error = Error::new(ErrorKind::InvalidInput).format(top.format).field(field);
        Err(match layers {
            0 => error.because("the image records no backing file or parent"),
            _ => error
                .found(given)
                .expected(format_args!("at most {layers}, as many as the chain has below the image")),
        })
    }
}
