//! Locks that QEMU takes on image files, so that no two processes use an image in ways that exclude each other.
//!
//! Source: QEMU, `block/file-posix.c`, `raw_apply_lock_bytes` and `raw_check_lock_bytes`. A process announces each
//! permission that it uses, and each that it denies to others, by a shared lock on one byte. Then it checks that no
//! other process has locked a byte that excludes its own use. The locks belong to the open file description
//! (`F_OFD_SETLK`), exist only in the kernel, and change no byte of the file.

use std::fmt::Display;
use std::fs::File;
use std::io;

use diskimg_core::{Error, ErrorKind, Remedy, Result};

use crate::platform;

/// The offset of the byte that announces the use of permission 0.
const USED: u64 = 100;
/// The offset of the byte that announces that permission 0 is denied to others.
const DENIED: u64 = 200;

/// A permission of QEMU: its number and its name in messages (`include/block/block-common.h`, `bdrv_perm_names`).
type Permission = (u64, &'static str);
const CONSISTENT_READ: Permission = (0, "consistent read");
const WRITE: Permission = (1, "write");
const RESIZE: Permission = (3, "resize");

/// The use of an image that a lock announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ImageUse {
    /// Reads metadata, as `qemu-img info` does. Excludes writers, but not exclusive readers.
    Describe,
    /// Reads the disk, as `qemu-img convert` does from its source. Excludes writers, and no reader.
    Read,
    /// Writes the image. Excludes other writers and all readers that exclude writers: `qemu-img` without `-U` and
    /// virtual machines.
    Write,
}

impl ImageUse {
    const fn used(self) -> &'static [Permission] {
        match self {
            Self::Describe => &[],
            Self::Read => &[CONSISTENT_READ],
            Self::Write => &[CONSISTENT_READ, WRITE, RESIZE],
        }
    }

    const fn denied(self) -> &'static [Permission] {
        &[WRITE, RESIZE]
    }

    /// Checks that no other open file excludes this use. A system that does not support locks excludes nothing.
    ///
    /// `name` is the name of the file for the error. The locks of `file` itself are not considered.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] in the words of QEMU.
    pub fn ask(self, file: &File, name: impl Display) -> Result<()> {
        let in_use = |lock: String| {
            let error = Error::new(ErrorKind::InUse)
                .because(format_args!("{lock}. Is another process using the image [{name}]?"));
            if self == Self::Write { error } else { error.with_remedy(Remedy::ShareImage) }
        };
        // A writer is refused for one reason, whichever byte shows it.
        let name_of = |lock: &'static str| if self == Self::Write { WRITE.1 } else { lock };
        let is_locked = |offset| platform::is_locked(file, offset).unwrap_or(false);
        if let Some((_, lock)) = self.used().iter().find(|(bit, _)| is_locked(DENIED.saturating_add(*bit))) {
            return Err(in_use(format!("Failed to get \"{}\" lock", name_of(lock))));
        }
        if let Some((_, lock)) = self.denied().iter().find(|(bit, _)| is_locked(USED.saturating_add(*bit))) {
            let shared = if self == Self::Write { "" } else { "shared " };
            return Err(in_use(format!("Failed to get {shared}\"{}\" lock", name_of(lock))));
        }
        Ok(())
    }
}

/// Locks on an image, held until this is dropped.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use diskimg_core::ErrorKind;
/// use diskimg_raw::{ImageLock, ImageUse};
/// use std::fs::File;
///
/// let path = std::env::temp_dir().join(format!("diskimg-doc-lock-{}", std::process::id()));
/// std::fs::write(&path, [0; 512])?;
/// let (mine, theirs) = (File::open(&path)?, File::open(&path)?);
/// let lock = ImageLock::take(&mine, ImageUse::Write, "disk")?;
/// let error = ImageUse::Read.ask(&theirs, "disk").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InUse);
/// drop(lock);
/// ImageUse::Read.ask(&theirs, "disk")?;
/// # std::fs::remove_file(&path)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ImageLock {
    file: File,
}

impl ImageLock {
    /// Takes the locks for a use of the open file, which must be readable. Where locks are not supported, this does
    /// nothing. `name` is the name of the file for the error.
    ///
    /// The locks belong to the open file description, which duplicates of the handle share: an open file has one
    /// `ImageLock` at a time.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another open file excludes this use; [`ErrorKind::Io`] if the handle cannot be
    /// duplicated.
    pub fn take(file: &File, usage: ImageUse, name: impl Display) -> Result<Self> {
        // Dropped, and thereby unlocked, if the check fails.
        let lock = Self { file: file.try_clone()? };
        let used = usage.used().iter().map(|(bit, _)| USED.saturating_add(*bit));
        let denied = usage.denied().iter().map(|(bit, _)| DENIED.saturating_add(*bit));
        for offset in used.chain(denied) {
            // Only an exclusive lock of another program can refuse this. The check below reports it.
            if platform::lock(&lock.file, offset).is_err_and(|error| is_unsupported(&error)) {
                return Ok(lock);
            }
        }
        usage.ask(&lock.file, name)?;
        Ok(lock)
    }
}

impl Drop for ImageLock {
    /// Releases the locks. Closing the file does not: a process that is being started may still have a duplicate.
    fn drop(&mut self) {
        let _ = platform::unlock(&self.file, USED, DENIED.saturating_sub(USED).saturating_mul(2));
    }
}

/// Returns true unless another lock is the reason for the error.
fn is_unsupported(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
