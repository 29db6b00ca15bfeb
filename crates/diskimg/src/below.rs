//! The walk down a chain: from each image to the file below it.

use std::sync::Arc;

use diskimg_core::{
    BlockSource, Driver, Error, ErrorKind, Fault, Finding, ImageInfo, LimitKind, Printable, Reference,
    Remedy, Resolver, Result,
};

use crate::drivers::Drivers;
use crate::opener::Opener;
use crate::resolve::{chain_loops, relative_to, same_file};

/// The check of a finding about a parent with another identity than the one that is recorded.
pub(crate) const PARENT_MISMATCH: &str = "parent_mismatch";

/// The files below an image, found one by one. A file that the caller gave replaces a name in an image.
pub(crate) struct FilesBelow<'a> {
    opener: &'a Opener,
    files: Vec<Arc<dyn BlockSource>>,
    /// The number of files found so far.
    depth: usize,
    place: Place,
}

/// The place of an image: its file, and how the names in it are resolved.
#[derive(Clone)]
pub(crate) struct Place {
    /// The name of the file, for messages and descriptions; `None` for the image itself.
    pub(crate) shown: Option<String>,
    pub(crate) resolver: Arc<dyn Resolver>,
    /// The name by which the resolver knows the file. Names in the image are relative to its directory.
    pub(crate) reached_by: Vec<u8>,
}

/// A file below an image.
pub(crate) struct FileBelow {
    pub(crate) source: Arc<dyn BlockSource>,
    pub(crate) driver: &'static Driver,
    /// The reference that led to it.
    pub(crate) reference: Reference,
    pub(crate) place: Place,
}

impl<'a> FilesBelow<'a> {
    /// Starts at an image, in the file `top` if it is known.
    pub(crate) fn new(opener: &'a Opener, top: Option<&Arc<dyn BlockSource>>) -> Self {
        let place = Place { shown: None, resolver: Arc::clone(&opener.resolver), reached_by: Vec::new() };
        Self { opener, files: top.cloned().into_iter().collect(), depth: 0, place }
    }

    /// The place of the last image.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Finds the file below the last image, which `info` describes; `None` if it is the lowest.
    pub(crate) fn next(&mut self, info: &ImageInfo) -> Result<Option<FileBelow>> {
        let found = self.find(info).map_err(|error| self.place.name(error))?;
        if let Some(file) = &found {
            self.files.push(Arc::clone(&file.source));
            self.depth = self.depth.saturating_add(1);
            self.place = file.place.clone();
        }
        Ok(found)
    }

    fn find(&self, info: &ImageInfo) -> Result<Option<FileBelow>> {
        let below = info.references.iter().find(|reference| reference.role.is_below());
        let Some(reference) = below.cloned() else { return Ok(None) };
        let limit = self.opener.limits.chain_depth;
        if self.depth as u64 >= u64::from(limit) {
            return Err(too_deep(&reference, limit));
        }
        let (source, place) = self.file(&reference)?;
        if self.files.iter().any(|seen| same_file(seen, &source)) {
            return Err(chain_loops(&reference));
        }
        let given = self.opener.parents.get(self.depth).and_then(|given| given.format);
        let driver = match given.as_ref().or_else(|| self.opener.parent_formats.get(self.depth)) {
            Some(format) => self.opener.drivers.named(format.name())?,
            None => declared_driver(&reference, &self.opener.drivers)?,
        };
        Ok(Some(FileBelow { source, driver, reference, place }))
    }

    fn file(&self, reference: &Reference) -> Result<(Arc<dyn BlockSource>, Place)> {
        let Place { resolver, reached_by, .. } = &self.place;
        let name = relative_to(reached_by, &reference.name);
        let lossy = |name: &[u8]| Some(String::from_utf8_lossy(name).into_owned());
        if let Some(given) = self.opener.parents.get(self.depth) {
            let shown = given.name.clone().or_else(|| lossy(&name));
            let place = match &given.resolver {
                Some(resolver) => Place { shown, resolver: Arc::clone(resolver), reached_by: Vec::new() },
                None => Place { shown, resolver: Arc::clone(resolver), reached_by: name },
            };
            return Ok((Arc::clone(&given.source), place));
        }
        let found = resolver.resolve_file(&reference.with_name(name))?;
        let shown = found.path.or_else(|| lossy(&found.name));
        let resolver = found.beside.unwrap_or_else(|| Arc::clone(resolver));
        Ok((found.source, Place { shown, resolver, reached_by: found.name }))
    }
}

impl FileBelow {
    /// Checks that the file has the identity that the image above it records.
    ///
    /// Returns a finding if it has another one and the caller allows it.
    pub(crate) fn check_identity(
        &self,
        opener: &Opener,
        above: &Place,
        info: &ImageInfo,
    ) -> Result<Option<Finding>> {
        let Err(error) = self.reference.identity.accepts(&info.identity) else { return Ok(None) };
        let file = self
            .place
            .shown
            .as_deref()
            .map_or(String::new(), |name| format!("{} is ", Printable::new(name.as_bytes())));
        let error = above
            .name(error.format(self.reference.found_in))
            .because(format_args!("{file}another image, or was modified since"));
        match opener.allow_parent_mismatch {
            true => Ok(Some(Finding::warning(PARENT_MISMATCH, error.to_string()))),
            false => Err(error),
        }
    }
}

impl Place {
    /// Adds the name of the layer to an error.
    pub(crate) fn name(&self, error: Error) -> Error {
        match &self.shown {
            Some(name) => error.in_layer(name.as_bytes()),
            None => error,
        }
    }
}

/// The driver of the format that the image records for its backing file. Probing the file would let anyone who
/// writes into a raw base choose its format (CVE-2015-1850 and related).
fn declared_driver(reference: &Reference, drivers: &Drivers) -> Result<&'static Driver> {
    match &reference.format {
        Some(name) => drivers
            .named(name)
            .map_err(|e| e.format(reference.found_in).field("backing format").with_fault(Fault::Image)),
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
        .with_remedy(Remedy::RaiseLimit(LimitKind::ChainDepth))
}
