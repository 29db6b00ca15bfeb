//! Encodes the header of a hosted sparse extent.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extents", `SparseExtentHeader`.

use super::extent_layout::SECTOR_BYTES;
use crate::sparse_header::{COMPRESSED, DEFLATE, MAGIC, MAX_ENTRIES_PER_TABLE, NEWLINE_TEST};

/// The fields of a header to encode.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncodedHeader {
    pub(super) version: u32,
    pub(super) flags: u32,
    pub(super) capacity_sectors: u64,
    pub(super) grain_sectors: u64,
    /// 0 if no descriptor is embedded.
    pub(super) descriptor_sectors: u64,
    pub(super) redundant_directory_sector: u64,
    pub(super) directory_sector: u64,
    pub(super) overhead_sectors: u64,
}

impl EncodedHeader {
    /// Encodes the header as a sector.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        put64(&mut bytes, self.capacity_sectors);
        put64(&mut bytes, self.grain_sectors);
        put64(&mut bytes, u64::from(self.descriptor_sectors != 0));
        put64(&mut bytes, self.descriptor_sectors);
        bytes.extend(MAX_ENTRIES_PER_TABLE.to_le_bytes());
        put64(&mut bytes, self.redundant_directory_sector);
        put64(&mut bytes, self.directory_sector);
        put64(&mut bytes, self.overhead_sectors);
        bytes.push(0); // closed properly
        bytes.extend(NEWLINE_TEST);
        let algorithm = if self.flags & COMPRESSED != 0 { DEFLATE } else { 0 };
        bytes.extend(algorithm.to_le_bytes());
        bytes.resize(SECTOR_BYTES, 0);
        bytes
    }
}

fn put64(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend(value.to_le_bytes());
}
