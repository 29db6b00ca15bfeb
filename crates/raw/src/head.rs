//! The first bytes of a disk.

use diskimg_core::{BlockSource, Result};

/// The number of bytes of a disk that [`recognise`](crate::recognise) reads. The deepest magic is that of btrfs, which
/// ends at byte 65608.
pub const HEAD: usize = 68 << 10;

/// Reads the first [`HEAD`] bytes of a disk, or all of a smaller one.
pub(crate) fn read_head(source: &dyn BlockSource) -> Result<Vec<u8>> {
    let len = usize::try_from(source.size()).map_or(HEAD, |size| size.min(HEAD));
    let mut head = vec![0; len];
    source.read_at(0, &mut head)?;
    Ok(head)
}

/// Returns a field of `N` bytes at `offset`; `None` past the end of `head`.
pub(crate) fn field<const N: usize>(head: &[u8], offset: usize) -> Option<[u8; N]> {
    head.get(offset..)?.first_chunk().copied()
}

/// Returns true if `magic` is at `offset`.
pub(crate) fn has(head: &[u8], offset: usize, magic: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}
