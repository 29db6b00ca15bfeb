//! The layers below an image: backing files and parents.

use std::sync::Arc;

use diskimg_core::{BlockSource, Driver, Error, ErrorKind, Image, ImageInfo, Reference, Remedy, Result};

use crate::drivers::driver;
use crate::open::{Opened, Opener};
use crate::resolve::{chain_loops, relative_to, same_file};

impl Opener {
    /// The layers below `top`, each named by the one above it.
    pub(crate) fn below(
        &self,
        source: &Arc<dyn BlockSource>,
        top: &Arc<dyn Image>,
        opened: &Opened,
    ) -> Result<Vec<Arc<dyn Image>>> {
        let mut files = vec![Arc::clone(source)];
        let mut layers: Vec<Arc<dyn Image>> = Vec::new();
        let mut referrer = Vec::new();
        while let Some(mut reference) = below_of(layers.last().unwrap_or(top)) {
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
            layers.push(self.checked_layer(&reference, Arc::clone(&file), opened)?);
            files.push(file);
            referrer = reference.name;
        }
        self.all_parents_used(layers.len(), top.info())?;
        Ok(layers)
    }

    /// Checks that the caller gave no more files below an image than it has `layers` there. A disk read without
    /// the parent that somebody meant it to have would be another disk.
    pub(crate) fn all_parents_used(&self, layers: usize, top: &ImageInfo) -> Result<()> {
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

    /// Opens what `reference` stands for, and makes sure that it is what was meant.
    fn checked_layer(
        &self,
        reference: &Reference,
        file: Arc<dyn BlockSource>,
        opened: &Opened,
    ) -> Result<Arc<dyn Image>> {
        let layer = self.layer(declared_driver(reference)?, file, &reference.name, None, opened)?;
        reference.identity.accepts(&layer.info().identity).map_err(|e| e.format(reference.found_in))?;
        Ok(layer)
    }
}

fn below_of(image: &Arc<dyn Image>) -> Option<Reference> {
    image.info().references.iter().find(|reference| reference.role.is_below()).cloned()
}

/// A backing file is opened as what the image says it is. Probing it would let whoever writes into a raw
/// base choose its format (CVE-2015-1850 and its kin).
fn declared_driver(reference: &Reference) -> Result<&'static Driver> {
    match &reference.format {
        Some(name) => driver(name).map_err(|e| e.format(reference.found_in).field("backing format")),
        None => Err(reference
            .denied()
            .because("the image does not say its format, and it is never guessed")
            .with_remedy(Remedy::RecordBackingFormat)),
    }
}

fn too_deep(reference: &Reference, depth: u32) -> Error {
    Error::new(ErrorKind::Limit)
        .format(reference.found_in)
        .field("chain of backing files")
        .expected(format_args!("at most {depth} files below the image"))
}
