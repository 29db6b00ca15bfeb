//! Following names to several directories.

use std::sync::Arc;

use diskimg_core::{BlockSource, Error, ErrorKind, Reference, Remedy, ResolvedFile, Resolver, Result};

use super::within::{WithinDirectory, is_absent};

/// Follows references to several directories, in order. The first one that contains the file is used.
///
/// Names in a file that was found in a directory [by its last component](WithinDirectory::by_last_component) are
/// relative to that file, and looked for in its directory first.
///
/// ```no_run
/// use diskimg::{Opener, SearchPath, WithinDirectory};
/// use std::sync::Arc;
/// let bases = WithinDirectory::new("bases".as_ref())?.by_last_component();
/// let own = WithinDirectory::of_image("snapshots/top.vdi".as_ref())?;
/// let mut opener = Opener::new();
/// opener.resolver = Arc::new(SearchPath::new(vec![bases, own]));
/// let disk = opener.open("snapshots/top.vdi")?;
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SearchPath {
    directories: Vec<Arc<WithinDirectory>>,
}

impl SearchPath {
    /// Creates a resolver that looks in these directories. Without any, every reference is refused.
    #[must_use]
    pub fn new(directories: Vec<WithinDirectory>) -> Self {
        Self { directories: directories.into_iter().map(Arc::new).collect() }
    }

    /// Adds a directory in which files are looked for last.
    pub fn push(&mut self, directory: WithinDirectory) {
        self.directories.push(Arc::new(directory));
    }

    /// The resolver of names in a file that was found in the directory at `index`. The order stays if that is the
    /// image's own directory: a directory that the caller names comes before it.
    fn beside(&self, index: usize) -> Arc<dyn Resolver> {
        let mut directories = self.directories.clone();
        if self.directories.get(index).is_some_and(|directory| !directory.is_named()) {
            return Arc::new(self.clone());
        }
        if let Some(first) = directories.get_mut(..=index) {
            first.rotate_right(1);
        }
        Arc::new(Self { directories })
    }
}

impl Resolver for SearchPath {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        Ok(self.resolve_file(reference)?.source)
    }

    fn resolve_file(&self, reference: &Reference) -> Result<ResolvedFile> {
        let mut absent = None;
        for (index, directory) in self.directories.iter().enumerate() {
            match directory.resolve_file(reference) {
                Ok(mut file) => {
                    file.beside = Some(self.beside(index));
                    return Ok(file);
                }
                Err(error) if is_absent(&error) => absent = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(absent.unwrap_or_else(|| no_directory(reference)))
    }
}

fn no_directory(reference: &Reference) -> Error {
    reference
        .describe(Error::new(ErrorKind::Denied))
        .because("the image is in no directory")
        .with_remedy(Remedy::LocateFile { role: reference.role })
}
