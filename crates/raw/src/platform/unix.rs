//! Opening, reading and writing on Unix.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Kind, Stamp};

/// Opens for reading, and does not wait for whoever writes into a FIFO.
pub(crate) fn open_read(path: &Path) -> io::Result<File> {
    open(path, OFlags::empty())
}

pub(super) fn open(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Whether `path` is a socket: the one kind of file that cannot even be opened.
pub(crate) fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

pub(crate) fn kind(file: &File) -> io::Result<Kind> {
    let metadata = file.metadata()?;
    let file_type = metadata.file_type();
    Ok(if file_type.is_file() {
        Kind::Regular(metadata.len())
    } else if file_type.is_block_device() {
        let mut file = file;
        Kind::Device(file.seek(SeekFrom::End(0))?)
    } else if file_type.is_dir() {
        Kind::Other("a directory")
    } else if file_type.is_fifo() {
        Kind::Other("a pipe")
    } else if file_type.is_socket() {
        Kind::Other("a socket")
    } else if file_type.is_char_device() {
        Kind::Other("a character device")
    } else {
        Kind::Other("no regular file")
    })
}

pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buf, offset)
}

pub(crate) fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(data, offset)
}

/// Whether every write goes to the end, whatever offset it names.
pub(crate) fn is_append(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(file)?.contains(OFlags::APPEND))
}

pub(crate) fn stamp(file: &File) -> io::Result<Stamp> {
    let metadata = file.metadata()?;
    Ok(Stamp {
        len: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        blocks: metadata.blocks(),
    })
}

/// Whether the system refused because it cannot do this here, rather than because it failed.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    // `OPNOTSUPP` and `NOTSUP` are one number on Linux, two elsewhere; `PERM` comes from seccomp filters and
    // append-only files, `TXTBSY` and `ISDIR` from files the call is not made for.
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
