//! Writes the blocks of a stream to the disk.

use diskimg_core::{BlockSink, Result, StreamWriter, range};

use crate::addr::{GuestOffset, HostOffset};
use crate::errors::truncated;
use crate::header::Header;
use crate::reverse_map::ReverseMap;

/// Writes each streamed file block to its guest blocks.
pub(super) struct BlockReader {
    header: Header,
    reverse_map: ReverseMap,
    /// If blocks are streamed in guest order: the guest offset below which the disk is complete.
    done: Option<GuestOffset>,
}

impl BlockReader {
    /// With `in_guest_order`, unused guest blocks are zeroed between the others. Otherwise they were zeroed before.
    pub(super) fn new(header: Header, mut reverse_map: ReverseMap, in_guest_order: bool) -> Self {
        reverse_map.sort();
        Self { header, reverse_map, done: in_guest_order.then_some(GuestOffset(0)) }
    }

    /// Processes some of the bytes at `position` and returns their number, at least one.
    pub(super) fn push(
        &mut self,
        position: HostOffset,
        input: &[u8],
        writer: &mut StreamWriter,
        sink: &dyn BlockSink,
    ) -> Result<usize> {
        let up_to =
            |end: HostOffset| usize::try_from(end.since(position)).unwrap_or(usize::MAX).min(input.len());
        let geometry = self.header.geometry;
        if position < geometry.data {
            return Ok(up_to(geometry.data));
        }
        let index = position.since(geometry.data).checked_div(geometry.stride());
        let index = index.and_then(|index| u32::try_from(index).ok());
        let Some(index) = index.filter(|index| !self.reverse_map.is_past_end(*index)) else {
            // Past the last block in use.
            return Ok(input.len());
        };
        let host = geometry.host(index);
        if position < host {
            return Ok(up_to(host));
        }
        let used = up_to(host.plus(geometry.block_bytes()));
        let mut done = self.done;
        for block in self.reverse_map.guest_blocks(index) {
            let guest = self.header.clipped_start(block).plus(position.since(host));
            let visible = range::buffer_len(&(guest.0..self.header.size())).min(used);
            let bytes = input.get(..visible).unwrap_or_default();
            if bytes.is_empty() {
                continue;
            }
            if let Some(done) = &mut done {
                writer.append_zeros(done.0..guest.0, sink)?;
                *done = guest.plus(bytes.len() as u64);
            }
            writer.append(guest.0, bytes, sink)?;
        }
        self.done = done;
        Ok(used)
    }

    /// Completes the disk. The file ended at `end`.
    pub(super) fn finish(
        self,
        end: HostOffset,
        writer: &mut StreamWriter,
        sink: &dyn BlockSink,
    ) -> Result<u64> {
        self.check_complete(end)?;
        let size = self.header.size();
        if let Some(done) = self.done {
            writer.append_zeros(done.0..size, sink)?;
        }
        writer.flush(sink)?;
        Ok(size)
    }

    /// Checks that all blocks in use end at or before `end`, as far as they are within the disk.
    fn check_complete(&self, end: HostOffset) -> Result<()> {
        let (geometry, size) = (&self.header.geometry, self.header.size());
        for (index, block) in self.reverse_map.iter() {
            let guest = self.header.clipped_start(block);
            let visible = range::len(&(guest.0..size)).min(geometry.block_bytes());
            let host = geometry.host(index);
            if visible > 0 && host.plus(visible) > end {
                let because = format!("the file ends at byte {}", end.0);
                return Err(truncated("block").at(host.0).guest(guest.0).because(because));
            }
        }
        Ok(())
    }
}
