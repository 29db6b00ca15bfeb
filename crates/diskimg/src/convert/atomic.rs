//! A file that appears whole and durable, or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use diskimg_core::{Batch, BlockSink, Error, HostRange, Remedy, Result, SinkProperties};
use std::ops::Range;
use tempfile::NamedTempFile;

use super::sibling_files::Part;

/// A new file that has no name yet, or only a temporary one beside its own.
///
/// Where the system can, it has no name at all until it is published: not even a kill leaves anything
/// behind. Elsewhere a temporary name beside the target is removed when this is dropped.
pub(super) struct Unpublished {
    target: PathBuf,
    overwrite: bool,
    state: State,
}

enum State {
    #[cfg(target_os = "linux")]
    Nameless(File),
    Named(NamedTempFile),
}

impl Unpublished {
    /// A new file that will become `target`.
    ///
    /// # Errors
    /// When `target` exists and may not be overwritten, or its directory cannot be written.
    pub(super) fn new(target: &Path, overwrite: bool) -> Result<Self> {
        let target = real_target(target, overwrite)?;
        #[cfg(target_os = "linux")]
        if let Some(file) = nameless(directory_of(&target)) {
            return Ok(Self { target, overwrite, state: State::Nameless(file) });
        }
        let named = named(&target).map_err(|e| about(e, &target))?;
        Ok(Self { target, overwrite, state: State::Named(named) })
    }

    /// Another handle of the file, for writing it.
    pub(super) fn file(&self) -> Result<File> {
        let file = match &self.state {
            #[cfg(target_os = "linux")]
            State::Nameless(file) => file.try_clone(),
            State::Named(named) => named.as_file().try_clone(),
        };
        file.map_err(|e| about(e, &self.target))
    }

    /// Returns true if there is a file that this one will replace.
    pub(super) fn replaces(&self) -> bool {
        self.overwrite && self.target.symlink_metadata().is_ok()
    }

    /// Gives the file its name. Its contents should be on disk by now if `durable`: then the name is too when
    /// this returns.
    pub(super) fn publish(self, durable: bool) -> Result<()> {
        if self.overwrite {
            self.file()
                .and_then(|file| keep_access(&file, &self.target).map_err(|e| about(e, &self.target)))?;
        }
        let target = self.target;
        match self.state {
            #[cfg(target_os = "linux")]
            State::Nameless(file) => link(&file, &target, self.overwrite),
            State::Named(named) if self.overwrite => named.persist(&target).map(drop).map_err(|e| e.error),
            State::Named(named) => named.persist_noclobber(&target).map(drop).map_err(|e| e.error),
        }
        .map_err(|e| about(e, &target))?;
        if durable {
            sync_directory(directory_of(&target)).map_err(|e| about(e, &target))?;
        }
        Ok(())
    }
}

/// The name to write: through symbolic links if the file is there. Only a regular file is ever replaced: a
/// file in the place of `/dev/null` would harm the whole system.
fn real_target(target: &Path, overwrite: bool) -> Result<PathBuf> {
    match target.symlink_metadata() {
        Err(_) => Ok(target.to_owned()),
        Ok(_) if !overwrite => Err(exists(target)),
        Ok(_) if target.metadata().is_ok_and(|there| !there.is_file()) => Err(no_file(target)),
        #[allow(clippy::disallowed_methods, reason = "a path of the caller's own, not one from an image")]
        Ok(_) => std::fs::canonicalize(target).map_err(|e| about(e, target)),
    }
}

fn no_file(target: &Path) -> Error {
    Error::new(diskimg_core::ErrorKind::InvalidInput)
        .field(format!("target '{}'", target.display()))
        .expected("a regular file, a block device, or a new name")
        .because("what is there cannot be replaced")
}

pub(super) fn exists(target: &Path) -> Error {
    about(io::Error::from(io::ErrorKind::AlreadyExists), target)
        .with_kind(diskimg_core::ErrorKind::InvalidInput)
        .with_remedy(Remedy::Force)
}

fn about(error: io::Error, target: &Path) -> Error {
    Error::from(error).field(format!("target '{}'", target.display()))
}

fn directory_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The mode of a new file before the process's mask, as `open` has it.
#[cfg(target_os = "linux")]
const MODE: u32 = 0o666;

#[cfg(target_os = "linux")]
fn nameless(directory: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let fd = openat(CWD, directory, flags, Mode::from_raw_mode(MODE)).ok()?;
    // Without /proc the file could never be given a name.
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
    // A link never replaces a name: take one that is free and rename it.
    let directory = directory_of(target);
    let placed =
        tempfile::Builder::new().prefix(".diskimg-").make_in(directory, |name| Ok(link_as(name)?))?;
    placed.into_temp_path().persist(target).map_err(|e| e.error)
}

#[cfg(unix)]
fn named(target: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".diskimg-").permissions(permissions).tempfile_in(directory_of(target))
}

#[cfg(not(unix))]
fn named(target: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".diskimg-").tempfile_in(directory_of(target))
}

/// Gives a file that replaces `target` its owner and mode: what was private stays so.
#[cfg(unix)]
fn keep_access(file: &File, target: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Ok(there) = target.metadata() else { return Ok(()) };
    // Only a privileged process may give a file away; any other keeps what it has made.
    let _ = fchown(file, Some(there.uid()), Some(there.gid()));
    file.set_permissions(there.permissions())
}

#[cfg(not(unix))]
fn keep_access(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some file systems cannot sync a directory; they order names and data by themselves.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A sink whose file gets its name when it is finished.
pub(super) struct Publishing {
    pub(super) sink: Box<dyn BlockSink>,
    pub(super) file: Unpublished,
    pub(super) part: Part,
    pub(super) durable: bool,
}

impl BlockSink for Publishing {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.sink.write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.sink.zero(range)
    }
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.sink.copy_from(offset, from)
    }
    fn properties(&self) -> SinkProperties {
        self.sink.properties()
    }
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        self.sink.batch()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        let this = *self;
        let finished = this.sink.finish().and_then(|()| this.part.publish(this.file, this.durable));
        if finished.is_err() {
            this.part.withdraw();
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn names(directory: &Path) -> Vec<String> {
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn dropped_unpublished_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        drop(Unpublished::new(&dir.path().join("disk"), false).unwrap());
        let named = named(&dir.path().join("disk")).unwrap();
        drop(Unpublished { target: dir.path().join("disk"), overwrite: false, state: State::Named(named) });
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn publishing_forwards_the_properties_of_its_sink() {
        let dir = tempfile::tempdir().unwrap();
        diskimg_core::conformance::forwards_properties(&|sink| {
            let file = Unpublished::new(&dir.path().join("disk"), false).unwrap();
            Box::new(Publishing { sink, file, part: Part::Image(Arc::default()), durable: false })
        });
    }

    #[test]
    fn an_existing_file_is_kept_unless_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        std::fs::write(&target, b"old").unwrap();
        let error = Unpublished::new(&target, false).err().unwrap();
        assert_eq!(error.kind(), diskimg_core::ErrorKind::InvalidInput);
        let new = Unpublished::new(&target, true).unwrap();
        io::Write::write_all(&mut new.file().unwrap(), b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        new.publish(true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["disk"]);
    }

    #[test]
    #[cfg(unix)]
    fn a_private_file_is_replaced_by_a_private_one() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        std::fs::write(&target, b"old").unwrap();
        for mode in [0o600, 0o640, 0o666] {
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).unwrap();
            Unpublished::new(&target, true).unwrap().publish(false).unwrap();
            assert_eq!(target.metadata().unwrap().permissions().mode() & 0o7777, mode);
        }
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_regular_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        for target in [socket.as_path(), &link, dir.path()] {
            let error = Unpublished::new(target, true).err().unwrap();
            assert_eq!(error.kind(), diskimg_core::ErrorKind::InvalidInput);
        }
        assert_eq!(names(dir.path()).len(), 2);
    }

    #[test]
    fn a_file_that_appeared_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        let new = Unpublished::new(&target, false).unwrap();
        std::fs::write(&target, b"theirs").unwrap();
        assert!(new.publish(false).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"theirs");
    }
}
