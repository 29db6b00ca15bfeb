//! A directory on systems without `openat`: only files that it lists are opened, and no links.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match path.metadata()?.is_dir() {
            true => Ok(Self(path.to_owned())),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The names directly in it that are Unicode.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = Vec<u8>>> {
        let entries = self.0.read_dir()?;
        Ok(entries.filter_map(|entry| Some(entry.ok()?.file_name().into_string().ok()?.into_bytes())))
    }

    /// Opens the file `name` for reading; `None` for names that the directory cannot list: `..`, drives, streams of a
    /// file, and for links.
    pub(super) fn file(&self, name: &[u8]) -> io::Result<Option<File>> {
        let text = std::str::from_utf8(name).map_err(|_| io::ErrorKind::NotFound)?;
        if text == ".." || text.contains(['/', '\\', ':']) {
            return Ok(None);
        }
        // The system reserves names for devices, which the directory does not list.
        if !self.names()?.any(|listed| listed == name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let path = self.0.join(text);
        match path.symlink_metadata()?.is_symlink() {
            true => Ok(None),
            false => File::open(path).map(Some),
        }
    }
}
