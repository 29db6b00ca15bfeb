//! A directory on systems without `openat`: only files that it lists are opened, and no links.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::open_refusal::OpenRefusal;

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

    /// Opens the file `name` for reading. A name that the directory does not list is outside: `..`, drives, streams of a
    /// file, and names that the system reserves for devices.
    pub(super) fn file(&self, name: &[u8]) -> Result<File, OpenRefusal> {
        let text =
            std::str::from_utf8(name).map_err(|_| OpenRefusal::System(io::ErrorKind::NotFound.into()))?;
        if text == ".." || text.contains(['/', '\\', ':']) {
            return Err(OpenRefusal::Outside);
        }
        if !self.names().map_err(OpenRefusal::System)?.any(|listed| listed == name) {
            return Err(OpenRefusal::System(io::ErrorKind::NotFound.into()));
        }
        let path = self.0.join(text);
        match path.symlink_metadata().map_err(OpenRefusal::System)?.is_symlink() {
            true => Err(OpenRefusal::Outside),
            false => File::open(path).map_err(OpenRefusal::System),
        }
    }
}
