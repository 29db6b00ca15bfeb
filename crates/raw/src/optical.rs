//! Optical discs: ISO 9660 and UDF.
//!
//! Sources: ECMA-119 (ISO 9660), sections 8.1 to 8.4, for volume descriptors; ECMA-167, part 2, section 9, for
//! the volume recognition sequence of UDF; ECMA-130, section 14, for sectors of 2352 bytes.

use diskimg_core::{Finding, Severity};

use crate::content::Content;
use crate::head::{field, has};
use crate::partitions::{DataPartition, data_partitions};

/// The offset of the volume descriptors, after sixteen sectors reserved for boot code.
const DESCRIPTORS: usize = 32_768;

/// The length of a volume descriptor. On media with larger sectors the descriptors of UDF are further apart.
const DESCRIPTOR: usize = 2048;

/// The offset of the descriptors if each sector has all its 2352 bytes: after 0, 16 (mode 1) or 24 (mode 2, form 1)
/// bytes of the sixteenth sector. The first is for dumps whose sectors have no header.
const RAW_DESCRIPTORS: [usize; 3] = [37_632, 37_648, 37_656];

/// A medium with at most this many bytes after the volume is a disc: `xorriso` and CD writers pad it. Our limit.
const BEYOND: u64 = 1 << 20;

/// The first bytes of every sector with a header.
const SYNC: [u8; 12] = [0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0];

/// Recognises an optical disc.
pub(crate) fn recognise(head: &[u8]) -> Option<Content> {
    if is_iso(head, DESCRIPTORS) {
        return Some(if has_udf(head) { Content::UdfBridge } else { Content::Iso9660 });
    }
    if has(head, DESCRIPTORS.saturating_add(1), b"BEA01") && has_udf(head) {
        return Some(Content::Udf);
    }
    raw_sectors(head).map(|_| Content::RawCdSectors)
}

/// Returns true if a volume descriptor of ISO 9660 is at `at`. Only the identifier is compared: a disc with an unusual
/// block size must still be attached as a disc.
fn is_iso(head: &[u8], at: usize) -> bool {
    has(head, at.saturating_add(1), b"CD001")
}

fn raw_sectors(head: &[u8]) -> Option<usize> {
    let with_header = head.starts_with(&SYNC);
    RAW_DESCRIPTORS.into_iter().find(|at| is_iso(head, *at) && (with_header || *at == RAW_DESCRIPTORS[0]))
}

/// Returns true if the volume recognition sequence contains a descriptor of UDF.
fn has_udf(head: &[u8]) -> bool {
    let descriptors = head.get(DESCRIPTORS..).unwrap_or_default().chunks(DESCRIPTOR);
    for descriptor in descriptors.take(16) {
        match field::<5>(descriptor, 1).as_ref() {
            Some(b"NSR02" | b"NSR03") => return true,
            // Descriptors of ISO 9660 come first; on media with larger sectors there are zeros between them.
            Some(b"CD001" | b"BEA01" | b"BOOT2" | b"CDW02" | [0, 0, 0, 0, 0]) => {}
            _ => return false,
        }
    }
    false
}

/// Returns the offset of the primary volume descriptor of ISO 9660.
fn primary_descriptor(head: &[u8]) -> Option<usize> {
    let descriptors = (0..16_usize).map(|index| DESCRIPTORS + index * DESCRIPTOR);
    descriptors.take_while(|at| is_iso(head, *at)).find(|at| head.get(*at) == Some(&1))
}

/// Returns the size in bytes that the volume records. At most 48 bits. `None` if `head` ends before it.
fn volume_size(descriptor: &[u8]) -> Option<u64> {
    let blocks = u32::from_le_bytes(field(descriptor, 80)?);
    let block_size = u16::from_le_bytes(field(descriptor, 128)?);
    Some(u64::from(blocks) * u64::from(block_size))
}

/// Returns the partition that makes a disk of a medium that begins with an ISO 9660 volume: it begins after the end of
/// the volume, and so does more than 1 MiB of the medium. A stick to which an ISO image was copied, and which was
/// partitioned later, has one. The partitions of a hybrid disc are in its volume, or hold an EFI system or nothing.
pub(crate) fn later_partition(head: &[u8], size: Option<u64>) -> Option<DataPartition> {
    let volume = volume_size(head.get(primary_descriptor(head)?..)?)?;
    if size.is_some_and(|size| size.saturating_sub(volume) <= BEYOND) {
        return None;
    }
    let is_later = |partition: &DataPartition| {
        partition.range.start >= volume && size.is_none_or(|size| partition.range.start < size)
    };
    data_partitions(head).into_iter().find(is_later)
}

/// Returns findings about the content of a disk of `size` bytes that begins with `head`: a truncated disc, or one with
/// contradictory sizes. It remains a disc of the size of its file. Also a disc that is the beginning of
/// a partitioned disk.
#[must_use]
pub fn findings(head: &[u8], size: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warn = |check, message: String, at: usize| {
        findings.push(Finding::new(Severity::Warning, check, message).at(at as u64));
    };
    if let Some(DataPartition { range, entry }) = later_partition(head, Some(size)) {
        let message = format!(
            "the disk begins with an ISO 9660 volume, and a partition begins after it, at byte {}: a disk that an ISO \
             image was copied to, not a CD-ROM",
            range.start
        );
        warn("partitioned_iso9660", message, entry);
    }
    if is_iso(head, DESCRIPTORS) {
        primary_descriptor(head).and_then(|at| check_sizes(head, at, size, &mut warn));
    } else if let Some(at) = raw_sectors(head) {
        let message = "sectors of 2352 bytes; a machine needs only the 2048 data bytes of each".to_owned();
        warn("cd_sectors", message, at);
    }
    findings
}

/// Compares the sizes in the primary volume descriptor at `offset` with each other and with the size of the disc. Each
/// number is stored twice, in both byte orders. `None` if `head` ends before them.
fn check_sizes(
    head: &[u8],
    offset: usize,
    size: u64,
    warn: &mut impl FnMut(&'static str, String, usize),
) -> Option<()> {
    let descriptor = head.get(offset..)?;
    let blocks = u32::from_le_bytes(field(descriptor, 80)?);
    let blocks_big = u32::from_be_bytes(field(descriptor, 84)?);
    let block_size = u16::from_le_bytes(field(descriptor, 128)?);
    let block_size_big = u16::from_be_bytes(field(descriptor, 130)?);
    if (blocks, block_size) != (blocks_big, block_size_big) {
        let message = format!(
            "ISO 9660 volume size is {blocks} blocks of {block_size} bytes in one byte order, {blocks_big} of \
             {block_size_big} in the other"
        );
        warn("iso9660_sizes", message, offset);
    }
    if !matches!(block_size, 512 | 1024 | 2048) {
        let message = format!("ISO 9660 logical block size is {block_size}, expected 2048");
        warn("iso9660_block_size", message, offset);
    }
    let recorded = volume_size(descriptor)?;
    if recorded > size {
        let message =
            format!("ISO 9660 volume has {recorded} bytes and the disc only {size}: it is truncated");
        warn("truncated", message, offset);
    }
    Some(())
}
