//! Following names in an image to files in its own directory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use diskimg_core::{
    BlockSource, Error, ErrorKind, ImageInfo, Limits, Printable, Reference, Remedy, Resolver, Result,
};
use diskimg_raw::FileSource;

use super::Directory;
use super::names::{names_a_protocol, same_file};
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
/// A parent that is recorded only by its UUID, as VirtualBox does, is searched for among the files of its format
/// directly in the directory. Two files with that UUID, such as a copy, are
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
}

impl WithinDirectory {
    /// Follows names within `directory`.
    ///
    /// # Errors
    /// [`Io`](diskimg_core::ErrorKind::Io) if it cannot be opened.
    pub fn new(directory: &Path) -> Result<Self> {
        let opened = Directory::open(directory);
        Ok(Self { directory: opened.map_err(|e| Error::from(e).field("directory of the image"))? })
    }

    /// Follows names within an open directory.
    ///
    /// # Errors
    /// [`InvalidInput`](diskimg_core::ErrorKind::InvalidInput) if it is not a directory;
    /// [`Io`](diskimg_core::ErrorKind::Io).
    #[cfg(unix)]
    pub fn opened(directory: File) -> Result<Self> {
        match directory.metadata().map_err(Error::from)?.is_dir() {
            true => Ok(Self { directory: Directory::opened(directory) }),
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
            Some(parent) if !parent.as_os_str().is_empty() => Self::new(parent),
            _ => Self::new(Path::new(".")),
        }
    }

    /// Searches the directory for the file with the identity of the reference.
    fn search(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        if reference.identity.uuid.is_none() {
            return Err(reference.denied().because("the image records neither a name nor a UUID"));
        }
        let driver = driver(reference.format.as_deref().unwrap_or(reference.found_in.name()))?;
        let mut found: Option<(Vec<u8>, FileSource)> = None;
        for name in self.names(reference)? {
            let named = Reference { name, ..reference.clone() };
            let Some(source) = self.candidate(&named) else { continue };
            let is_it = |info: ImageInfo| info.identity.uuid == reference.identity.uuid;
            if !(driver.inspect)(&source, &Limits::default()).is_ok_and(is_it) {
                continue;
            }
            match &found {
                // A hard link or symbolic link to the same file.
                Some((_, first)) if same_file(first, &source) => {}
                Some((first, _)) => return Err(found_twice(reference, first, &named.name)),
                None => found = Some((named.name, source)),
            }
        }
        match found {
            Some((_, source)) => Ok(Arc::new(source)),
            None => {
                Err(reference.denied().because("no file in the image's directory has the UUID of the parent"))
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

    fn candidate(&self, reference: &Reference) -> Option<FileSource> {
        let file = self.open(reference).ok()?;
        let is_file = file.metadata().ok()?.is_file();
        if is_file { FileSource::new(file).ok() } else { None }
    }

    fn open(&self, reference: &Reference) -> Result<File> {
        let opened = self.directory.file(&reference.name).map_err(|error| {
            Error::from(error)
                .format(reference.found_in)
                .field(reference.role.name())
                .found_name(&reference.name)
        })?;
        opened.ok_or_else(|| reference.denied().because("it leads out of the image's directory"))
    }
}

/// The error for two files that may be the parent. One may be a copy that has changed.
fn found_twice(reference: &Reference, one: &[u8], other: &[u8]) -> Error {
    let (one, other) = (Printable::new(one), Printable::new(other));
    Error::new(ErrorKind::Ambiguous)
        .format(reference.found_in)
        .field(reference.role.name())
        .because(format_args!("{one} and {other} both have its UUID"))
        .with_remedy(Remedy::NameParent)
}

impl Resolver for WithinDirectory {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        if names_a_protocol(&reference.name) {
            return Err(reference.denied().because("it names a protocol, not a file"));
        }
        if reference.name.is_empty() || reference.name.ends_with(b"/") {
            return self.search(reference);
        }
        let file = self.open(reference)?;
        if !file.metadata().map_err(Error::from)?.is_file() {
            return Err(reference.denied().because("it is not a regular file"));
        }
        Ok(Arc::new(FileSource::new(file)?))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use diskimg_core::{ErrorKind, Format, Identity, ReferenceRole};
    use rustix::fs::{CWD, Mode};
    use std::os::unix::fs::symlink;

    fn reference(name: &[u8]) -> Reference {
        Reference {
            role: ReferenceRole::Backing,
            name: name.to_vec(),
            identity: Identity::default(),
            format: Some("raw".into()),
            found_in: Format::new("qcow2"),
            offset: None,
        }
    }

    #[test]
    fn only_regular_files_below_the_directory_are_followed() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("images");
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("base.raw"), b"base").unwrap();
        std::fs::write(dir.join("sub/base.raw"), b"sub").unwrap();
        std::fs::write(outer.path().join("secret"), b"secret").unwrap();
        symlink("../secret", dir.join("out")).unwrap();
        symlink("base.raw", dir.join("in")).unwrap();
        symlink("/proc/self/fd/0", dir.join("magic")).unwrap();
        rustix::fs::mkfifoat(CWD, dir.join("fifo"), Mode::from_raw_mode(0o600)).unwrap();

        let resolver = WithinDirectory::new(&dir).unwrap();
        for good in [&b"base.raw"[..], b"sub/base.raw", b"./sub/../base.raw", b"in"] {
            assert!(resolver.resolve(&reference(good)).is_ok(), "{}", String::from_utf8_lossy(good));
        }
        let secret = outer.path().join("secret");
        for bad in [
            &b"../secret"[..],
            b"sub/../../secret",
            b"out",
            b"magic",
            b"fifo",
            b"sub",
            b"/etc/passwd",
            b"json:{\"driver\":\"file\"}",
            b"nbd://localhost",
            secret.to_str().unwrap().as_bytes(),
        ] {
            let error = resolver.resolve(&reference(bad)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied, "{}: {error}", String::from_utf8_lossy(bad));
        }
        for absent in [&b"absent"[..], b"a\0b"] {
            assert_eq!(resolver.resolve(&reference(absent)).err().unwrap().kind(), ErrorKind::Io);
        }
    }
}
