//! Host files: opening them and detecting their compression.

use std::fs::File;
use std::path::Path;

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Error, Result};
use diskimg_raw::{FileSource, SourceOptions};

use crate::opener::Opener;

impl Opener {
    /// Opens a host file as a source.
    pub(crate) fn file(&self, path: &Path) -> Result<FileSource> {
        FileSource::open_with(path, &SourceOptions { direct: self.direct }).map_err(|e| name_file(e, path))
    }

    /// The compression of a file; `None` if it is not compressed or stays compressed.
    pub(crate) fn wrapper_of(&self, source: &dyn BlockSource) -> Result<Option<Wrapper>> {
        if !self.decompress {
            return Ok(None);
        }
        let mut magic = [0; Wrapper::HEAD];
        let len = usize::try_from(source.size()).unwrap_or(Wrapper::HEAD).min(Wrapper::HEAD);
        let magic = magic.get_mut(..len).unwrap_or_default();
        source.read_at(0, magic)?;
        Ok(Wrapper::recognise(magic))
    }
}

/// Opens a host file as a byte stream.
pub(crate) fn open_stream(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| name_file(e.into(), path))
}

/// Adds the file name to an error of the operating system.
fn name_file(error: Error, path: &Path) -> Error {
    if error.field_name().is_some() { error } else { error.file(format!("'{}'", path.display())) }
}
