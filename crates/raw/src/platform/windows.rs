//! Opening, reading and writing on Windows.

use std::fs::File;
use std::io;
use std::os::windows::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::file_status::{FileStamp, HostFileKind, OpenMode};

pub(crate) fn open_read(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(crate) fn open_write(path: &Path, write: bool, _exclusive: bool) -> io::Result<File> {
    File::options().read(true).write(write).open(path)
}

pub(crate) fn is_block_device(_path: &Path) -> bool {
    false
}

pub(crate) fn is_socket(_path: &Path) -> bool {
    false
}

pub(crate) fn kind(file: &File) -> io::Result<HostFileKind> {
    let metadata = file.metadata()?;
    Ok(if metadata.is_file() {
        HostFileKind::Regular(metadata.len())
    } else if metadata.is_dir() {
        HostFileKind::Other("a directory", None)
    } else {
        HostFileKind::Other("not a regular file", None)
    })
}

pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    // Past the end Windows returns an error, Unix returns 0.
    const HANDLE_EOF: i32 = 38;
    match file.seek_read(buf, offset) {
        Err(error) if error.raw_os_error() == Some(HANDLE_EOF) => Ok(0),
        other => other,
    }
}

pub(crate) fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(data, offset)
}

pub(crate) fn open_mode(_file: &File) -> io::Result<OpenMode> {
    Ok(OpenMode { reads: true, writes: true, appends: false })
}

pub(crate) fn stamp(file: &File) -> io::Result<FileStamp> {
    let metadata = file.metadata()?;
    let modified = i64::try_from(metadata.last_write_time()).unwrap_or(i64::MAX);
    Ok(FileStamp { len: metadata.len(), modified: (modified, 0), blocks: 0 })
}

/// Returns true if the error means that the system does not support the call, and not that the call failed.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}
