//! Refusing names with the remedy that works.

use std::sync::Arc;

use diskimg_core::{BlockSource, Reference, Remedy, Resolver, Result};

use super::within::WithinDirectory;

/// Refuses every reference. The [remedy](crate::Error::remedy) is to follow references if a directory contains the file,
/// and to locate the file otherwise.
///
/// ```
/// use diskimg::{ErrorKind, Opener, Unfollowed, WithinDirectory};
/// use std::sync::Arc;
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.qcow2");
/// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
/// let mut opener = Opener::new();
/// opener.resolver = Arc::new(Unfollowed::new(WithinDirectory::of_image(&path)?));
/// assert!(opener.open(&path).is_ok(), "the image refers to no file");
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Debug)]
pub struct Unfollowed(WithinDirectory);

impl Unfollowed {
    /// Refuses references that would be followed, or not, to `directory`.
    #[must_use]
    pub fn new(directory: WithinDirectory) -> Self {
        Self(directory)
    }
}

impl Resolver for Unfollowed {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        let denied = reference.denied();
        Err(match self.0.contains(reference)? {
            true => denied,
            false => denied.with_remedy(Remedy::LocateFile { role: reference.role }),
        })
    }
}
