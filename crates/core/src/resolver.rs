//! Resolvers, which open the files of references or refuse them.

use std::sync::Arc;

use crate::{BlockSource, Reference, Result};

/// Opens the file of a [`Reference`], or refuses it. No other file is opened for an image.
///
/// ```
/// use diskimg_core::{BlockSource, Memory, Reference, Resolver, Result};
/// use std::sync::Arc;
///
/// /// Resolves the exact name of one base image.
/// struct OneBase(Arc<dyn BlockSource>);
///
/// impl Resolver for OneBase {
///     fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
///         match reference.name.as_slice() {
///             b"base.raw" => Ok(Arc::clone(&self.0)),
///             _ => Err(reference.denied()),
///         }
///     }
/// }
/// # let _ = OneBase(Arc::new(Memory::new(vec![])));
/// ```
pub trait Resolver: Send + Sync {
    /// Returns the bytes of the file of `reference`. The caller opens its format.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) if it is refused, preferably by [`Reference::denied`];
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file
    /// is allowed and cannot be opened.
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>>;

    /// Returns the file of `reference`, and how the names in it are resolved. By default, they are resolved by the same
    /// resolver, relative to the directory in the name of `reference`.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    fn resolve_file(&self, reference: &Reference) -> Result<ResolvedFile> {
        Ok(ResolvedFile::new(self.resolve(reference)?, reference.name.clone()))
    }
}

/// A file that a [`Resolver`] has found.
#[derive(Clone)]
#[non_exhaustive]
pub struct ResolvedFile {
    /// The bytes of the file.
    pub source: Arc<dyn BlockSource>,
    /// The name by which the resolver knows the file. Names in the file are relative to its directory.
    pub name: Vec<u8>,
    /// The path of the file, for messages; not escaped.
    pub path: Option<String>,
    /// The resolver of the names in the file; `None` is the resolver that found the file.
    pub beside: Option<Arc<dyn Resolver>>,
}

impl ResolvedFile {
    /// A file with this name, whose own references are resolved by the same resolver.
    #[must_use]
    pub fn new(source: Arc<dyn BlockSource>, name: Vec<u8>) -> Self {
        Self { source, name, path: None, beside: None }
    }
}

/// Refuses every reference. This is the default everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyReferences;

impl Resolver for DenyReferences {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        Err(reference.denied())
    }
}
