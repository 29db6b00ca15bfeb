//! Locks on ranges of bytes that belong to an open file description, on Linux.

use std::fs::File;
use std::io;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, c_int, flock};

/// Takes a shared lock on the byte at `offset`, without waiting.
pub(crate) fn lock(file: &File, offset: u64) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&range(libc::F_RDLCK, offset, 1)?))?;
    Ok(())
}

/// Releases the locks on `len` bytes at `offset`.
pub(crate) fn unlock(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, offset, len)?))?;
    Ok(())
}

/// Returns true if another open file description has locked the byte at `offset`.
pub(crate) fn is_locked(file: &File, offset: u64) -> io::Result<bool> {
    let mut other = range(libc::F_WRLCK, offset, 1)?;
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut other))?;
    Ok(c_int::from(other.l_type) != libc::F_UNLCK)
}

fn range(kind: c_int, offset: u64, len: u64) -> io::Result<flock> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    Ok(flock {
        l_type: kind.try_into().map_err(invalid)?,
        l_whence: libc::SEEK_SET.try_into().map_err(invalid)?,
        l_start: offset.try_into().map_err(invalid)?,
        l_len: len.try_into().map_err(invalid)?,
        // Zero for locks of open file descriptions.
        l_pid: 0,
    })
}
