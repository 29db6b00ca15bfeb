//! Partition tables.
//!
//! Sources: UEFI specification 2.10, section 5 (GPT and its protective MBR).

use crate::head::{field, has};

/// Returns true if there is a GPT header in the second sector, of 512 or 4096 bytes.
pub(crate) fn is_gpt(head: &[u8]) -> bool {
    [512, 4096].into_iter().any(|sector| is_gpt_header(head, sector))
}

fn is_gpt_header(head: &[u8], sector: usize) -> bool {
    let Some(header) = head.get(sector..).filter(|header| has(header, 0, b"EFI PART")) else {
        return false;
    };
    let size = field(header, 12).map(u32::from_le_bytes);
    let place = field(header, 24).map(u64::from_le_bytes);
    size.and_then(|size| usize::try_from(size).ok()).is_some_and(|size| (92..=sector).contains(&size))
        && place == Some(1)
}

/// Returns true if the first sector is a master boot record with a partition. Boot sectors of file systems have the same
/// signature.
pub(crate) fn is_mbr(head: &[u8], size: Option<u64>) -> bool {
    let Some(table) = field::<66>(head, 446).filter(|table| table.ends_with(&[0x55, 0xAA])) else {
        return false;
    };
    let (entries, _) = table.as_chunks::<16>();
    entries.iter().all(|entry| matches!(entry.first(), Some(0 | 0x80)))
        && entries.iter().any(|entry| is_partition(entry, size))
}

fn is_partition(entry: &[u8; 16], size: Option<u64>) -> bool {
    let kind = field::<1>(entry, 4).map_or(0, u8::from_le_bytes);
    let first_sector = field(entry, 8).map_or(0, u32::from_le_bytes);
    let sectors = field(entry, 12).map_or(0, u32::from_le_bytes);
    // Sectors have at least 512 bytes, so a partition that starts past the end of the disk is invalid.
    let starts_inside = size.is_none_or(|size| u64::from(first_sector) * 512 < size);
    kind != 0 && sectors != 0 && starts_inside
}
