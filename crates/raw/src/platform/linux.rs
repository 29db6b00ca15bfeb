//! Holes, allocation and copies inside the kernel, on Linux.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, IFlags, Mode, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

use super::file_status::SeekResult;

/// Opens a file for direct I/O.
pub(crate) fn open_direct(path: &Path) -> io::Result<File> {
    super::unix::open(path, OFlags::DIRECT)
}

/// Opens the same file again for reading and writing, with direct or buffered I/O.
pub(crate) fn reopen(file: &File, direct: bool) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let direct = if direct { OFlags::DIRECT } else { OFlags::empty() };
    let flags = OFlags::RDWR | OFlags::CLOEXEC | direct;
    Ok(File::from(rustix::io::retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty()))?))
}

/// Returns true if this open file uses direct I/O. With `Some`, changes that first.
pub(crate) fn set_direct(file: &File, direct: Option<bool>) -> io::Result<bool> {
    let mut flags = rustix::fs::fcntl_getfl(file)?;
    if let Some(direct) = direct {
        if direct != flags.contains(OFlags::DIRECT) {
            flags.set(OFlags::DIRECT, direct);
            rustix::fs::fcntl_setfl(file, flags)?;
        }
    }
    Ok(flags.contains(OFlags::DIRECT))
}

/// Finds the start of the data at or after `offset`.
pub(crate) fn next_data(file: &File, offset: u64) -> io::Result<SeekResult> {
    next(file, SeekFrom::Data(offset))
}

/// Finds the start of the hole at or after `offset`.
pub(crate) fn next_hole(file: &File, offset: u64) -> io::Result<SeekResult> {
    next(file, SeekFrom::Hole(offset))
}

fn next(file: &File, from: SeekFrom) -> io::Result<SeekResult> {
    match rustix::fs::seek(file, from) {
        Ok(at) => Ok(SeekResult::At(at)),
        Err(Errno::NXIO) => Ok(SeekResult::Nowhere),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::SPIPE) => Ok(SeekResult::Unknown),
        Err(error) => Err(error.into()),
    }
}

/// Deallocates the range. The length of the file stays.
pub(crate) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
}

/// Makes the range read as zeros and keeps it allocated; grows the file to the end of the range.
pub(crate) fn zero_range(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::ZERO_RANGE, offset, len)
}

/// Allocates the range without changing its bytes; grows the file to the end of the range.
pub(crate) fn allocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::empty(), offset, len)
}

fn fallocate(file: &File, flags: FallocateFlags, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, flags, offset, len))?)
}

/// Writes at an offset and waits until the bytes are on stable storage. Returns the number of bytes written.
pub(crate) fn write_through_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    let bytes = [io::IoSlice::new(data)];
    match rustix::io::pwritev2(file, &bytes, offset, ReadWriteFlags::DSYNC) {
        Ok(wrote) => Ok(wrote),
        // Before Linux 4.7.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let wrote = super::unix::write_at(file, data, offset)?;
            file.sync_data()?;
            Ok(wrote)
        }
        Err(error) => Err(error.into()),
    }
}

/// Turns off copy-on-write of an empty file on btrfs. An optimisation: errors are ignored, as in QEMU.
pub(crate) fn set_no_copy_on_write(file: &File) {
    if let Ok(flags) = rustix::fs::ioctl_getflags(file) {
        let _ = rustix::fs::ioctl_setflags(file, flags | IFlags::NOCOW);
    }
}

/// Returns true if copies on the file system of this file share blocks or are made by the server, by its magic number
/// (`linux/magic.h`). An XFS created without shared blocks copies the bytes.
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
    // The type is a signed integer of 32 or 64 bits; the magic numbers are its low 32 bits.
    let is = |magic: u32, kind: i128| kind & 0xFFFF_FFFF == i128::from(magic);
    rustix::fs::fstatfs(file)
        .is_ok_and(|stat| SHARING.iter().any(|magic| is(*magic, i128::from(stat.f_type))))
}

/// Copies at most `len` bytes from file to file; 0 at the end of `from`.
pub(crate) fn copy_range(from: &File, offset: u64, to: &File, target: u64, len: u64) -> io::Result<usize> {
    // The kernel accepts less than 2 GiB per call; multiples of 1 GiB keep reflinks aligned.
    let len = usize::try_from(len.min(1 << 30)).unwrap_or(1 << 30);
    Ok(rustix::io::retry_on_intr(|| {
        let (mut offset, mut target) = (offset, target);
        rustix::fs::copy_file_range(from, Some(&mut offset), to, Some(&mut target), len)
    })?)
}

/// Starts writing the dirty pages of the range without waiting for it. Errors are ignored.
pub(crate) fn start_write_back(file: &File, offset: u64, len: u64) {
    // There is no safe wrapper of `sync_file_range`. For this advice Linux also starts write-back of the dirty pages of
    // the range, and drops only pages that are already clean.
    if let Some(len) = std::num::NonZeroU64::new(len) {
        let _ = rustix::fs::fadvise(file, offset, Some(len), Advice::DontNeed);
    }
}
