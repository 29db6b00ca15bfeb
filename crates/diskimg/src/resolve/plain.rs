//! A directory on systems that cannot open beneath one: only what it lists is opened, and no links.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Refused;

#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match path.metadata()?.is_dir() {
            true => Ok(Self(path.to_owned())),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The names that lie directly in it, as far as they are Unicode.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = Vec<u8>>> {
        let entries = self.0.read_dir()?;
        Ok(entries.filter_map(|entry| Some(entry.ok()?.file_name().into_string().ok()?.into_bytes())))
    }

    /// Opens the file `name` for reading. What the directory does not list is outside of it: `..`, drives,
    /// streams of a file, and the names that the system keeps for devices.
    pub(super) fn file(&self, name: &[u8]) -> Result<File, Refused> {
        let text = std::str::from_utf8(name).map_err(|_| Refused::System(io::ErrorKind::NotFound.into()))?;
        if text == ".." || text.contains(['/', '\\', ':']) {
            return Err(Refused::Outside);
        }
        if !self.names().map_err(Refused::System)?.any(|listed| listed == name) {
            return Err(Refused::System(io::ErrorKind::NotFound.into()));
        }
        let path = self.0.join(text);
        match path.symlink_metadata().map_err(Refused::System)?.is_symlink() {
            true => Err(Refused::Outside),
            false => File::open(path).map_err(Refused::System),
        }
    }
}
