//! Host files: opening and locking them, and detecting their compression.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Error, Result};
use diskimg_raw::{FileSource, ImageLock, SourceOptions};

use crate::locking::{Locking, message};
use crate::opener::Opener;

impl Opener {
    /// Opens a host file as a source.
    pub(crate) fn file(&self, path: &Path) -> Result<FileSource> {
        FileSource::open_with(path, &SourceOptions { direct: self.direct }).map_err(|e| name_file(e, path))
    }

    /// Opens a host file as a source and holds the locks on it. Also returns the message about another process that
    /// writes it.
    pub(crate) fn locked_file(&self, path: &Path) -> Result<(FileSource, Option<String>)> {
        let source = self.file(path)?;
        let used = self.locking.on_file(source.file(), path.display()).map_err(|e| name_file(e, path))?;
        Ok((source.with_lock(used.lock), used.in_use))
    }

    /// Opens a host file as a byte stream and holds the locks on it.
    pub(crate) fn locked_stream(&self, path: &Path) -> Result<LockedStream> {
        let file = open_stream(path)?;
        let used = self.locking.on_file(&file, path.display()).map_err(|e| name_file(e, path))?;
        Ok(LockedStream { file, _lock: used.lock })
    }

    /// The message about another process that writes the file, if locks are considered.
    pub(crate) fn in_use(&self, source: &FileSource, path: &Path) -> Result<Option<String>> {
        match self.locking {
            Locking::Off => Ok(None),
            Locking::Refuse | Locking::Report => message(source.file(), path.display()),
        }
    }

    /// The same opener for a source or stream of the caller, whose files are not locked.
    pub(crate) fn without_locks(&self) -> Self {
        Self { locking: Locking::Off, ..self.clone() }
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

/// A byte stream of a host file that holds locks on it.
pub(crate) struct LockedStream {
    file: File,
    _lock: Option<ImageLock>,
}

impl Read for LockedStream {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.file.read(buf)
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
