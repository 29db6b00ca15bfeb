//! What a raw disk begins with: a hint, never a format.

use diskimg_core::{BlockSource, Finding, Result, zeros};

use crate::{optical, partitions, superblocks};

/// Bytes of a disk that [`recognise`] reads. The deepest magic is that of btrfs, which ends at byte 65608.
pub const HEAD: usize = 68 << 10;

/// What a raw disk begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// An ISO 9660 disc, perhaps with Joliet, Rock Ridge, El Torito or a partition table in front (a hybrid).
    Iso9660,
    /// ISO 9660 and UDF on one disc, as Windows is delivered.
    UdfBridge,
    /// A disc with UDF alone.
    Udf,
    /// A CD-ROM with all 2352 bytes of each sector, ISO 9660 within. A guest would need the 2048 of them
    /// that are data.
    RawCdSectors,
    /// A disk with a GUID partition table.
    Gpt,
    /// A disk with a master boot record that has partitions.
    Mbr,
    /// A file system or the like on the whole disk, by the name that `blkid` has for it: `ext4`, `ntfs`.
    FileSystem(&'static str),
    /// Nothing yet: all zeros as far as was looked.
    Zeros,
}

impl Content {
    /// A short lower-case name, as JSON output uses it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iso9660 => "iso9660",
            Self::UdfBridge => "iso9660+udf",
            Self::Udf => "udf",
            Self::RawCdSectors => "cd-sectors",
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
            Self::FileSystem(name) => name,
            Self::Zeros => "zeros",
        }
    }

    /// Whether this is an optical disc, to be attached to a machine as a CD-ROM.
    #[must_use]
    pub const fn is_optical_disc(self) -> bool {
        matches!(self, Self::Iso9660 | Self::UdfBridge | Self::Udf | Self::RawCdSectors)
    }
}

/// Recognises the content of a disk by its first [`HEAD`] bytes.
///
/// `None` says nothing against the disk: it may be encrypted, or hold something that is not known here.
///
/// # Errors
/// Those of reading.
pub fn recognise(source: &dyn BlockSource) -> Result<Option<Content>> {
    Ok(recognise_head(&read_head(source)?, Some(source.size())))
}

/// Recognises the content of a disk by the bytes it begins with, and its size in bytes if that is known.
///
/// `head` is best [`HEAD`] bytes or the whole disk: what lies deeper is not seen, and [`Content::Zeros`] is
/// said of as much as was given. 64 KiB see everything but btrfs and `ReiserFS`.
///
/// ```
/// use diskimg_raw::{Content, recognise_head};
/// let mut head = vec![0; 65536];
/// assert_eq!(recognise_head(&head, None), Some(Content::Zeros));
/// head[32769..32774].copy_from_slice(b"CD001");
/// assert!(recognise_head(&head, None).is_some_and(Content::is_optical_disc));
/// ```
#[must_use]
pub fn recognise_head(head: &[u8], size: Option<u64>) -> Option<Content> {
    // A file system on the whole disk comes before the partitions: the boot sectors of FAT and NTFS end
    // like an MBR. Behind an MBR, what stands deeper may be left over from the time before it.
    let disc = optical::recognise(head);
    match disc {
        Some(Content::Udf) | None => {}
        some => return some,
    }
    if partitions::is_gpt(head) {
        return Some(Content::Gpt);
    }
    if let Some(name) = superblocks::boot_sector(head) {
        return Some(Content::FileSystem(name));
    }
    // UDF on a hard disk or memory stick carries an MBR, and then it is no disc.
    match (partitions::is_mbr(head, size), disc) {
        (true, Some(_)) => Some(Content::FileSystem("udf")),
        (true, None) => Some(Content::Mbr),
        (false, Some(disc)) => Some(disc),
        (false, None) if !head.is_empty() && zeros::is_zero(head) => Some(Content::Zeros),
        (false, None) => superblocks::superblock(head).map(Content::FileSystem),
    }
}

/// What a careful importer should know about the content of a disk of `size` bytes that begins with `head`:
/// a disc that was cut short, or that contradicts itself.
#[must_use]
pub fn findings(head: &[u8], size: u64) -> Vec<Finding> {
    optical::findings(head, size)
}

pub(crate) fn read_head(source: &dyn BlockSource) -> Result<Vec<u8>> {
    let len = usize::try_from(source.size()).map_or(HEAD, |size| size.min(HEAD));
    let mut head = vec![0; len];
    source.read_at(0, &mut head)?;
    Ok(head)
}

/// A field of `N` bytes at `offset`; `None` behind the end of `head`.
pub(crate) fn field<const N: usize>(head: &[u8], offset: usize) -> Option<[u8; N]> {
    head.get(offset..)?.first_chunk().copied()
}

/// Whether `magic` stands at `offset`.
pub(crate) fn has(head: &[u8], offset: usize, magic: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
