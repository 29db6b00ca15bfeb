//! Opening, reading and writing on Unix.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::file_status::{FileStamp, HostFileKind, OpenMode};

/// Opens a file for reading. Does not wait for the writer of a FIFO.
pub(crate) fn open_read(path: &Path) -> io::Result<File> {
    open(path, OFlags::empty())
}

/// Opens an existing file for reading and, if `write`, for writing. A block device can be opened exclusively, which
/// fails with `EBUSY` if it is mounted or otherwise claimed.
pub(crate) fn open_write(path: &Path, write: bool, exclusive: bool) -> io::Result<File> {
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    let exclusive = if exclusive { OFlags::EXCL } else { OFlags::empty() };
    let flags = access | exclusive | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?))
}

/// Opens a file for reading with additional flags.
pub(super) fn open(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    Ok(File::from(rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?))
}

/// Returns true if `path` is a block device.
pub(crate) fn is_block_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Returns true if `path` is a socket, which cannot be opened.
pub(crate) fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Returns the kind of an open file.
pub(crate) fn kind(file: &File) -> io::Result<HostFileKind> {
    let metadata = file.metadata()?;
    let file_type = metadata.file_type();
    if file_type.is_file() {
        return Ok(HostFileKind::Regular(metadata.len()));
    }
    if file_type.is_block_device() {
        let mut file = file;
        return Ok(HostFileKind::Device(file.seek(SeekFrom::End(0))?));
    }
    let kinds = [
        (file_type.is_dir(), "a directory", Some(Errno::ISDIR)),
        (file_type.is_fifo(), "a pipe", Some(Errno::SPIPE)),
        (file_type.is_socket(), "a socket", Some(Errno::SPIPE)),
        (file_type.is_char_device(), "a character device", None),
    ];
    let kind = kinds.into_iter().find(|(is_it, ..)| *is_it);
    let (_, name, errno) = kind.unwrap_or((true, "not a regular file", None));
    Ok(HostFileKind::Other(name, errno.map(Errno::raw_os_error)))
}

pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buf, offset)
}

pub(crate) fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(data, offset)
}

/// Returns the calls that an open file accepts.
pub(crate) fn open_mode(file: &File) -> io::Result<OpenMode> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    let access = flags & OFlags::RWMODE;
    #[cfg(target_os = "linux")]
    let is_path = flags.contains(OFlags::PATH);
    #[cfg(not(target_os = "linux"))]
    let is_path = false;
    Ok(OpenMode {
        reads: access != OFlags::WRONLY && !is_path,
        writes: access != OFlags::RDONLY && !is_path,
        appends: flags.contains(OFlags::APPEND),
    })
}

/// Returns the attributes that change when the file is modified.
pub(crate) fn stamp(file: &File) -> io::Result<FileStamp> {
    let metadata = file.metadata()?;
    Ok(FileStamp {
        len: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        blocks: metadata.blocks(),
    })
}

/// Returns true if the error means that the system does not support the call, and not that the call failed.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    // `OPNOTSUPP` and `NOTSUP` are equal on Linux only. `PERM` comes from seccomp filters and append-only files,
    // `TXTBSY` and `ISDIR` from files that do not support the call.
    let unsupported = [
        Errno::OPNOTSUPP,
        Errno::NOTSUP,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::NODEV,
        Errno::XDEV,
        Errno::BADF,
        Errno::PERM,
        Errno::TXTBSY,
        Errno::ISDIR,
        Errno::NOTTY,
    ];
    error.kind() == io::ErrorKind::Unsupported
        || error
            .raw_os_error()
            .is_some_and(|code| unsupported.iter().any(|errno| errno.raw_os_error() == code))
}
