//! Checks the block map: blocks used twice, missing blocks and wrong counts.
//!
//! All errors that `qemu-img check` counts are corruptions here. Blocks past the end of the file and unused blocks are
//! reported as well.
//!
//! Only the check reports blocks used twice. Readers of files and streams follow each entry independently.

use std::sync::Arc;

use diskimg_core::{BlockSource, Budget, CheckReport, MetadataCache, OpenOptions, Result, range};

use crate::addr::{ENTRY_BYTES, Geometry};
use crate::block_map::{BlockMap, MapEntry};
use crate::errors::FORMAT;
use crate::header::Header;
use crate::open::read_header;

/// Checks one layer: [`diskimg_core::Driver::check`] of this format.
///
/// Reads the block map once, in pages. A bitmap of the blocks that the file has room for is taken from
/// [`diskimg_core::Limits::metadata_cache`].
///
/// # Errors
/// If the header is invalid or the bitmap exceeds the limit. Other damage is reported as problems.
pub(crate) fn check(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<CheckReport> {
    let header = read_header(source.as_ref())?;
    header.check_readable(&options.limits)?;
    let mut report = CheckReport::default();
    report.total_units = Some(header.geometry.blocks.into());
    let mut geometry = header.geometry;
    if let Err(error) = header.check_map_in_file(source.size()) {
        report.corruption(error.offset(), error.to_string());
        // The entries that are present are checked.
        let present = range::len(&(geometry.map.0..source.size())) / ENTRY_BYTES;
        geometry.blocks = u32::try_from(present).unwrap_or(u32::MAX).min(geometry.blocks);
    }
    if let Err(error) = header.check_data_past_map() {
        report.corruption(error.offset(), error.to_string());
    }
    let budget = options.limits.table_budget("blocks in use");
    let mut check = BlockMapCheck::new(&header, source.size(), &budget)?;
    let map = BlockMap::new(source, geometry, MetadataCache::new(options.limits.metadata_cache));
    options.progress.begin(Some(header.size()));
    let mut next = 0;
    while next < u64::from(geometry.blocks) {
        let (page, first) = map.page(next)?;
        options.advance(geometry.guest_start(page.len() as u64).0)?;
        for (block, entry) in (first..).zip(page.iter()) {
            if let MapEntry::Block(index) = MapEntry::decode(*entry) {
                check.block(block, index, &mut report);
            }
        }
        next = first.saturating_add(page.len() as u64).max(next.saturating_add(1));
    }
    check.finish(&mut report);
    Ok(report)
}

/// The state of a check: the entries of the block map seen so far.
struct BlockMapCheck<'a> {
    header: &'a Header,
    file_size: u64,
    /// A bit for each file block, set if it is in use.
    used: Vec<u8>,
    /// The number of whole blocks that the file has room for.
    room: u32,
    allocated: u64,
    /// One more than the highest file block in use.
    end: u32,
    /// The file block after the previous one, which an unfragmented image uses next.
    expected: Option<u32>,
}

impl<'a> BlockMapCheck<'a> {
    fn new(header: &'a Header, file_size: u64, budget: &Budget) -> Result<Self> {
        let room = room(&header.geometry, file_size);
        // One more: the last block may lack bytes past the end of the disk.
        let bits = u64::from(room).saturating_add(1);
        let used = budget.zeroed(bits.div_ceil(8)).map_err(|error| error.format(FORMAT))?;
        Ok(Self { header, file_size, used, room, allocated: 0, end: 0, expected: None })
    }

    /// Checks guest block `block`, which is stored in file block `index`.
    fn block(&mut self, block: u64, index: u32, report: &mut CheckReport) {
        let geometry = &self.header.geometry;
        let at = Some(geometry.entry_at(block).0);
        if index >= geometry.blocks {
            let blocks = geometry.blocks;
            report.corruption_with(at, || {
                format!("block {block} is stored in file block {index}, but there are {blocks} blocks")
            });
            return;
        }
        self.allocated = self.allocated.saturating_add(1);
        if self.expected.is_some_and(|expected| expected != index) {
            report.fragmented_units = report.fragmented_units.saturating_add(1);
        }
        self.expected = index.checked_add(1);
        self.end = self.end.max(index.saturating_add(1));
        if self.mark_used(index) {
            report.corruption_with(at, || {
                format!("block {block} is stored in file block {index}, as is another block")
            });
        }
        let end = self.visible_end(block, index);
        if end > self.file_size {
            let size = self.file_size;
            report.corruption_with(at, || {
                format!(
                    "block {block} is stored in file block {index} and ends at byte {end}, past the end of the file at \
                     byte {size}"
                )
            });
        }
    }

    /// Marks a file block as used. Returns true if it was before.
    fn mark_used(&mut self, index: u32) -> bool {
        let bit = 1_u8 << (index % 8);
        let Some(byte) = usize::try_from(index / 8).ok().and_then(|at| self.used.get_mut(at)) else {
            return false;
        };
        let before = *byte & bit != 0;
        *byte |= bit;
        before
    }

    /// The host offset at which the part of a block within the disk ends.
    fn visible_end(&self, block: u64, index: u32) -> u64 {
        let geometry = &self.header.geometry;
        let seen = range::len(&(geometry.guest_start(block).0..self.header.size()));
        geometry.host(index).plus(seen.min(geometry.block_bytes())).0
    }

    fn finish(self, report: &mut CheckReport) {
        let (fields, geometry) = (&self.header.fields, &self.header.geometry);
        if self.allocated != u64::from(fields.blocks_allocated) {
            let message = format!(
                "the header counts {} allocated blocks, the block map has {}",
                fields.blocks_allocated, self.allocated
            );
            report.corruption(Some(fields.offsets().blocks_allocated), message);
        }
        let mut index = 0;
        while index < self.room {
            let unused = self.unused_from(index);
            if unused > 0 {
                let at = geometry.host(index).0.saturating_sub(geometry.extra);
                report.leak(unused.into(), Some(at), format!("{unused} blocks of the file are unused"));
            }
            index = index.saturating_add(unused).saturating_add(1);
        }
        report.allocated_units = Some(self.allocated);
        let end = geometry.data.plus(u64::from(self.end).saturating_mul(geometry.stride()));
        report.image_end = Some(end.0);
    }

    /// The number of consecutive unused file blocks from `index` on.
    fn unused_from(&self, index: u32) -> u32 {
        let unused = (index..self.room).take_while(|index| {
            let byte = usize::try_from(index / 8).ok().and_then(|at| self.used.get(at)).unwrap_or(&0);
            byte & (1 << (index % 8)) == 0
        });
        u32::try_from(unused.count()).unwrap_or(u32::MAX)
    }
}

/// The number of whole blocks that fit between the data offset and the end of the file.
fn room(geometry: &Geometry, file_size: u64) -> u32 {
    let bytes = range::len(&(geometry.data.0..file_size));
    let blocks = bytes.checked_div(geometry.stride()).unwrap_or_default();
    u32::try_from(blocks).unwrap_or(u32::MAX).min(geometry.blocks)
}
