//! Encodes grains and tables as the records of a stream-optimised extent.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". The data is a zlib stream
//! (RFC 1950), as all known writers store it, not the bare deflate stream of the text.

use std::ops::Range;

use diskimg_codec::cluster::ZlibEncoder;
use diskimg_core::Result;
use diskimg_core::writer::{EncodeBuffer, UnitPadding};

use super::extent_layout::{SECTOR_BYTES, table_bytes};
use crate::addr::{ExtentOffset, SECTOR};
use crate::errors::internal;
use crate::marker::{GRAIN_HEADER, Metadata};

/// A compressor, reused for all grains of a worker.
pub(super) struct GrainEncoder {
    encoder: ZlibEncoder,
    grain_bytes: usize,
    padding: UnitPadding,
}

impl GrainEncoder {
    /// A compressor of grains of this size.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InvalidInput`] for a level that deflate does not have.
    pub(super) fn new(grain_bytes: u64, level: Option<i32>) -> Result<Self> {
        let grain_bytes = usize::try_from(grain_bytes).unwrap_or(usize::MAX);
        Ok(Self { encoder: ZlibEncoder::new(level)?, grain_bytes, padding: UnitPadding::default() })
    }

    /// The maximum number of bytes of a record: that of a grain which cannot be compressed.
    pub(super) fn max_record_bytes(&self) -> usize {
        GRAIN_HEADER
            .saturating_add(ZlibEncoder::max_len(self.grain_bytes))
            .checked_next_multiple_of(SECTOR_BYTES)
            .unwrap_or(usize::MAX)
    }

    /// Appends the record of the grain at `start`: a marker, compressed bytes, and zeros up to a whole sector.
    ///
    /// The last grain is padded with zeros: some readers reject one that ends with the disk.
    pub(super) fn encode(
        &mut self,
        start: ExtentOffset,
        bytes: &[u8],
        buffer: &mut EncodeBuffer,
    ) -> Result<Range<usize>> {
        let room = self.max_record_bytes();
        let grain = self.padding.whole_unit(bytes, self.grain_bytes);
        let no_room = || internal("grain").guest(start.0);
        let record = buffer.append(room, |record| {
            let (marker, output) = record.split_first_chunk_mut::<GRAIN_HEADER>().ok_or_else(no_room)?;
            let len = self.encoder.encode(grain, output)?.ok_or_else(no_room)?;
            let size = u32::try_from(len).map_err(|_| no_room())?;
            let (lba, size_field) = marker.split_at_mut_checked(8).ok_or_else(no_room)?;
            lba.copy_from_slice(&(start.0 / SECTOR).to_le_bytes());
            size_field.copy_from_slice(&size.to_le_bytes());
            let end = len.saturating_add(GRAIN_HEADER);
            let padded = end.next_multiple_of(SECTOR_BYTES);
            record.get_mut(end..padded).ok_or_else(no_room)?.fill(0);
            Ok(Some(padded))
        })?;
        record.ok_or_else(no_room)
    }
}

/// Returns a marker for `sectors` of metadata.
pub(super) fn marker(kind: Metadata, sectors: u64) -> Vec<u8> {
    let mut bytes = sectors.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(kind.code().to_le_bytes());
    bytes.resize(SECTOR_BYTES, 0);
    bytes
}

/// Returns a marker and its table.
pub(super) fn marked_table(kind: Metadata, words: &[u32]) -> Vec<u8> {
    let table = table_bytes(words);
    let mut bytes = marker(kind, table.len() as u64 / SECTOR);
    bytes.extend(table);
    bytes
}
