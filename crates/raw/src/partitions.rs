//! Partition tables.
//!
//! Sources: UEFI specification 2.10, section 5 (GPT and its protective MBR).

use std::ops::Range;

use diskimg_core::chunks;

use crate::head::{field, has};

/// A partition of at most this many bytes is padding: partitioning tools align partitions to 1 MiB, while `xorriso`
/// pads with less. Our limit.
const PADDING: u64 = 1 << 20;

/// The MBR types of an EFI System partition and of the protective entry of a GPT.
const MBR_EFI_SYSTEM: u8 = 0xEF;
const MBR_PROTECTIVE: u8 = 0xEE;

/// The GPT type of an EFI System partition, C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
const GPT_EFI_SYSTEM: [u8; 16] =
    [0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B];

/// The first letters of `Gap`, in UTF-16: `xorriso` names the partitions that cover unused space `Gap0`, `Gap1`.
const GAP: &[u8] = b"G\0a\0p\0";

/// A partition that may hold data.
pub(crate) struct DataPartition {
    /// Its range in bytes.
    pub(crate) range: Range<u64>,
    /// The byte offset of its entry.
    pub(crate) entry: usize,
}

/// Returns the partitions of the MBR and of the GPT, except EFI System, gap and padding partitions.
pub(crate) fn data_partitions(head: &[u8]) -> Vec<DataPartition> {
    let partitions = mbr_partitions(head).into_iter().chain(gpt_partitions(head));
    partitions
        .filter(|partition| partition.range.end.saturating_sub(partition.range.start) > PADDING)
        .collect()
}

fn mbr_partitions(head: &[u8]) -> Vec<DataPartition> {
    let table = field::<66>(head, 446).filter(|table| table.ends_with(&[0x55, 0xAA]));
    let partition = |index: usize, entry: &[u8]| {
        let kind = field::<1>(entry, 4).map_or(0, u8::from_le_bytes);
        let number = |at| field(entry, at).map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)));
        let start = number(8).saturating_mul(512);
        let range = start..start.saturating_add(number(12).saturating_mul(512));
        let has_data = !matches!(kind, 0 | MBR_EFI_SYSTEM | MBR_PROTECTIVE);
        has_data.then_some(DataPartition { range, entry: index.saturating_mul(16).saturating_add(446) })
    };
    let table = table.unwrap_or([0; 66]);
    let entries = table.chunks_exact(16).enumerate();
    entries.filter_map(|(index, entry)| partition(index, entry)).collect()
}

/// Returns the partitions of a GPT whose entries are in `head`, as they are on most disks.
fn gpt_partitions(head: &[u8]) -> Vec<DataPartition> {
    let Some(sector) = gpt_sector(head) else { return Vec::new() };
    let number = |at: usize| field(head, sector.saturating_add(at)).map_or(0, u64::from_le_bytes);
    let small = |at: usize| field(head, sector.saturating_add(at)).map_or(0, u32::from_le_bytes);
    let bytes = |sectors: u64| sectors.saturating_mul(sector as u64);
    let (count, size) = (small(80) as usize, small(84) as usize);
    let Some(start) = usize::try_from(bytes(number(72))).ok().filter(|_| size >= 128) else {
        return Vec::new();
    };
    let entries = head.get(start..).unwrap_or_default().chunks_exact(size).take(count).enumerate();
    let partition = |index: usize, entry: &[u8]| {
        let kind = field::<16>(entry, 0)?;
        let is_filler = kind == [0; 16] || kind == GPT_EFI_SYSTEM || has(entry, 56, GAP);
        let lba = |at| field(entry, at).map_or(0, u64::from_le_bytes);
        let range = bytes(lba(32))..bytes(lba(40).saturating_add(1));
        let entry = index.saturating_mul(size).saturating_add(start);
        (!is_filler).then_some(DataPartition { range, entry })
    };
    entries.filter_map(|(index, entry)| partition(index, entry)).collect()
}

/// Returns true if there is a GPT header in the second sector, of 512 or 4096 bytes.
pub(crate) fn is_gpt(head: &[u8]) -> bool {
    gpt_sector(head).is_some()
}

/// Returns the size of the sectors of a disk with a GPT.
fn gpt_sector(head: &[u8]) -> Option<usize> {
    [512, 4096].into_iter().find(|sector| is_gpt_header(head, *sector))
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
    chunks::<16, _>(&table).all(|entry| matches!(entry.first(), Some(0 | 0x80)))
        && chunks(&table).any(|entry| is_partition(entry, size))
}

/// Returns the end in bytes of the disk that a partition table describes: of its last partition, and of the copy of a GPT
/// at its end. `None` if there is no table.
pub(crate) fn table_end(head: &[u8]) -> Option<u64> {
    if let Some(sector) = [512, 4096].into_iter().find(|sector| is_gpt_header(head, *sector)) {
        let copy = field(head.get(sector..)?, 32).map(u64::from_le_bytes)?;
        return copy.checked_add(1)?.checked_mul(sector as u64);
    }
    if !is_mbr(head, None) {
        return None;
    }
    let entries = chunks(head.get(446..510)?);
    let ends = entries.filter(|entry| is_partition(entry, None)).map(|entry| {
        let [start, sectors] = [8, 12].map(|at| field(entry, at).map_or(0, u32::from_le_bytes));
        (u64::from(start) + u64::from(sectors)) * 512
    });
    ends.max()
}

/// Returns the least length in bytes of a disk with this head, from the header of its GPT: the copy at the end of the disk.
/// `None` if there is no GPT whose checksum is right. A checksum is no protection against a forged header.
///
/// Source: UEFI specification 2.10, section 5.3.2 (`HeaderSize` at byte 12, `HeaderCRC32` at 16, `AlternateLBA` at 32).
///
/// ```
/// assert_eq!(diskimg_raw::gpt_disk_size(&[0; 1024]), None);
/// ```
#[must_use]
pub fn gpt_disk_size(head: &[u8]) -> Option<u64> {
    let sector = gpt_sector(head)?;
    let header = head.get(sector..)?;
    let size = usize::try_from(field(header, 12).map(u32::from_le_bytes)?).ok()?;
    let mut header = header.get(..size)?.to_vec();
    let sum = field(&header, 16).map(u32::from_le_bytes)?;
    header.get_mut(16..20)?.fill(0);
    let copy = field(&header, 32).map(u64::from_le_bytes)?;
    (crc32(&header) == sum).then(|| copy.checked_add(1)?.checked_mul(sector as u64)).flatten()
}

/// The CRC-32 of ISO 3309, bit by bit: headers are short.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xEDB8_8320 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn is_partition(entry: &[u8; 16], size: Option<u64>) -> bool {
    let kind = field::<1>(entry, 4).map_or(0, u8::from_le_bytes);
    let first_sector = field(entry, 8).map_or(0, u32::from_le_bytes);
    let sectors = field(entry, 12).map_or(0, u32::from_le_bytes);
    // Sectors have at least 512 bytes, so a partition that starts past the end of the disk is invalid.
    let starts_inside = size.is_none_or(|size| u64::from(first_sector) * 512 < size);
    kind != 0 && sectors != 0 && starts_inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_gpt() {
        // The check value of this CRC.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn size_comes_from_a_gpt_with_a_right_checksum() {
        let mut head = vec![0; 8192];
        for sector in [512, 4096] {
            head.fill(0);
            let header = &mut head[sector..];
            header[..8].copy_from_slice(b"EFI PART");
            header[12] = 92;
            header[24] = 1;
            header[32] = 99;
            assert_eq!(gpt_disk_size(&head), None);
            let sum = crc32(&head[sector..sector + 92]);
            head[sector + 16..sector + 20].copy_from_slice(&sum.to_le_bytes());
            assert_eq!(gpt_disk_size(&head), Some(100 * sector as u64));
            head[sector + 33] = 1;
            assert_eq!(gpt_disk_size(&head), None);
        }
        assert_eq!(gpt_disk_size(&head[..4100]), None);
    }
}
