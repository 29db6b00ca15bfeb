//! The temporary files of targets that are being written.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use diskimg_core::{Error, Result};

use super::directory_calls::with_temporary_name;

/// The files of a target that are not finished, for a program that ends without waiting for the conversion: see
/// [`Target::unfinished`](super::Target::unfinished).
///
/// ```
/// use diskimg::Target;
/// use std::time::Duration;
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.qcow2");
/// let target = Target::file(&path, diskimg::driver("qcow2")?.format);
/// let unfinished = target.unfinished();
/// let sink = target.create(Some(1 << 20))?;
/// unfinished.remove(Duration::ZERO);
/// assert!(sink.finish().is_err());
/// assert!(!path.exists());
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct UnfinishedFiles(Arc<SharedNames>);

#[derive(Debug, Default)]
struct SharedNames {
    names: Mutex<TemporaryNames>,
    /// Locked while the files of an image get their names.
    publishing: Mutex<()>,
}

#[derive(Debug, Default)]
struct TemporaryNames {
    paths: BTreeSet<PathBuf>,
    is_removed: bool,
}

impl UnfinishedFiles {
    /// Removes the files. A target that is not complete never appears: its conversion fails as
    /// [`Cancelled`](diskimg_core::ErrorKind::Cancelled). While a complete one gets its name, waits for that, at most for `patience`.
    ///
    /// Most file systems of Linux need no temporary names, and there is nothing to remove.
    pub fn remove(&self, patience: Duration) {
        let started = Instant::now();
        let publishing = loop {
            match self.0.publishing.try_lock() {
                Ok(guard) => break Some(guard),
                Err(TryLockError::Poisoned(guard)) => break Some(guard.into_inner()),
                Err(TryLockError::WouldBlock) if started.elapsed() >= patience => break None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let mut names = self.names();
        names.is_removed = true;
        for path in std::mem::take(&mut names.paths) {
            let _ = std::fs::remove_file(path);
        }
        drop(publishing);
    }

    /// Begins to give files their names.
    ///
    /// # Errors
    /// [`Cancelled`](diskimg_core::ErrorKind::Cancelled) after [`UnfinishedFiles::remove`].
    pub(super) fn publish(&self) -> Result<MutexGuard<'_, ()>> {
        let guard = self.0.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.names().is_removed {
            true => Err(Error::cancelled()),
            false => Ok(guard),
        }
    }

    /// Creates a file with a temporary name in the directory of `target`.
    pub(super) fn create<T>(
        &self,
        target: &Path,
        create: impl FnMut(&Path) -> io::Result<T>,
    ) -> io::Result<(TemporaryName, T)> {
        // Locked until the name is known, so that `remove` misses no file.
        let mut names = self.names();
        if names.is_removed {
            return Err(Error::cancelled().into());
        }
        let (path, made) = with_temporary_name(target, create)?;
        names.paths.insert(path.clone());
        Ok((TemporaryName { path, files: self.clone() }, made))
    }

    fn names(&self) -> MutexGuard<'_, TemporaryNames> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The temporary name of a file, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct TemporaryName {
    path: PathBuf,
    files: UnfinishedFiles,
}

impl TemporaryName {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives up the responsibility for the name: the file has another one, or must stay.
    pub(super) fn release(mut self) -> PathBuf {
        let path = std::mem::take(&mut self.path);
        self.files.names().paths.remove(&path);
        path
    }
}

impl Drop for TemporaryName {
    fn drop(&mut self) {
        if self.files.names().paths.remove(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn removed_files_are_gone_and_no_others_are_created() {
        let dir = tempfile::tempdir().unwrap();
        let (files, target) = (UnfinishedFiles::default(), dir.path().join("disk"));
        let create = |path: &Path| File::create_new(path).map(drop);
        let (one, ()) = files.create(&target, create).unwrap();
        let (kept, ()) = files.create(&target, create).unwrap();
        let kept = kept.release();
        files.clone().remove(Duration::ZERO);
        assert!(!one.path().exists() && kept.exists());
        assert!(files.create(&target, create).is_err());
        assert_eq!(files.publish().unwrap_err().kind(), diskimg_core::ErrorKind::Cancelled);
        drop(one);
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }
}
