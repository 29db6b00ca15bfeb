//! File systems, volumes and swap areas on a whole disk, by their superblocks.
//!
//! Sources: the Linux kernel's `include/uapi/linux/magic.h` and the `*_fs.h` of each file system; Microsoft's
//! FAT specification 1.03, section 3.1; LVM2's `lib/format_text/layout.h`; `mkswap(8)`.

use crate::head::{field, has};

/// Superblocks identified by a magic of at least four bytes: name, offset in bytes, magic.
const MAGICS: &[(&str, usize, &[u8])] = &[
    ("squashfs", 0, b"hsqs"),
    ("cramfs", 0, &[0x45, 0x3D, 0xCD, 0x28]),
    ("romfs", 0, b"-rom1fs-"),
    ("apfs", 32, b"NXSB"),
    ("erofs", 1024, &[0xE2, 0xE1, 0xF5, 0xE0]),
    ("f2fs", 1024, &[0x10, 0x20, 0xF5, 0xF2]),
    ("hfsplus", 1024, &[b'H', b'+', 0, 4]),
    ("hfsplus", 1024, &[b'H', b'X', 0, 5]),
    // MD RAID members: superblock versions 1.1 and 1.2. Versions 0.90 and 1.0 are at the end of the disk.
    ("linux_raid_member", 0, &[0xFC, 0x4E, 0x2B, 0xA9, 1, 0, 0, 0]),
    ("linux_raid_member", 4096, &[0xFC, 0x4E, 0x2B, 0xA9, 1, 0, 0, 0]),
    ("jfs", 32_768, b"JFS1"),
    ("reiserfs", 65_588, b"ReIsEr"),
    ("btrfs", 65_600, b"_BHRfS_M"),
];

/// File systems with a name at bytes 3 to 10 of their boot sector.
const OEM_NAMES: &[(&str, &[u8])] =
    &[("ntfs", b"NTFS    "), ("exfat", b"EXFAT   "), ("BitLocker", b"-FVE-FS-"), ("ReFS", b"ReFS\0\0\0\0")];

/// Recognises file systems by their boot sector, which may end like a master boot record.
pub(crate) fn boot_sector(head: &[u8]) -> Option<&'static str> {
    let named = OEM_NAMES.iter().find(|(_, oem)| has(head, 3, oem)).map(|(name, _)| *name);
    named.or_else(|| is_fat(head).then_some("vfat"))
}

/// Recognises FAT. It has no magic, so all of its parameter block must be plausible.
fn is_fat(head: &[u8]) -> bool {
    let byte = |at| field::<1>(head, at).map_or(0, u8::from_le_bytes);
    let word = |at| field(head, at).map_or(0, u16::from_le_bytes);
    let long = |at| field(head, at).map_or(0, u32::from_le_bytes);
    let jump = byte(0) == 0xE9 || (byte(0) == 0xEB && byte(2) == 0x90);
    let sectors = if word(19) == 0 { long(32) } else { u32::from(word(19)) };
    jump && matches!(word(11), 512 | 1024 | 2048 | 4096)
        && byte(13).is_power_of_two()
        && word(14) != 0
        && matches!(byte(16), 1 | 2)
        && matches!(byte(21), 0xF0 | 0xF8..=0xFF)
        && sectors > u32::from(word(14))
}

/// Recognises content by its superblock, on a disk without a boot sector and partitions.
pub(crate) fn superblock(head: &[u8]) -> Option<&'static str> {
    if is_xfs(head) {
        return Some("xfs");
    }
    let (by_magic, ext) = (MAGICS.iter().find(|(_, at, magic)| has(head, *at, magic)), ext(head));
    by_magic
        .map(|(name, _, _)| *name)
        .or(ext)
        .or_else(|| is_lvm(head).then_some("LVM2_member"))
        .or_else(|| is_swap(head).then_some("swap"))
}

fn is_xfs(head: &[u8]) -> bool {
    let block_size = field(head, 4).map_or(0, u32::from_be_bytes);
    has(head, 0, b"XFSB") && (512..=65_536).contains(&block_size) && block_size.is_power_of_two()
}

/// Recognises ext2, ext3 and ext4. They share a superblock at byte 1024 with a magic of two bytes; its features
/// distinguish them, as in `blkid`.
fn ext(head: &[u8]) -> Option<&'static str> {
    const HAS_JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    /// The flags of `feature_incompat` that ext3 supports: file types, recovery, meta block groups.
    const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10;
    /// The flags of `feature_ro_compat` that ext3 supports: sparse superblocks, large files, B-trees.
    const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;

    let superblock = head.get(1024..)?;
    let long = |at| field(superblock, at).map_or(0, u32::from_le_bytes);
    let (inodes, log_block_size, revision) = (long(0), long(24), long(76));
    if !has(superblock, 56, &[0x53, 0xEF]) || inodes == 0 || log_block_size > 6 || revision > 1 {
        return None;
    }
    let (compat, incompat, ro_compat) = (long(92), long(96), long(100));
    Some(if incompat & JOURNAL_DEVICE != 0 {
        "jbd"
    } else if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        "ext4"
    } else if compat & HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    })
}

/// Recognises the label of an LVM2 physical volume in one of the first four sectors.
fn is_lvm(head: &[u8]) -> bool {
    [0, 512, 1024, 1536].into_iter().any(|at| has(head, at, b"LABELONE") && has(head, at + 24, b"LVM2 001"))
}

/// Recognises a swap area by its signature at the end of the first page, of any page size.
fn is_swap(head: &[u8]) -> bool {
    [4096, 8192, 16_384, 32_768, 65_536]
        .into_iter()
        .any(|page| has(head, page - 10, b"SWAPSPACE2") || has(head, page - 10, b"SWAP-SPACE"))
}
