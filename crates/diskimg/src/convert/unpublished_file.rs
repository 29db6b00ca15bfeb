//! A file that appears complete and durable, or never.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use diskimg_core::{Error, ErrorKind, Remedy, Result};
use tempfile::NamedTempFile;

/// A new file without its name.
///
/// If the system supports it, the file has no name until it is published, so that even a killed process leaves
/// nothing. Otherwise it has a temporary name in the directory of the target, which is removed when this is dropped.
pub(super) struct UnpublishedFile {
    target: PathBuf,
    overwrite: bool,
    name: FileName,
}

enum FileName {
    #[cfg(target_os = "linux")]
    Nameless(File),
    Named(NamedTempFile),
}

impl UnpublishedFile {
    /// Creates a file that will become `target`.
    ///
    /// # Errors
    /// If `target` exists and must not be replaced, or its directory cannot be written.
    pub(super) fn new(target: &Path, overwrite: bool) -> Result<Self> {
        let target = real_target(target, overwrite)?;
        #[cfg(target_os = "linux")]
        if let Some(file) = nameless(directory_of(&target)) {
            return Ok(Self { target, overwrite, name: FileName::Nameless(file) });
        }
        let named = named(&target).map_err(|e| about(e, &target))?;
        Ok(Self { target, overwrite, name: FileName::Named(named) })
    }

    /// Another handle of the file.
    pub(super) fn file(&self) -> Result<File> {
        self.name.file().try_clone().map_err(|e| about(e, &self.target))
    }

    /// Returns true if a file exists that this one will replace.
    pub(super) fn replaces(&self) -> bool {
        self.overwrite && self.target.symlink_metadata().is_ok()
    }

    /// Gives the file its name. If `durable`, the name is on disk when this returns; the caller syncs the data before.
    pub(super) fn publish(self, durable: bool) -> Result<()> {
        let Self { target, overwrite, name } = self;
        let publish = || {
            #[cfg(unix)]
            if overwrite {
                keep_access(name.file(), &target)?;
            }
            match name {
                #[cfg(target_os = "linux")]
                FileName::Nameless(file) => link(&file, &target, overwrite)?,
                FileName::Named(named) if overwrite => drop(named.persist(&target)?),
                FileName::Named(named) => drop(named.persist_noclobber(&target)?),
            }
            if durable { sync_directory(directory_of(&target)) } else { Ok(()) }
        };
        publish().map_err(|e| about(e, &target))
    }
}

impl FileName {
    fn file(&self) -> &File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => file,
            Self::Named(named) => named.as_file(),
        }
    }
}

/// The path to write, with symbolic links resolved if the file exists. Only regular files are replaced: a file in place
/// of `/dev/null` would harm the whole system.
fn real_target(target: &Path, overwrite: bool) -> Result<PathBuf> {
    match target.symlink_metadata() {
        Err(_) => Ok(target.to_owned()),
        Ok(_) if !overwrite => Err(exists(target)),
        Ok(_) if target.metadata().is_ok_and(|there| !there.is_file()) => Err(not_a_file(target)),
        #[allow(clippy::disallowed_methods, reason = "the path is from the caller, not from an image")]
        Ok(_) => std::fs::canonicalize(target).map_err(|e| about(e, target)),
    }
}

fn not_a_file(target: &Path) -> Error {
    Error::new(ErrorKind::InvalidInput)
        .file(format!("target '{}'", target.display()))
        .expected("a regular file, a block device, or a new name")
        .because("only regular files are replaced")
}

pub(super) fn exists(target: &Path) -> Error {
    about(io::Error::from(io::ErrorKind::AlreadyExists), target)
        .with_kind(ErrorKind::InvalidInput)
        .with_remedy(Remedy::Force)
}

fn about(error: io::Error, target: &Path) -> Error {
    Error::from(error).file(format!("target '{}'", target.display()))
}

fn directory_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The mode of a new file before the umask of the process.
#[cfg(unix)]
const MODE: u32 = 0o666;

#[cfg(target_os = "linux")]
fn nameless(directory: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let fd = openat(CWD, directory, flags, Mode::from_raw_mode(MODE)).ok()?;
    // Without /proc the file could never get a name.
    let proc = descriptor_path(&fd);
    rustix::fs::access(&proc, rustix::fs::Access::EXISTS).ok()?;
    Some(fd.into())
}

#[cfg(target_os = "linux")]
fn descriptor_path(fd: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

#[cfg(target_os = "linux")]
fn link(file: &File, target: &Path, overwrite: bool) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    let proc = descriptor_path(file);
    let link_as = |name: &Path| linkat(CWD, &proc, CWD, name, AtFlags::SYMLINK_FOLLOW);
    match link_as(target) {
        Err(rustix::io::Errno::EXIST) if overwrite => {}
        other => return Ok(other?),
    }
    // A link never replaces a name: link to a free name and rename it.
    let directory = directory_of(target);
    let placed =
        tempfile::Builder::new().prefix(".diskimg-").make_in(directory, |name| Ok(link_as(name)?))?;
    placed.into_temp_path().persist(target).map_err(|e| e.error)
}

fn named(target: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(MODE));
    builder.prefix(".diskimg-").tempfile_in(directory_of(target))
}

/// Gives a file that replaces `target` its owner and mode, so that a private file stays private.
#[cfg(unix)]
fn keep_access(file: &File, target: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Ok(there) = target.metadata() else { return Ok(()) };
    // Only a privileged process can change the owner; otherwise it stays that of the process.
    let _ = fchown(file, Some(there.uid()), Some(there.gid()));
    file.set_permissions(there.permissions())
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // File systems that cannot sync a directory order names and data themselves.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn unpublished_file_leaves_nothing_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        drop(UnpublishedFile::new(&dir.path().join("disk"), false).unwrap());
        let named = named(&dir.path().join("disk")).unwrap();
        drop(UnpublishedFile {
            target: dir.path().join("disk"),
            overwrite: false,
            name: FileName::Named(named),
        });
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn existing_file_is_replaced_only_if_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        std::fs::write(&target, b"old").unwrap();
        let error = UnpublishedFile::new(&target, false).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let new = UnpublishedFile::new(&target, true).unwrap();
        io::Write::write_all(&mut new.file().unwrap(), b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        new.publish(true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["disk"]);
    }

    #[test]
    #[cfg(unix)]
    fn private_file_is_replaced_by_a_private_one() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        std::fs::write(&target, b"old").unwrap();
        for mode in [0o600, 0o640, 0o666] {
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).unwrap();
            UnpublishedFile::new(&target, true).unwrap().publish(false).unwrap();
            assert_eq!(target.metadata().unwrap().permissions().mode() & 0o7777, mode);
        }
    }

    #[test]
    #[cfg(unix)]
    fn only_regular_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        for target in [socket.as_path(), &link, dir.path()] {
            let error = UnpublishedFile::new(target, true).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(names(dir.path()).len(), 2);
    }

    #[test]
    fn file_that_appeared_during_the_write_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        let new = UnpublishedFile::new(&target, false).unwrap();
        std::fs::write(&target, b"theirs").unwrap();
        assert!(new.publish(false).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"theirs");
    }
}
