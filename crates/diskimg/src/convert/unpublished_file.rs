//! A new file that has no name yet.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use diskimg_core::{Error, ErrorKind, Remedy, Result};

#[cfg(target_os = "linux")]
use super::directory_calls::directory_of;
use super::directory_calls::{exchange, rename_new};
use super::unfinished_files::{TemporaryName, UnfinishedFiles};

/// A new file without its name.
///
/// If the system supports it, the file has no name until it is published, so that even a killed process leaves
/// nothing. Otherwise it has a temporary name in the directory of the target, which is removed when this is dropped.
pub(super) struct UnpublishedFile {
    target: PathBuf,
    overwrite: bool,
    content: FileContent,
    unfinished: UnfinishedFiles,
}

enum FileContent {
    #[cfg(target_os = "linux")]
    Nameless(File),
    Named(File, TemporaryName),
    /// Named and closed.
    Closed(TemporaryName),
}

/// The place of the file that another one replaced.
pub(super) enum ReplacedFile {
    /// It has this temporary name.
    At(PathBuf),
    /// There was none.
    None,
    /// It is gone: the system cannot exchange two files.
    Gone,
}

impl UnpublishedFile {
    /// Creates a file that will become `target`.
    ///
    /// # Errors
    /// If `target` exists and must not be replaced, or its directory cannot be written.
    pub(super) fn new(target: &Path, overwrite: bool, unfinished: &UnfinishedFiles) -> Result<Self> {
        let target = real_target(target, overwrite)?;
        let unfinished = unfinished.clone();
        #[cfg(target_os = "linux")]
        if let Some(file) = nameless(directory_of(&target)) {
            return Ok(Self { target, overwrite, content: FileContent::Nameless(file), unfinished });
        }
        let (name, file) = unfinished.create(&target, create_new).map_err(|e| about(e, &target))?;
        Ok(Self { target, overwrite, content: FileContent::Named(file, name), unfinished })
    }

    /// The path that the file will have, with symbolic links resolved if a file is there.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Another handle of the file.
    ///
    /// # Errors
    /// If there are no handles left, or the file was closed.
    pub(super) fn file(&self) -> Result<File> {
        match &self.content {
            #[cfg(target_os = "linux")]
            FileContent::Nameless(file) => file.try_clone(),
            FileContent::Named(file, _) => file.try_clone(),
            FileContent::Closed(name) => File::options().read(true).write(true).open(name.path()),
        }
        .map_err(|e| about(e, &self.target))
    }

    /// Returns true if a file exists that this one will replace.
    pub(super) fn replaces(&self) -> bool {
        self.overwrite && self.target.symlink_metadata().is_ok()
    }

    /// Closes the file. It has a temporary name from then on.
    pub(super) fn close(self) -> Result<Self> {
        let Self { target, overwrite, content, unfinished } = self;
        let content = content.named(&target, &unfinished).map_err(|e| about(e, &target))?;
        Ok(Self { target, overwrite, content: FileContent::Closed(content), unfinished })
    }

    /// Gives a file that replaces another its owner and mode, so that a private file stays private.
    pub(super) fn keep_access(&self) -> Result<()> {
        #[cfg(unix)]
        if self.overwrite {
            return keep_access(&self.file()?, &self.target).map_err(|e| about(e, &self.target));
        }
        Ok(())
    }

    /// Gives the file its name, which must be free.
    pub(super) fn link(self) -> io::Result<()> {
        match self.content {
            #[cfg(target_os = "linux")]
            FileContent::Nameless(file) => link(&file, &self.target),
            FileContent::Named(_, name) | FileContent::Closed(name) => {
                rename_new(name.path(), &self.target)?;
                name.release();
                Ok(())
            }
        }
    }

    /// Gives the file its name, at once in place of the file that has it, if any.
    pub(super) fn replace(self) -> io::Result<ReplacedFile> {
        let Self { target, overwrite, content, unfinished } = self;
        if !overwrite || target.symlink_metadata().is_err() {
            return Self { target, overwrite, content, unfinished }.link().map(|()| ReplacedFile::None);
        }
        // A link never replaces a name.
        let name = content.named(&target, &unfinished)?;
        if exchange(name.path(), &target)? {
            return Ok(ReplacedFile::At(name.release()));
        }
        std::fs::rename(name.path(), &target)?;
        name.release();
        Ok(ReplacedFile::Gone)
    }
}

impl FileContent {
    /// The temporary name of the file, which gets one if it has none.
    fn named(self, target: &Path, unfinished: &UnfinishedFiles) -> io::Result<TemporaryName> {
        #[cfg(not(target_os = "linux"))]
        let _ = (target, unfinished);
        Ok(match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => unfinished.create(target, |name| link(&file, name))?.0,
            Self::Named(_, name) | Self::Closed(name) => name,
        })
    }
}

/// The path to write, with symbolic links resolved if the file exists. Only regular files are replaced: a file in place
/// of `/dev/null` would harm the whole system.
pub(super) fn real_target(target: &Path, overwrite: bool) -> Result<PathBuf> {
    match target.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target.to_owned()),
        // A name that is too long, among others: only the last step would refuse it.
        Err(error) => Err(about(error, target)),
        Ok(_) if !overwrite => Err(exists(target)),
        Ok(_) if target.metadata().is_ok_and(|there| !there.is_file()) => Err(not_a_file(target)),
        #[allow(clippy::disallowed_methods, reason = "the path is from the caller, not from an image")]
        Ok(_) => std::fs::canonicalize(target).map_err(|e| about(e, target)),
    }
}

fn not_a_file(target: &Path) -> Error {
    let error = Error::new(ErrorKind::InvalidInput)
        .file(format!("target '{}'", target.display()))
        .expected("a regular file, a block device, or a new name")
        .because("only regular files are replaced");
    #[cfg(unix)]
    if target.is_dir() {
        return error.with_os_error(rustix::io::Errno::ISDIR.raw_os_error());
    }
    error
}

pub(super) fn exists(target: &Path) -> Error {
    #[cfg(unix)]
    let error = rustix::io::Errno::EXIST.into();
    #[cfg(not(unix))]
    let error = io::ErrorKind::AlreadyExists.into();
    about(error, target)
}

pub(super) fn about(error: io::Error, target: &Path) -> Error {
    let exists = error.kind() == io::ErrorKind::AlreadyExists;
    let error = Error::from(error).file(format!("target '{}'", target.display()));
    if exists { error.with_kind(ErrorKind::Exists).with_remedy(Remedy::Force) } else { error }
}

/// The mode of a new file before the umask of the process.
#[cfg(unix)]
const MODE: u32 = 0o666;

#[cfg(target_os = "linux")]
fn nameless(directory: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let open = || openat(CWD, directory, flags, Mode::from_raw_mode(MODE));
    let fd = rustix::io::retry_on_intr(open).ok()?;
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
fn link(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, descriptor_path(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

fn create_new(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, MODE);
    options.read(true).write(true).create_new(true).open(path)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn new(target: &Path, overwrite: bool) -> Result<UnpublishedFile> {
        UnpublishedFile::new(target, overwrite, &UnfinishedFiles::default())
    }

    /// A file as on a system where every file has a name.
    fn new_named(target: &Path, overwrite: bool) -> UnpublishedFile {
        let unfinished = UnfinishedFiles::default();
        let (name, file) = unfinished.create(target, create_new).unwrap();
        let content = FileContent::Named(file, name);
        UnpublishedFile { target: target.to_owned(), overwrite, content, unfinished }
    }

    #[test]
    fn unpublished_file_leaves_nothing_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        drop(new(&target, false).unwrap());
        drop(new_named(&target, false));
        drop(new(&target, false).unwrap().close().unwrap());
        drop(new_named(&target, false).close().unwrap());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn existing_file_is_replaced_only_if_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        for named in [false, true] {
            std::fs::write(&target, b"old").unwrap();
            let error = new(&target, false).err().unwrap();
            assert_eq!((error.kind(), error.os_error()), (ErrorKind::Exists, Some(17)));
            let file = if named { new_named(&target, true) } else { new(&target, true).unwrap() };
            io::Write::write_all(&mut file.file().unwrap(), b"new").unwrap();
            assert_eq!(std::fs::read(&target).unwrap(), b"old");
            if let ReplacedFile::At(old) = file.replace().unwrap() {
                assert_eq!(std::fs::read(&old).unwrap(), b"old");
                std::fs::remove_file(old).unwrap();
            }
            assert_eq!(std::fs::read(&target).unwrap(), b"new");
            assert_eq!(names(dir.path()), ["disk"]);
        }
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
            let file = new(&target, true).unwrap();
            file.keep_access().unwrap();
            file.replace().unwrap();
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
            assert_eq!(new(target, true).err().unwrap().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(names(dir.path()).len(), 2);
    }

    #[test]
    fn file_that_appeared_during_the_write_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        for named in [false, true] {
            let file = if named { new_named(&target, false) } else { new(&target, false).unwrap() };
            std::fs::write(&target, b"theirs").unwrap();
            assert!(file.replace().is_err());
            assert_eq!(std::fs::read(&target).unwrap(), b"theirs");
            std::fs::remove_file(&target).unwrap();
        }
    }
}
