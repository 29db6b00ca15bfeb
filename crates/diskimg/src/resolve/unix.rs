//! A directory on Unix. It is kept open, so that renaming it has no effect.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

/// The flags that find a file.
#[cfg(target_os = "linux")]
const FIND: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FIND: OFlags = READ;

/// The flags that open a file for reading. Without `O_NONBLOCK`, opening a FIFO that an attacker created would block
/// forever.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    /// The path by which it was opened, if known.
    path: Option<PathBuf>,
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = or_current(path);
        let file = match openat(CWD, opened, flags) {
            // Files in a directory that cannot be listed can be opened by name.
            Err(Errno::ACCESS) => openat(CWD, opened, FIND | OFlags::DIRECTORY)?,
            file => file?,
        };
        Ok(Self { file: file.into(), path: Some(path.to_owned()) })
    }

    pub(super) fn opened(file: File) -> Self {
        use std::os::fd::AsRawFd;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
        Self { file, path }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The names directly in it.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = Vec<u8>>> {
        let entries = Dir::read_from(&self.file)?;
        Ok(entries.filter_map(|entry| Some(entry.ok()?.file_name().to_bytes().to_vec())))
    }

    /// Opens `name` for reading; `None` if it leads out of the directory.
    pub(super) fn file(&self, name: &[u8]) -> io::Result<Option<File>> {
        self.opened_beneath(name, READ)
    }

    /// Returns true if `name` exists in the directory. On Linux it is not opened for reading.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        matches!(self.opened_beneath(name, FIND), Ok(Some(_)))
    }

    fn opened_beneath(&self, name: &[u8], flags: OFlags) -> io::Result<Option<File>> {
        match beneath(&self.file, name, flags) {
            Err(Errno::XDEV | Errno::LOOP | Errno::PERM) => Ok(None),
            opened => Ok(Some(opened?)),
        }
    }

    /// Returns the name in this directory of a path that leads back into it: an absolute one, or one with `..` or with
    /// links. Reads only links and the identity of directories. The file need not exist.
    pub(super) fn name_inside(&self, name: &[u8]) -> Option<Vec<u8>> {
        let full = or_current(self.path.as_ref()?).join(OsStr::from_bytes(name));
        let resolved = full.canonicalize().ok().or_else(|| {
            let directory = full.parent()?.canonicalize().ok()?;
            Some(directory.join(full.file_name()?))
        })?;
        let own = self.file.metadata().ok()?;
        let is_own = |path: &&Path| {
            path.symlink_metadata().is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino()))
        };
        let directory = resolved.ancestors().skip(1).find(is_own)?;
        Some(resolved.strip_prefix(directory).ok()?.as_os_str().as_bytes().to_vec())
    }

    /// Returns the name in this directory of a path that leads back into it by its text alone. Reads nothing of what the
    /// name lists, so that names can be judged that are not followed.
    pub(super) fn name_by_text(&self, name: &[u8]) -> Option<Vec<u8>> {
        let own = std::path::absolute(self.path.as_ref()?.join(".")).ok()?;
        let full = plain_path(&own.join(OsStr::from_bytes(name)));
        let inside = |own: &Path| Some(full.strip_prefix(own).ok()?.as_os_str().as_bytes().to_vec());
        inside(&plain_path(&own)).or_else(|| inside(&own.canonicalize().ok()?))
    }
}

/// Returns `.` for an empty path, which the parent of a bare file name is.
fn or_current(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Removes `.` and `..` from an absolute path, without regard to links.
fn plain_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(target_os = "linux")]
fn beneath(directory: &File, name: &[u8], flags: OFlags) -> rustix::io::Result<File> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match retry_on_intr(|| rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve)) {
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
    openat(directory, name, flags | OFlags::NOFOLLOW).map(File::from)
}

fn openat(
    directory: impl AsFd,
    path: impl rustix::path::Arg + Copy,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    retry_on_intr(|| rustix::fs::openat(&directory, path, flags, Mode::empty()))
}
