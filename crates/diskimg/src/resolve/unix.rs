//! A directory on Unix. It is kept open, so that renaming it has no effect.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags};
use rustix::io::Errno;

#[derive(Debug)]
pub(super) struct Directory(File);

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(CWD, path, flags, Mode::empty())?.into()))
    }

    pub(super) fn opened(file: File) -> Self {
        Self(file)
    }

    /// The names directly in it.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = Vec<u8>>> {
        let entries = Dir::read_from(&self.0)?;
        Ok(entries.filter_map(|entry| Some(entry.ok()?.file_name().to_bytes().to_vec())))
    }

    /// Opens `name` for reading; `None` if it leads out of the directory.
    pub(super) fn file(&self, name: &[u8]) -> io::Result<Option<File>> {
        // Without O_NONBLOCK, opening a FIFO that an attacker created would block forever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        match beneath(&self.0, name, flags) {
            Err(Errno::XDEV | Errno::LOOP | Errno::PERM) => Ok(None),
            opened => Ok(Some(opened?)),
        }
    }
}

#[cfg(target_os = "linux")]
fn beneath(directory: &File, name: &[u8], flags: OFlags) -> rustix::io::Result<File> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve) {
        Err(Errno::NOSYS) => plain_name(directory, name, flags),
        other => other.map(File::from),
    }
}

#[cfg(not(target_os = "linux"))]
fn beneath(directory: &File, name: &[u8], flags: OFlags) -> rustix::io::Result<File> {
    plain_name(directory, name, flags)
}

fn plain_name(directory: &File, name: &[u8], flags: OFlags) -> rustix::io::Result<File> {
    if name.contains(&b'/') || name == b".." {
        return Err(Errno::XDEV);
    }
    rustix::fs::openat(directory, name, flags | OFlags::NOFOLLOW, Mode::empty()).map(File::from)
}
