//! A directory on systems without `openat`: only files that it lists are opened, and no links.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let opened = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match opened.metadata()?.is_dir() {
            true => Ok(Self(path.to_owned())),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        Some(&self.0)
    }

    /// Returns true if `name` exists in the directory.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        matches!(self.file(name), Ok(Some(_)))
    }

    /// Returns the name in this directory of a path that begins with the path of the directory. Nothing is opened: the
    /// path may name another machine.
    pub(super) fn name_inside(&self, name: &[u8]) -> Option<Vec<u8>> {
        let own = std::path::absolute(&self.0).ok()?;
        let inside = Path::new(std::str::from_utf8(name).ok()?).strip_prefix(own).ok()?;
        Some(inside.to_str()?.as_bytes().to_vec())
    }

    /// The same: nothing is read for it.
    pub(super) fn name_by_text(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.name_inside(name)
    }

    /// The names directly in it that are Unicode.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = Vec<u8>>> {
        let entries = self.0.join(".").read_dir()?;
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
