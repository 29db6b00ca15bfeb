//! Reads and inverts the block map of a stream.

use std::ops::Range;

use diskimg_core::{BlockSink, Error, ErrorKind, Limits, Result, WriteOrder, ensure};

use super::block_reader::BlockReader;
use crate::addr::{ENTRY_BYTES, HostOffset};
use crate::block_map::MapEntry;
use crate::errors::{FORMAT, corrupt};
use crate::header::Header;
use crate::reverse_map::{ReverseMap, too_large};

/// The part of the block map that was streamed.
pub(super) struct MapReader {
    header: Header,
    /// The bytes of an incomplete entry.
    partial: Vec<u8>,
    /// The number of complete entries.
    entries: u32,
    reverse_map: ReverseMap,
    /// If the map does not ascend: the guest block below which all unused blocks were zeroed.
    zeroed: Option<u32>,
}

impl MapReader {
    /// Checks that the image of `header` can be decoded as a stream.
    pub(super) fn new(header: Header, limits: &Limits) -> Result<Self> {
        header.check_readable(limits)?;
        header.check_data_past_map()?;
        if header.parent().is_some() {
            // Free blocks read from the parent; zeros would be wrong.
            return Err(Error::new(ErrorKind::Denied)
                .format(FORMAT)
                .field("parent")
                .at(header.fields.offsets().parent)
                .found(header.fields.uuids.parent)
                .because("a stream contains only the blocks that differ from the parent"));
        }
        check_fits(&header, limits)?;
        let reverse_map = ReverseMap::new(limits.table_budget("block map of a stream"));
        Ok(Self { header, partial: Vec::new(), entries: 0, reverse_map, zeroed: None })
    }

    /// Processes some of the bytes at `position` and returns their number.
    pub(super) fn push(&mut self, position: HostOffset, input: &[u8], sink: &dyn BlockSink) -> Result<usize> {
        let before = self.header.geometry.map.since(position);
        if before > 0 {
            return Ok(usize::try_from(before).unwrap_or(usize::MAX).min(input.len()));
        }
        let mut rest = input;
        while !rest.is_empty() && self.entries < self.header.geometry.blocks {
            let missing = 4_usize.saturating_sub(self.partial.len());
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.partial.extend_from_slice(now);
            rest = later;
            if let Some(entry) = self.partial.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) {
                self.partial.clear();
                self.add_entry(entry, sink)?;
                self.entries = self.entries.saturating_add(1);
            }
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    /// Returns true if the map ends at or before `position`.
    pub(super) fn is_complete(&self, position: HostOffset) -> bool {
        position >= self.header.geometry.map_end()
    }

    /// Checks that a file which ends at `end` contains the whole map.
    pub(super) fn check_complete(&self, end: HostOffset) -> Result<()> {
        self.header.check_map_in_file(end.0)
    }

    fn add_entry(&mut self, entry: u32, sink: &dyn BlockSink) -> Result<()> {
        let MapEntry::Block(index) = MapEntry::decode(entry) else { return Ok(()) };
        let geometry = &self.header.geometry;
        // A file is not read past the end of its disk.
        if geometry.guest_start(self.entries.into()).0 >= self.header.size() {
            return Ok(());
        }
        if index >= geometry.blocks {
            return Err(corrupt("block map entry")
                .at(geometry.entry_at(self.entries.into()).0)
                .guest(geometry.guest_start(self.entries.into()).0)
                .found(index)
                .expected(format_args!("less than the number of blocks, {}", geometry.blocks)));
        }
        if self.zeroed.is_none() && !self.reverse_map.is_past_end(index) {
            self.leave_guest_order(sink)?;
        }
        self.reverse_map.add(index, self.entries)?;
        self.zero_up_to(self.entries, sink)
    }

    /// Called when the map turns out not to ascend: zeros the unused guest blocks so far.
    fn leave_guest_order(&mut self, sink: &dyn BlockSink) -> Result<()> {
        if sink.properties().order == WriteOrder::Ascending {
            let because = "the blocks are not in guest order, and the target accepts no other";
            return Err(Error::new(ErrorKind::NeedsSeek).format(FORMAT).field("block map").because(because));
        }
        let mut next = 0;
        for (_, block) in self.reverse_map.iter() {
            zero_blocks(&self.header, next..block, sink)?;
            next = block.saturating_add(1);
        }
        self.zeroed = Some(next);
        Ok(())
    }

    /// If the map does not ascend: zeros the guest blocks below `block`, which is in use.
    fn zero_up_to(&mut self, block: u32, sink: &dyn BlockSink) -> Result<()> {
        if let Some(next) = self.zeroed {
            zero_blocks(&self.header, next..block, sink)?;
            self.zeroed = Some(block.saturating_add(1));
        }
        Ok(())
    }

    /// Ends the map.
    pub(super) fn into_block_reader(mut self: Box<Self>, sink: &dyn BlockSink) -> Result<BlockReader> {
        self.zero_up_to(self.header.geometry.blocks, sink)?;
        Ok(BlockReader::new(self.header, self.reverse_map, self.zeroed.is_none()))
    }
}

/// Checks by the header that the reverse map fits in the limit for tables. Refusing it here loses no byte of an image that
/// then has to be stored first.
fn check_fits(header: &Header, limits: &Limits) -> Result<()> {
    let fields = &header.fields;
    let used = fields.blocks_allocated.min(header.geometry.blocks);
    let need = u64::from(used).saturating_mul(ENTRY_BYTES);
    ensure(need <= limits.metadata_cache, || {
        too_large()
            .at(fields.offsets().blocks_allocated)
            .found(format_args!("{need} bytes for {used} blocks in use"))
            .expected(format_args!("at most {} bytes", limits.metadata_cache))
    })
}

/// Zeroes a range of guest blocks.
fn zero_blocks(header: &Header, blocks: Range<u32>, sink: &dyn BlockSink) -> Result<()> {
    let range = header.clipped_start(blocks.start).0..header.clipped_start(blocks.end).0;
    if range.is_empty() { Ok(()) } else { sink.zero(range) }
}
