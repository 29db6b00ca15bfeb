//! The layers of a disk: the image, its backing files and parents.

use std::sync::{Arc, Mutex, PoisonError};

use diskimg_codec::Wrapper;
use diskimg_core::{
    BlockSource, Driver, Error, ErrorKind, Finding, Image, ImageInfo, OpenOptions, Reference, Resolver,
    Result, SnapshotSelector,
};

use crate::below::{FilesBelow, Place};
use crate::disk::{Disk, NamedLayer};
use crate::opener::Opener;
use crate::resolve::relative_to;
use crate::sniff::FileEnds;

impl Opener {
    /// Opens an image that is decompressed and extracted already, with all layers below it.
    pub(crate) fn open_image(
        &self,
        source: &Arc<dyn BlockSource>,
        wrapper: Option<Wrapper>,
        member: Option<String>,
    ) -> Result<Disk> {
        let driver = self.driver_for(FileEnds::of(source)?.as_parts())?;
        let opened = OpenedFiles::default();
        let mut below = FilesBelow::new(self, Some(source));
        let top = self.layer(driver, Arc::clone(source), below.place(), self.snapshot.clone(), &opened)?;
        let (layers, findings) = self.layers_below(&top, &mut below, &opened)?;
        let mut disk = Disk::new(Arc::clone(source), opened.into_inner(), top, layers, wrapper, member)?;
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
        let options = OpenOptions { limits: self.limits.clone(), resolver: &resolver, snapshot };
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
            let Some(file) = below.next(image.info())? else { break };
            opened.add(&file.source);
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

/// The files that were opened in addition to the image itself.
#[derive(Default)]
struct OpenedFiles(Mutex<Vec<Arc<dyn BlockSource>>>);

impl OpenedFiles {
    fn add(&self, source: &Arc<dyn BlockSource>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(source));
    }

    fn into_inner(self) -> Vec<Arc<dyn BlockSource>> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves names relative to the directory of the image that records them.
struct RelativeResolver<'a> {
    resolver: &'a dyn Resolver,
    referrer: &'a [u8],
    opened: &'a OpenedFiles,
}

impl Resolver for RelativeResolver<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        let name = relative_to(self.referrer, &reference.name);
        let source = self.resolver.resolve(&Reference { name, ..reference.clone() })?;
        self.opened.add(&source);
        Ok(source)
    }
}
