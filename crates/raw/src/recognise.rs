//! Recognising the content of a raw disk. The result is a hint, never a format.

use diskimg_core::{BlockSource, Result, zeros};

use crate::content::Content;
use crate::head::read_head;
use crate::{optical, partitions, superblocks};

/// Recognises the content of a disk by its first [`HEAD`](crate::HEAD) bytes.
///
/// `None` does not mean that the disk is invalid: it may be encrypted or have unknown content.
///
/// # Errors
/// The errors of reading.
pub fn recognise(source: &dyn BlockSource) -> Result<Option<Content>> {
    Ok(recognise_head(&read_head(source)?, Some(source.size())))
}

/// Recognises the content of a disk by its first bytes, and its size in bytes if that is known.
///
/// `head` should be [`HEAD`](crate::HEAD) bytes or the whole disk: anything deeper is not recognised, and
/// [`Content::Zeros`] refers to the given bytes only. 64 KiB suffice for everything but btrfs and `ReiserFS`.
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
    // A file system on the whole disk is checked before partitions, because the boot sectors of FAT and NTFS end like
    // an MBR. On a disk with an MBR, deeper superblocks may be remains of an earlier use.
    let disc = optical::recognise(head);
    match disc {
        Some(Content::Udf) | None => {}
        Some(_) if optical::later_partition(head, size).is_some() => {
            return Some(if partitions::is_gpt(head) { Content::Gpt } else { Content::Mbr });
        }
        some => return some,
    }
    if partitions::is_gpt(head) {
        return Some(Content::Gpt);
    }
    if let Some(name) = superblocks::boot_sector(head) {
        return Some(Content::FileSystem(name));
    }
    // UDF with an MBR is a hard disk or memory stick, not a disc.
    match (partitions::is_mbr(head, size), disc) {
        (true, Some(_)) => Some(Content::FileSystem("udf")),
        (true, None) => Some(Content::Mbr),
        (false, Some(disc)) => Some(disc),
        (false, None) if !head.is_empty() && zeros::is_zero(head) => Some(Content::Zeros),
        (false, None) => superblocks::superblock(head).map(Content::FileSystem),
    }
}

#[cfg(test)]
mod tests;
