//! Holes, allocation and copies inside the kernel, on Linux.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::Next;

/// Opens for reading past the page cache, where the file system does that.
pub(crate) fn open_direct(path: &Path) -> io::Result<File> {
    super::unix::open(path, OFlags::DIRECT)
}

/// The same file once more, for reading and writing, past the page cache or through it.
pub(crate) fn reopen(file: &File, direct: bool) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let direct = if direct { OFlags::DIRECT } else { OFlags::empty() };
    Ok(File::from(rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC | direct, Mode::empty())?))
}

/// Whether reads and writes of this open file go past the page cache. With `Some`, changes that first.
pub(crate) fn set_direct(file: &File, direct: Option<bool>) -> io::Result<bool> {
    let mut flags = rustix::fs::fcntl_getfl(file)?;
    if let Some(direct) = direct
        && direct != flags.contains(OFlags::DIRECT)
    {
        flags.set(OFlags::DIRECT, direct);
        rustix::fs::fcntl_setfl(file, flags)?;
    }
    Ok(flags.contains(OFlags::DIRECT))
}

pub(crate) fn next_data(file: &File, offset: u64) -> io::Result<Next> {
    next(file, SeekFrom::Data(offset))
}

pub(crate) fn next_hole(file: &File, offset: u64) -> io::Result<Next> {
    next(file, SeekFrom::Hole(offset))
}

fn next(file: &File, from: SeekFrom) -> io::Result<Next> {
    match rustix::fs::seek(file, from) {
        Ok(at) => Ok(Next::At(at)),
        Err(Errno::NXIO) => Ok(Next::Nowhere),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::SPIPE) => Ok(Next::Unknown),
        Err(error) => Err(error.into()),
    }
}

/// Gives the blocks back; the length stays.
pub(crate) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
}

/// Makes the range read as zeros and keeps it allocated; grows the file to the end of the range.
pub(crate) fn zero_range(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::ZERO_RANGE, offset, len)
}

/// Allocates what is not allocated yet, and changes no byte; grows the file to the end of the range.
pub(crate) fn allocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::empty(), offset, len)
}

fn fallocate(file: &File, flags: FallocateFlags, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, flags, offset, len))?)
}

/// Whether copies on this file's system share blocks, or are done by the server: by its magic number
/// (`linux/magic.h`). XFS may have been made without shared blocks; it then copies as any other.
pub(crate) fn shares_blocks(file: &File) -> bool {
    const SHARING: [u32; 9] = [
        0x9123_683E, // btrfs
        0x5846_5342, // XFS
        0xCA45_1A4E, // bcachefs
        0x7461_636F, // OCFS2
        0x2FC1_2FC1, // ZFS
        0x0000_6969, // NFS
        0xFF53_4D42, // CIFS
        0xFE53_4D42, // SMB2
        0x00C3_6400, // Ceph
    ];
    // The type is a signed word of either width; the magic numbers are 32 bits of it.
    let is = |magic: u32, kind: i128| kind & 0xFFFF_FFFF == i128::from(magic);
    rustix::fs::fstatfs(file)
        .is_ok_and(|stat| SHARING.iter().any(|magic| is(*magic, i128::from(stat.f_type))))
}

/// Copies at most `len` bytes from file to file; 0 at the end of `from`.
pub(crate) fn copy_range(from: &File, offset: u64, to: &File, target: u64, len: u64) -> io::Result<usize> {
    // The kernel takes less than 2 GiB a call; whole GiBs keep reflinks aligned.
    let len = usize::try_from(len.min(1 << 30)).unwrap_or(1 << 30);
    Ok(rustix::io::retry_on_intr(|| {
        let (mut offset, mut target) = (offset, target);
        rustix::fs::copy_file_range(from, Some(&mut offset), to, Some(&mut target), len)
    })?)
}

/// Starts writing what is dirty in the range, without waiting for it. A hint.
pub(crate) fn start_write_back(file: &File, offset: u64, len: u64) {
    // `sync_file_range` is what this means, but no safe wrapper of it exists. Linux starts write-back of the
    // dirty pages of the range for this advice too, and drops only those that are clean already.
    if let Some(len) = std::num::NonZeroU64::new(len) {
        let _ = rustix::fs::fadvise(file, offset, Some(len), Advice::DontNeed);
    }
}
