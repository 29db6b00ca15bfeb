//! Following names in an image to files in its own directory.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use diskimg_core::{
    BlockSource, Error, ErrorKind, Fault, ImageInfo, Limits, Printable, Reference, Remedy, ResolvedFile,
    Resolver, Result,
};
use diskimg_raw::FileSource;

use super::Directory;
use super::names::{lookup_names, same_file};
use crate::drivers::driver;

/// The maximum number of files that a search for a parent by its UUID inspects. Our limit.
const MAX_SEARCHED: usize = 4096;

/// Follows references to regular files in one directory and below it.
///
/// On Linux, names are opened by `openat2` with `RESOLVE_BENEATH`: no `..`, absolute name, symbolic link or magic link
/// leads out of the directory, even if it is replaced at the same time. On other systems and on kernels without the
/// call, only plain names in the directory itself are followed, and no links. Devices, pipes and sockets are always
/// refused.
///
/// An absolute name, or one with `..` or links, is followed if it leads back into the directory: links and the identity
/// of directories are read to find that out, and the file is opened by its name in the directory. The backslashes of
/// Windows names separate components. If the image records the identity of its parent, the last component of the
/// parent's name is looked for too.
///
/// A parent whose UUID is recorded, without a name or with one that is not found, is searched for among the files of its
/// format directly in the directory. Two files with that UUID, such as a copy, are
/// [`Ambiguous`](diskimg_core::ErrorKind::Ambiguous); the caller has to pass the parent then.
///
/// ```no_run
/// use diskimg::{Opener, WithinDirectory};
/// use std::sync::Arc;
/// let mut opener = Opener::new();
/// opener.resolver = Arc::new(WithinDirectory::of_image("disks/top.qcow2".as_ref())?);
/// let disk = opener.open("disks/top.qcow2")?;
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Debug)]
pub struct WithinDirectory {
    directory: Directory,
    by_last_component: bool,
}

/// A file found in the directory.
struct Found {
    name: Vec<u8>,
    source: FileSource,
}

impl WithinDirectory {
    /// Follows names within `directory`. An empty path, the parent of a bare file name, is the current directory.
    ///
    /// # Errors
    /// [`Io`](diskimg_core::ErrorKind::Io) if it cannot be opened.
    pub fn new(directory: &Path) -> Result<Self> {
        let opened = Directory::open(directory);
        let directory = opened.map_err(|e| Error::from(e).field("directory of the image"))?;
        Ok(Self { directory, by_last_component: false })
    }

    /// Follows names within an open directory.
    ///
    /// # Errors
    /// [`InvalidInput`](diskimg_core::ErrorKind::InvalidInput) if it is not a directory;
    /// [`Io`](diskimg_core::ErrorKind::Io).
    #[cfg(unix)]
    pub fn opened(directory: File) -> Result<Self> {
        match directory.metadata().map_err(Error::from)?.is_dir() {
            true => Ok(Self { directory: Directory::opened(directory), by_last_component: false }),
            false => Err(Error::new(ErrorKind::InvalidInput)
                .field("directory of the image")
                .because("it is not a directory")),
        }
    }

    /// Follows names within the directory that holds `image`.
    ///
    /// # Errors
    /// As [`WithinDirectory::new`].
    pub fn of_image(image: &Path) -> Result<Self> {
        match image.parent() {
            Some(parent) => Self::new(parent),
            None => Self::new(Path::new("")),
        }
    }

    /// Looks for files also by the last component of their names, whatever directory they are recorded in. For a
    /// directory that the caller names as the place of the files: nothing else identifies them.
    #[must_use]
    pub fn by_last_component(mut self) -> Self {
        self.by_last_component = true;
        self
    }

    /// True if the caller named the directory as the place of the files.
    pub(super) fn is_named(&self) -> bool {
        self.by_last_component
    }

    /// Finds the file of a reference by its name or UUID.
    fn find(&self, reference: &Reference) -> Result<Found> {
        if reference.name.is_empty() || reference.name.ends_with(b"/") {
            return self.search(reference);
        }
        let mut absent = None;
        for name in lookup_names(reference, self.by_last_component)? {
            match self.open_file(reference, &name) {
                // Of a Windows name, the path that leads out is reported, not the absent name with backslashes.
                Err(error) if is_absent(&error) => {
                    let leads_out = error.kind() == ErrorKind::Denied;
                    absent = absent.filter(|_| !leads_out).or(Some(error));
                }
                found => return found,
            }
        }
        let absent = absent.unwrap_or_else(|| self.leads_out(reference));
        if reference.identity.uuid.is_none() {
            return Err(absent);
        }
        self.search(reference).map_err(|error| if is_absent(&error) { absent } else { error })
    }

    /// Opens the regular file `name`, where the name itself or the path that it resolves to is inside the directory.
    fn open_file(&self, reference: &Reference, name: &[u8]) -> Result<Found> {
        let inside = |name: &[u8]| -> io::Result<Option<(Vec<u8>, File)>> {
            Ok(self.directory.file(name)?.map(|file| (name.to_vec(), file)))
        };
        let opened = inside(name).and_then(|file| match file {
            None => self.directory.name_inside(name).map_or(Ok(None), |name| inside(&name)),
            file => Ok(file),
        });
        let opened = opened.map_err(|error| {
            let is_absent = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            let error = reference.describe(Error::from(error));
            match is_absent {
                true => {
                    error.with_remedy(Remedy::LocateFile { role: reference.role }).with_fault(Fault::Image)
                }
                false => error,
            }
        })?;
        let (name, file) = opened.ok_or_else(|| self.leads_out(reference))?;
        if !file.metadata().map_err(Error::from)?.is_file() {
            return Err(self.denied(reference, "it is not a regular file"));
        }
        Ok(Found { name, source: FileSource::new(file)? })
    }

    fn leads_out(&self, reference: &Reference) -> Error {
        match (self.by_last_component, self.directory.path()) {
            (true, Some(path)) => {
                let path = Printable::new(path.as_os_str().as_encoded_bytes());
                self.denied(reference, format_args!("it leads out of the directory {path}"))
            }
            _ => self.denied(reference, "it leads out of the image's directory"),
        }
    }

    fn denied(&self, reference: &Reference, because: impl std::fmt::Display) -> Error {
        let remedy = Remedy::LocateFile { role: reference.role };
        reference.describe(Error::new(ErrorKind::Denied)).because(because).with_remedy(remedy)
    }

    /// Searches the directory for the file with the identity of the reference.
    fn search(&self, reference: &Reference) -> Result<Found> {
        if reference.identity.uuid.is_none() {
            return Err(self.denied(reference, "the image records neither a name nor a UUID"));
        }
        let driver = driver(reference.format.as_deref().unwrap_or(reference.found_in.name()))?;
        let mut found: Option<(Vec<u8>, FileSource)> = None;
        for name in self.names(reference)? {
            let Some(source) = self.candidate(&name) else { continue };
            let is_it = |info: ImageInfo| info.identity.uuid == reference.identity.uuid;
            if !(driver.inspect)(&source, &Limits::default()).is_ok_and(is_it) {
                continue;
            }
            match &found {
                // A hard link or symbolic link to the same file.
                Some((_, first)) if same_file(first, &source) => {}
                Some((first, _)) => return Err(found_twice(reference, first, &name)),
                None => found = Some((name, source)),
            }
        }
        match found {
            Some((name, source)) => Ok(Found { name, source }),
            None => {
                let directory = self.directory.path().filter(|_| self.by_last_component);
                let place = directory.map_or("the image's directory".to_owned(), |path| {
                    format!("the directory {}", Printable::new(path.as_os_str().as_encoded_bytes()))
                });
                Err(self.denied(reference, format_args!("no file in {place} has the UUID of the parent")))
            }
        }
    }

    /// The names in the directory with the extension of the format.
    fn names(&self, reference: &Reference) -> Result<Vec<Vec<u8>>> {
        let failed = |e| Error::from(e).format(reference.found_in).field("directory of the image");
        let ending = format!(".{}", reference.found_in.name()).into_bytes();
        let mut names: Vec<Vec<u8>> = self
            .directory
            .names()
            .map_err(failed)?
            .filter(|name| name.to_ascii_lowercase().ends_with(&ending))
            .take(MAX_SEARCHED)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn candidate(&self, name: &[u8]) -> Option<FileSource> {
        let file = self.directory.file(name).ok()??;
        if file.metadata().ok()?.is_file() { FileSource::new(file).ok() } else { None }
    }

    /// Returns true if a file with one of the names of `reference` exists in the directory. Nothing outside of the
    /// directory is touched, so a name that leads back into it only through links does not count.
    pub(super) fn contains(&self, reference: &Reference) -> Result<bool> {
        if reference.name.is_empty() || reference.name.ends_with(b"/") {
            return Ok(reference.identity.uuid.is_some());
        }
        let inside = |name: &Vec<u8>| {
            self.directory.contains(name)
                || self.directory.name_by_text(name).is_some_and(|name| self.directory.contains(&name))
        };
        Ok(lookup_names(reference, self.by_last_component)?.iter().any(inside))
    }
}

/// Returns true if the file is not in the directory, as opposed to one that cannot be opened.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error.remedy(), Some(Remedy::LocateFile { .. }))
}

/// The error for two files that may be the parent. One may be a copy that has changed.
fn found_twice(reference: &Reference, one: &[u8], other: &[u8]) -> Error {
    let (one, other) = (Printable::new(one), Printable::new(other));
    reference
        .describe(Error::new(ErrorKind::Ambiguous))
        .because(format_args!("{one} and {other} both have its UUID"))
        .with_remedy(Remedy::NameParent)
}

impl Resolver for WithinDirectory {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        Ok(Arc::new(self.find(reference)?.source))
    }

    fn resolve_file(&self, reference: &Reference) -> Result<ResolvedFile> {
        let Found { name, source } = self.find(reference)?;
        let path = self
            .directory
            .path()
            .map(|path| path.join(String::from_utf8_lossy(&name).as_ref()).to_string_lossy().into_owned());
        let mut file = ResolvedFile::new(Arc::new(source), name);
        file.path = path;
        Ok(file)
    }
}

#[cfg(all(test, unix))]
mod tests;
