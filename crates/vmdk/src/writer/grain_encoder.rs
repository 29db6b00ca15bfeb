//! Makes grains and tables the records of a stream-optimised extent.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". The data is a zlib
//! stream (RFC 1950), as every producer writes it, and not the bare deflate stream of the text.

use diskimg_codec::cluster::ZlibEncoder;
use diskimg_core::Result;

use super::error::misuse;
use super::layout::{SECTOR_BYTES, Shape, table_bytes};
use crate::marker::Metadata;
use crate::sparse_header::SECTOR;

/// A compressor, kept from grain to grain.
pub(super) struct Packer {
    encoder: ZlibEncoder,
    /// The last grain of the disk, filled up with zeros.
    padded: Vec<u8>,
}

impl Packer {
    pub(super) fn new(level: Option<i32>) -> Result<Self> {
        Ok(Self { encoder: ZlibEncoder::new(level)?, padded: Vec::new() })
    }

    /// Appends the record of grain `index`: marker, compressed bytes, zeros up to a whole sector.
    pub(super) fn pack(&mut self, shape: &Shape, index: u64, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let grain = usize::try_from(shape.grain()).unwrap_or(usize::MAX);
        let bytes = if bytes.len() == grain {
            bytes
        } else {
            // Not every reader takes a grain that is cut at the end of the disk.
            self.padded.clear();
            self.padded.extend_from_slice(bytes);
            self.padded.resize(grain, 0);
            &self.padded
        };
        let lba = shape.start_of(index) / SECTOR;
        out.extend(lba.to_le_bytes());
        let size_at = out.len();
        out.extend([0; 4]);
        let data_at = out.len();
        out.resize(data_at.saturating_add(ZlibEncoder::max_len(grain)), 0);
        let room = out.get_mut(data_at..).unwrap_or_default();
        let len =
            self.encoder.encode(bytes, room)?.ok_or_else(|| misuse("grain").guest(shape.start_of(index)))?;
        let size = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        out.get_mut(size_at..data_at).unwrap_or_default().copy_from_slice(&size);
        // Behind its result the encoder leaves what it likes.
        out.truncate(data_at.saturating_add(len));
        out.resize(out.len().next_multiple_of(SECTOR_BYTES), 0);
        Ok(())
    }
}

/// A marker for `sectors` of metadata.
pub(super) fn marker(kind: Metadata, sectors: u64) -> Vec<u8> {
    let mut bytes = sectors.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(kind.code().to_le_bytes());
    bytes.resize(SECTOR_BYTES, 0);
    bytes
}

/// A marker, and the table that it announces.
pub(super) fn marked_table(kind: Metadata, words: &[u32]) -> Vec<u8> {
    let table = table_bytes(words);
    let mut bytes = marker(kind, table.len() as u64 / SECTOR);
    bytes.extend(table);
    bytes
}
