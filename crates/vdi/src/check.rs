//! Checking the block map: blocks used twice, blocks that are not there, and counts that do not add up.
//!
//! What `qemu-img check` counts as errors counts as corruption here, and more: the end of the file, and blocks
//! that nothing uses.
//!
//! Blocks used twice are told here alone: reading, of a file or of a stream, takes each entry at its word.

use std::sync::Arc;

use diskimg_core::{BlockSource, Budget, CheckReport, OpenOptions, Result};

use crate::addr::{ENTRY_BYTES, Geometry};
use crate::block_map::{BlockMap, Entry};
use crate::errors::FORMAT;
use crate::header::Header;
use crate::open::read_header;

/// Checks one layer: [`diskimg_core::Driver::check`] of this format.
///
/// Reads the block map once, in pages; a bit for each block that the file has room for is taken from
/// [`diskimg_core::Limits::metadata_cache`].
///
/// # Errors
/// When the header cannot be read, or the bits are more than the limit. What is wrong with the rest is in the
/// report.
pub(crate) fn check(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<CheckReport> {
    let header = read_header(source.as_ref())?;
    header.check_readable(&options.limits)?;
    let mut report =
        CheckReport { total_units: Some(header.geometry.blocks.into()), ..CheckReport::default() };
    let mut geometry = header.geometry;
    if let Err(error) = header.check_map_in_file(source.size()) {
        report.corruption(error.offset(), error.to_string());
        // The entries that are there are checked all the same.
        let present = source.size().saturating_sub(geometry.map.0) / ENTRY_BYTES;
        geometry.blocks = u32::try_from(present).unwrap_or(u32::MAX).min(geometry.blocks);
    }
    if let Err(error) = header.check_data_behind_map() {
        report.corruption(error.offset(), error.to_string());
    }
    let budget = Budget::new("blocks in use", options.limits.metadata_cache);
    let mut walk = Walk::new(&header, source.size(), &budget)?;
    let map = BlockMap::new(source, geometry, &options.limits);
    let mut next = 0;
    while next < u64::from(geometry.blocks) {
        let (page, first) = map.page(next)?;
        for (block, entry) in (first..).zip(page.iter()) {
            if let Entry::Block(index) = Entry::decode(*entry) {
                walk.block(block, index, &mut report);
            }
        }
        next = first.saturating_add(page.len() as u64).max(next.saturating_add(1));
    }
    walk.finish(&mut report);
    Ok(report)
}

/// The walk over the map: what was seen so far.
struct Walk<'a> {
    header: &'a Header,
    file_size: u64,
    /// A bit for each block that the file has room for.
    used: Vec<u8>,
    room: u32,
    allocated: u64,
    /// One more than the highest block in use.
    end: u32,
    /// The block in the file that would continue the one before.
    expected: Option<u32>,
}

impl<'a> Walk<'a> {
    fn new(header: &'a Header, file_size: u64, budget: &Budget) -> Result<Self> {
        let room = room(&header.geometry, file_size);
        // One more than the room: the last block may lack what no guest can see.
        let bits = u64::from(room).saturating_add(1);
        let used = budget.zeroed(bits.div_ceil(8)).map_err(|error| error.format(FORMAT))?;
        Ok(Self { header, file_size, used, room, allocated: 0, end: 0, expected: None })
    }

    /// Takes a block of the disk that has a block of the file.
    fn block(&mut self, block: u64, index: u32, report: &mut CheckReport) {
        let geometry = &self.header.geometry;
        let at = Some(geometry.entry_at(block).0);
        if index >= geometry.blocks {
            let blocks = geometry.blocks;
            report.corruption(at, format!("block {block} is at {index}, but there are {blocks} blocks"));
            return;
        }
        self.allocated = self.allocated.saturating_add(1);
        if self.expected.is_some_and(|expected| expected != index) {
            report.fragmented_units = report.fragmented_units.saturating_add(1);
        }
        self.expected = index.checked_add(1);
        self.end = self.end.max(index.saturating_add(1));
        if self.seen_before(index) {
            report.corruption(at, format!("block {block} is at {index}, which another block uses too"));
        }
        let end = self.visible_end(block, index);
        if end > self.file_size {
            let size = self.file_size;
            report.corruption(
                at,
                format!("block {block} is at {index} and ends at byte {end}, behind the file's end {size}"),
            );
        }
    }

    /// Marks a block of the file as used, and says whether it was.
    fn seen_before(&mut self, index: u32) -> bool {
        let bit = 1_u8 << (index % 8);
        let Some(byte) = usize::try_from(index / 8).ok().and_then(|at| self.used.get_mut(at)) else {
            return false;
        };
        let before = *byte & bit != 0;
        *byte |= bit;
        before
    }

    /// Where the last byte of a block that a guest can see ends.
    fn visible_end(&self, block: u64, index: u32) -> u64 {
        let geometry = &self.header.geometry;
        let seen = self.header.size().saturating_sub(geometry.guest_start(block).0);
        geometry.host(index).plus(seen.min(geometry.block_bytes())).0
    }

    fn finish(self, report: &mut CheckReport) {
        let (fields, geometry) = (&self.header.fields, &self.header.geometry);
        if self.allocated != u64::from(fields.blocks_allocated) {
            let message = format!(
                "the header counts {} allocated blocks, the block map has {}",
                fields.blocks_allocated, self.allocated
            );
            report.corruption(Some(fields.places().blocks_allocated), message);
        }
        let mut index = 0;
        while index < self.room {
            let unused = self.unused_from(index);
            if unused > 0 {
                let at = geometry.host(index).0.saturating_sub(geometry.extra);
                report.leak(unused.into(), Some(at), format!("{unused} blocks in the file are not used"));
            }
            index = index.saturating_add(unused).saturating_add(1);
        }
        report.allocated_units = Some(self.allocated);
        let end = geometry.data.plus(u64::from(self.end).saturating_mul(geometry.stride()));
        report.image_end = Some(end.0);
    }

    /// How many blocks of the file from `index` on are not used, in a row.
    fn unused_from(&self, index: u32) -> u32 {
        let unused = (index..self.room).take_while(|index| {
            let byte = usize::try_from(index / 8).ok().and_then(|at| self.used.get(at)).unwrap_or(&0);
            byte & (1 << (index % 8)) == 0
        });
        u32::try_from(unused.count()).unwrap_or(u32::MAX)
    }
}

/// How many whole blocks there can be between the data offset and the end of the file.
fn room(geometry: &Geometry, file_size: u64) -> u32 {
    let bytes = file_size.saturating_sub(geometry.data.0);
    let blocks = bytes.checked_div(geometry.stride()).unwrap_or_default();
    u32::try_from(blocks).unwrap_or(u32::MAX).min(geometry.blocks)
}
