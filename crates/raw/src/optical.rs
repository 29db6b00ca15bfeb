//! Optical discs: ISO 9660 and UDF.
//!
//! Sources: ECMA-119 (ISO 9660), sections 8.1 to 8.4, for volume descriptors; ECMA-167, part 2, section 9, for
//! the volume recognition sequence of UDF; ECMA-130, section 14, for sectors of 2352 bytes.

use diskimg_core::{Finding, Severity};

use crate::content::{Content, field, has};

/// Where the volume descriptors begin: behind sixteen sectors that belong to whoever boots from the disc.
const DESCRIPTORS: usize = 32_768;

/// Bytes of a volume descriptor. On media with larger sectors the descriptors of UDF stand further apart.
const DESCRIPTOR: usize = 2048;

/// Where the descriptors begin when each sector has all its 2352 bytes: behind 0, 16 (mode 1) or 24 (mode 2,
/// form 1) bytes of the sixteenth sector. The first is that of dumps whose sectors lack a header.
const RAW_DESCRIPTORS: [usize; 3] = [37_632, 37_648, 37_656];

/// What every sector with a header begins with.
const SYNC: [u8; 12] = [0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0];

pub(crate) fn recognise(head: &[u8]) -> Option<Content> {
    if is_iso(head, DESCRIPTORS) {
        return Some(if has_udf(head) { Content::UdfBridge } else { Content::Iso9660 });
    }
    if has(head, DESCRIPTORS.saturating_add(1), b"BEA01") && has_udf(head) {
        return Some(Content::Udf);
    }
    raw_sectors(head).map(|_| Content::RawCdSectors)
}

/// Nothing but the identifier counts: a disc with a strange block size is still a disc, and whoever attaches
/// it as a disk because of that would be wrong.
fn is_iso(head: &[u8], at: usize) -> bool {
    has(head, at.saturating_add(1), b"CD001")
}

fn raw_sectors(head: &[u8]) -> Option<usize> {
    let with_header = head.starts_with(&SYNC);
    RAW_DESCRIPTORS.into_iter().find(|at| is_iso(head, *at) && (with_header || *at == RAW_DESCRIPTORS[0]))
}

/// Whether the volume recognition sequence has a descriptor of UDF before the sequence ends.
fn has_udf(head: &[u8]) -> bool {
    let descriptors = head.get(DESCRIPTORS..).unwrap_or_default().chunks(DESCRIPTOR);
    for descriptor in descriptors.take(16) {
        match field::<5>(descriptor, 1).as_ref() {
            Some(b"NSR02" | b"NSR03") => return true,
            // Descriptors of ISO 9660 come first; zeros lie between those on media with larger sectors.
            Some(b"CD001" | b"BEA01" | b"BOOT2" | b"CDW02" | [0, 0, 0, 0, 0]) => {}
            _ => return false,
        }
    }
    false
}

/// What the primary volume descriptor of ISO 9660 says about sizes. Each number stands there twice, in both
/// byte orders.
struct Primary {
    offset: usize,
    blocks: u32,
    blocks_big: u32,
    block_size: u16,
    block_size_big: u16,
}

impl Primary {
    fn find(head: &[u8], first: usize, stride: usize) -> Option<Self> {
        let at = (0..16_usize)
            .map(|index| first.saturating_add(index.saturating_mul(stride)))
            .take_while(|at| is_iso(head, *at))
            .find(|at| head.get(*at) == Some(&1))?;
        let descriptor = head.get(at..)?;
        Some(Self {
            offset: at,
            blocks: u32::from_le_bytes(field(descriptor, 80)?),
            blocks_big: u32::from_be_bytes(field(descriptor, 84)?),
            block_size: u16::from_le_bytes(field(descriptor, 128)?),
            block_size_big: u16::from_be_bytes(field(descriptor, 130)?),
        })
    }
}

/// What is strange about the disc, if there is one: it is still a disc, and its size that of the stream.
pub(crate) fn findings(head: &[u8], size: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warn = |check, message: String, at: usize| {
        findings.push(Finding::new(Severity::Warning, check, message).at(at as u64));
    };
    if is_iso(head, DESCRIPTORS) {
        if let Some(primary) = Primary::find(head, DESCRIPTORS, DESCRIPTOR) {
            sizes(&primary, size, &mut warn);
        }
    } else if let Some(at) = raw_sectors(head) {
        let message = "sectors of 2352 bytes: a machine needs the 2048 data bytes of each".to_owned();
        warn("cd_sectors", message, at);
    }
    findings
}

fn sizes(primary: &Primary, size: u64, warn: &mut impl FnMut(&'static str, String, usize)) {
    let Primary { offset, blocks, block_size, .. } = *primary;
    if blocks != primary.blocks_big || block_size != primary.block_size_big {
        let message = format!(
            "ISO 9660 volume size is {blocks} blocks of {block_size} bytes in one byte order, {} of {} in the other",
            primary.blocks_big, primary.block_size_big
        );
        warn("iso9660_sizes", message, offset);
    }
    if !matches!(block_size, 512 | 1024 | 2048) {
        warn(
            "iso9660_block_size",
            format!("ISO 9660 logical block size is {block_size}, expected 2048"),
            offset,
        );
    }
    let promised = u64::from(blocks).saturating_mul(u64::from(block_size));
    if promised > size {
        let message =
            format!("ISO 9660 volume has {promised} bytes and the disc only {size}: it was cut short");
        warn("truncated", message, offset);
    }
}
