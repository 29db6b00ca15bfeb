//! Files below an image that the caller chooses.

use std::path::Path;
use std::sync::Arc;

use diskimg_core::{BlockSource, DenyReferences, Format, Resolver, Result};
use diskimg_raw::FileSource;

/// A file below an image, chosen by the caller instead of the name in the image.
#[derive(Clone)]
#[non_exhaustive]
pub struct ParentFile {
    /// The bytes of the file.
    pub source: Arc<dyn BlockSource>,
    /// The name of the file, for messages and descriptions.
    pub name: Option<String>,
    /// The format of the file. `None`: the one in [`Opener::parent_formats`](crate::Opener::parent_formats), or the one that
    /// the image above records.
    pub format: Option<Format>,
    /// Opens the files that the file refers to, by names relative to its directory. `None`:
    /// [`Opener::resolver`](crate::Opener::resolver) opens them, by names relative to the name in the image.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// True if the file was opened by its path, and is therefore locked as an [`Opener`](crate::Opener) locks files.
    pub(crate) is_path: bool,
}

impl ParentFile {
    /// A parent with these bytes.
    #[must_use]
    pub fn new(source: Arc<dyn BlockSource>) -> Self {
        Self { source, name: None, format: None, resolver: None, is_path: false }
    }

    /// Opens the file or block device `path`. No file that it refers to is opened unless a `resolver` is set.
    ///
    /// ```no_run
    /// use diskimg::{Opener, ParentFile, WithinDirectory};
    /// use std::sync::Arc;
    /// let mut parent = ParentFile::open("bases/base.qcow2".as_ref())?;
    /// parent.resolver = Some(Arc::new(WithinDirectory::new("bases".as_ref())?));
    /// let mut opener = Opener::new();
    /// opener.parents.push(parent);
    /// let disk = opener.open("top.qcow2")?;
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn open(path: &Path) -> Result<Self> {
        let source = Arc::new(FileSource::open(path)?);
        let name = Some(path.to_string_lossy().into_owned());
        let resolver: Option<Arc<dyn Resolver>> = Some(Arc::new(DenyReferences));
        Ok(Self { source, name, format: None, resolver, is_path: true })
    }
}

impl From<Arc<dyn BlockSource>> for ParentFile {
    fn from(source: Arc<dyn BlockSource>) -> Self {
        Self::new(source)
    }
}
