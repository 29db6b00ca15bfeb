//! Systems on which we use no holes and no copies inside the kernel: everything is data, and zeros are written.

use std::fs::File;
use std::io;
use std::path::Path;

use super::file_status::SeekResult;

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn open_direct(_path: &Path) -> io::Result<File> {
    unsupported()
}

pub(crate) fn reopen(_file: &File, _direct: bool) -> io::Result<File> {
    unsupported()
}

pub(crate) fn set_direct(_file: &File, _direct: Option<bool>) -> io::Result<bool> {
    Ok(false)
}

pub(crate) fn next_data(_file: &File, _offset: u64) -> io::Result<SeekResult> {
    Ok(SeekResult::Unknown)
}

pub(crate) fn next_hole(_file: &File, _offset: u64) -> io::Result<SeekResult> {
    Ok(SeekResult::Unknown)
}

pub(crate) fn punch_hole(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    unsupported()
}

pub(crate) fn zero_range(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    unsupported()
}

pub(crate) fn allocate(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    unsupported()
}

pub(crate) fn write_through_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    let wrote = super::write_at(file, data, offset)?;
    file.sync_data()?;
    Ok(wrote)
}

pub(crate) fn set_no_copy_on_write(_file: &File) {}

pub(crate) fn shares_blocks(_file: &File) -> bool {
    false
}

pub(crate) fn copy_range(
    _from: &File,
    _offset: u64,
    _to: &File,
    _target: u64,
    _len: u64,
) -> io::Result<usize> {
    unsupported()
}

pub(crate) fn start_write_back(_file: &File, _offset: u64, _len: u64) {}
