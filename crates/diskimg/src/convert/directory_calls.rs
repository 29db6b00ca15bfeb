//! Calls that change the names in a directory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The longest name of a file that is repeated in a temporary name. File systems support names of 255 bytes.
const LONGEST_REPEATED: usize = 200;

/// The directory of a file.
pub(super) fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Calls `create` with free names in the directory of `target` until it finds no file there: `.diskimg-` and random
/// characters, then the name of `target`.
pub(super) fn with_temporary_name<T>(
    target: &Path,
    mut create: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    let mut suffix = std::ffi::OsString::from("-");
    suffix.push(target.file_name().filter(|name| name.len() <= LONGEST_REPEATED).unwrap_or_default());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".diskimg-").suffix(&suffix);
    let (made, path) = builder.make_in(directory_of(target), |path| create(path))?.into_parts();
    Ok((path.keep().map_err(|kept| kept.error)?, made))
}

/// Renames a file. Fails if the new name exists.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rename_with(from, to, rustix::fs::RenameFlags::NOREPLACE) {
        Err(error) if is_unsupported(&error) => {}
        other => return other,
    }
    match std::fs::hard_link(from, to) {
        Ok(()) => std::fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without links. Without either call, the check and the rename are two steps.
        Err(_) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(from, to),
    }
}

/// Exchanges two files in one step. Returns false if that is not supported.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    match rename_with(one, other, rustix::fs::RenameFlags::EXCHANGE) {
        Err(error) if is_unsupported(&error) => {}
        exchanged => return exchanged.map(|()| true),
    }
    let _ = (one, other);
    Ok(false)
}

#[cfg(target_os = "linux")]
fn rename_with(from: &Path, to: &Path, flags: rustix::fs::RenameFlags) -> io::Result<()> {
    use rustix::fs::{CWD, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, flags)?)
}

#[cfg(target_os = "linux")]
fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unsupported = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    unsupported.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Waits until the names in a directory are on stable storage. `file` is one of its files. If the directory may not be
/// opened, its whole file system is synced.
#[cfg(unix)]
pub(super) fn sync_directory(directory: &Path, file: &File) -> io::Result<()> {
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // File systems that cannot sync a directory order names and data themselves.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => sync_file_system(file),
        other => other,
    }
}

#[cfg(target_os = "linux")]
fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn sync_file_system(file: &File) -> io::Result<()> {
    file.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_directory(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rename_to_an_existing_name_fails_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        std::fs::write(&one, b"one").unwrap();
        std::fs::write(&other, b"other").unwrap();
        assert_eq!(rename_new(&one, &other).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&other).unwrap(), b"other");
        std::fs::remove_file(&other).unwrap();
        rename_new(&one, &other).unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"one");
        assert!(!one.exists());
    }

    #[test]
    fn temporary_name_names_the_target_unless_it_is_long() {
        let dir = tempfile::tempdir().unwrap();
        for (len, repeated) in [(8, true), (LONGEST_REPEATED, true), (255, false)] {
            let name = "x".repeat(len);
            let (path, ()) =
                with_temporary_name(&dir.path().join(&name), |path| File::create_new(path).map(drop))
                    .unwrap();
            let made = path.file_name().unwrap().to_str().unwrap();
            assert!(made.starts_with(".diskimg-"), "{made}");
            assert_eq!(made.ends_with(&name), repeated, "{made}");
        }
    }
}
