//! The stored refcounts.

use diskimg_core::Result;

use crate::addr::{Geometry, HostOffset};
use crate::entry_bits::REFCOUNT_BLOCK_OFFSET;
use crate::header::{Header, MAX_REFCOUNT_TABLE_BYTES};
use crate::table_words::{TableWords, WordPage};

/// The stored refcounts. Lookups in ascending order are fast.
pub(super) struct StoredRefcounts<'a> {
    tables: &'a TableWords,
    geometry: Geometry,
    order: u32,
    table: HostOffset,
    /// The number of entries of the refcount table.
    blocks: u64,
    /// The number and the place of the last refcount block.
    last: Option<(u64, u64)>,
    page: Option<(u64, WordPage)>,
}

impl<'a> StoredRefcounts<'a> {
    pub(super) fn new(header: &Header, tables: &'a TableWords) -> Self {
        Self {
            tables,
            geometry: header.geometry,
            order: header.refcount_order,
            table: HostOffset(header.refcount_table_offset),
            blocks: header.refcount_table_bytes().min(MAX_REFCOUNT_TABLE_BYTES) / 8,
            last: None,
            page: None,
        }
    }

    /// log2 of the host clusters that one block covers.
    fn block_bits(&self) -> u32 {
        // Clusters have at least 2^9 bytes, refcounts at most 2^6 bits.
        self.geometry.cluster_bits() + 3 - self.order
    }

    /// The first cluster after those that the block of `cluster` covers.
    pub(super) fn block_end(&self, cluster: u64) -> u64 {
        ((cluster >> self.block_bits()) + 1) << self.block_bits()
    }

    /// The first cluster after those of the block of `cluster` that may have a block; `u64::MAX` past the table.
    pub(super) fn next_block(&self, cluster: u64) -> u64 {
        let next = self.block_end(cluster);
        if next >> self.block_bits() < self.blocks { next } else { u64::MAX }
    }

    /// Returns true if `cluster` has no refcount block.
    pub(super) fn is_absent(&mut self, cluster: u64) -> Result<bool> {
        Ok(self.block(cluster)? == 0)
    }

    /// Returns the offset of the block of `cluster`; 0 if there is none or it is unreadable.
    fn block(&mut self, cluster: u64) -> Result<u64> {
        let number = cluster >> self.block_bits();
        if let Some((_, at)) = self.last.filter(|(last, _)| *last == number) {
            return Ok(at);
        }
        let entry = self.table.plus(number * 8);
        let in_table = number < self.blocks && entry.0 < self.tables.file_size();
        let word = if in_table { self.tables.page(entry)?.word(0).unwrap_or(0) } else { 0 };
        let at = word & REFCOUNT_BLOCK_OFFSET;
        let is_there = self.geometry.in_cluster(at) == 0 && at < self.tables.file_size();
        let at = if is_there { at } else { 0 };
        self.last = Some((number, at));
        Ok(at)
    }

    /// Returns the refcount of a host cluster; 0 if none is stored.
    pub(super) fn get(&mut self, cluster: u64) -> Result<u64> {
        let block = self.block(cluster)?;
        if block == 0 {
            return Ok(0);
        }
        let index = cluster & ((1 << self.block_bits()) - 1);
        // No overflow: a block has at most 2 MiB.
        let bit = index << self.order;
        let word = self.word(HostOffset(block).plus(bit / 64 * 8))?;
        Ok(unpack(word, bit % 64, self.order))
    }

    fn word(&mut self, at: HostOffset) -> Result<u64> {
        // The last page is kept, because most lookups are in order.
        let step = 4096;
        let start = at.0 / step * step;
        if self.page.as_ref().is_none_or(|(loaded, _)| *loaded != start) {
            self.page = Some((start, self.tables.page(HostOffset(start))?));
        }
        let index = usize::try_from((at.0 - start) / 8).unwrap_or(usize::MAX);
        Ok(self.page.as_ref().and_then(|(_, page)| page.word(index)).unwrap_or(0))
    }
}

/// Returns the refcount at bit `bit` of eight bytes. Refcounts narrower than a byte start at its lowest bit.
fn unpack(word: u64, bit: u64, order: u32) -> u64 {
    let width = 1_u64 << order;
    let mask = u64::MAX >> (64 - width);
    let shift = if order >= 3 { 64 - bit - width } else { 56 - bit / 8 * 8 + bit % 8 };
    (word >> shift.min(63)) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refcount_of_every_width_is_unpacked() {
        let word = 0x0102_0304_0506_0708;
        assert_eq!(unpack(word, 0, 6), word);
        assert_eq!((unpack(word, 0, 4), unpack(word, 48, 4)), (0x0102, 0x0708));
        assert_eq!((unpack(word, 0, 3), unpack(word, 56, 3)), (1, 8));
        // 0x8C is 1000 1100, read from the lowest bit.
        let word = 0x8C00_0000_0000_0001;
        let bits: Vec<u64> = (0..8).map(|bit| unpack(word, bit, 0)).collect();
        assert_eq!(bits, [0, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!((unpack(word, 2, 1), unpack(word, 4, 2), unpack(word, 56, 0)), (3, 8, 1));
    }
}
