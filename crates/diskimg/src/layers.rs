//! The layers of a disk: the image, its backing files and parents.

use std::sync::{Arc, Mutex, PoisonError};

use diskimg_codec::Wrapper;
use diskimg_core::{
    BlockSource, Driver, Error, ErrorKind, Image, ImageInfo, OpenOptions, Reference, Remedy, Resolver,
    Result, SnapshotSelector,
};

use crate::disk::Disk;
use crate::drivers::driver;
use crate::opener::Opener;
use crate::resolve::{chain_loops, relative_to, same_file};
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
        let top = self.layer(driver, Arc::clone(source), b"", self.snapshot.clone(), &opened)?;
        let below = self.layers_below(source, &top, &opened)?;
        let disk = Disk::new(Arc::clone(source), opened.into_inner(), top, below, wrapper, member)?;
        self.accept(driver.format, &disk.findings())?;
        Ok(disk)
    }

    /// Opens one layer. `reached_by` is the name by which its file was found.
    fn layer(
        &self,
        driver: &Driver,
        source: Arc<dyn BlockSource>,
        reached_by: &[u8],
        snapshot: Option<SnapshotSelector>,
        opened: &OpenedFiles,
    ) -> Result<Arc<dyn Image>> {
        let resolver = RelativeResolver { resolver: &*self.resolver, referrer: reached_by, opened };
        let options = OpenOptions { limits: self.limits.clone(), resolver: &resolver, snapshot };
        let layer = (driver.open)(source, &options)?;
        layer.info().check_whole(self.allow_part)?;
        Ok(layer)
    }

    /// Opens the layers below `top`, each named by the one above it.
    fn layers_below(
        &self,
        source: &Arc<dyn BlockSource>,
        top: &Arc<dyn Image>,
        opened: &OpenedFiles,
    ) -> Result<Vec<Arc<dyn Image>>> {
        let mut files = vec![Arc::clone(source)];
        let mut layers: Vec<Arc<dyn Image>> = Vec::new();
        let mut referrer = Vec::new();
        while let Some(mut reference) = reference_below(layers.last().unwrap_or(top)) {
            if layers.len() as u64 >= u64::from(self.limits.chain_depth) {
                return Err(too_deep(&reference, self.limits.chain_depth));
            }
            reference.name = relative_to(&referrer, &reference.name);
            let file = match self.parents.get(layers.len()) {
                Some(given) => Arc::clone(given),
                None => self.resolver.resolve(&reference)?,
            };
            if files.iter().any(|seen| same_file(seen, &file)) {
                return Err(chain_loops(&reference));
            }
            opened.add(&file);
            let driver = declared_driver(&reference)?;
            let layer = self.layer(driver, Arc::clone(&file), &reference.name, None, opened)?;
            let accepted = reference.identity.accepts(&layer.info().identity);
            accepted.map_err(|e| e.format(reference.found_in))?;
            layers.push(layer);
            files.push(file);
            referrer = reference.name;
        }
        self.check_parents_used(layers.len(), top.info())?;
        Ok(layers)
    }

    /// Checks that no more parents were given than the image has `layers` below it. Ignoring one would read a
    /// different disk from the one requested.
    pub(crate) fn check_parents_used(&self, layers: usize, top: &ImageInfo) -> Result<()> {
        if self.parents.len() <= layers {
            return Ok(());
        }
        let error = Error::new(ErrorKind::InvalidInput).format(top.format).field("parent");
        Err(match layers {
            0 => error.because("the image records no backing file or parent"),
            _ => error
                .found(format_args!("{} files", self.parents.len()))
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

fn reference_below(image: &Arc<dyn Image>) -> Option<Reference> {
    image.info().references.iter().find(|reference| reference.role.is_below()).cloned()
}

/// The driver of the format that the image records for its backing file. Probing the file would let anyone who
/// writes into a raw base choose its format (CVE-2015-1850 and related).
fn declared_driver(reference: &Reference) -> Result<&'static Driver> {
    match &reference.format {
        Some(name) => driver(name).map_err(|e| e.format(reference.found_in).field("backing format")),
        None => Err(reference
            .denied()
            .because("the image does not say its format, and a backing file is never probed")
            .with_remedy(Remedy::RecordBackingFormat)),
    }
}

fn too_deep(reference: &Reference, depth: u32) -> Error {
    Error::new(ErrorKind::Limit)
        .format(reference.found_in)
        .field("chain of backing files")
        .expected(format_args!("at most {depth} files below the image"))
}
