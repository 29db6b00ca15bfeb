//! Reference counts as they are stored.

use diskimg_core::Result;

use crate::addr::{Geometry, HostOffset};
use crate::entry_bits::REFCOUNT_BLOCK_OFFSET;
use crate::header::{Header, MAX_REFCOUNT_TABLE_BYTES};
use crate::table_words::{TableWords, WordPage};

/// The stored counts, looked up in ascending order for the most part.
pub(super) struct StoredRefcounts<'a> {
    tables: &'a TableWords,
    geometry: Geometry,
    order: u32,
    table: u64,
    blocks: u64,
    /// The number of the block looked at last, and where it is.
    last: Option<(u64, u64)>,
    page: Option<(u64, WordPage)>,
}

impl<'a> StoredRefcounts<'a> {
    pub(super) fn new(header: &Header, tables: &'a TableWords) -> Self {
        let bytes = u64::from(header.refcount_table_clusters).saturating_mul(header.geometry.cluster_size());
        Self {
            tables,
            geometry: header.geometry,
            order: header.refcount_order,
            table: header.refcount_table_offset,
            blocks: bytes.min(MAX_REFCOUNT_TABLE_BYTES) / 8,
            last: None,
            page: None,
        }
    }

    /// log2 of the host clusters that one block counts.
    fn block_bits(&self) -> u32 {
        self.geometry.cluster_bits().saturating_add(3).saturating_sub(self.order)
    }

    /// The first cluster behind those that share the block of `cluster`.
    pub(super) fn block_end(&self, cluster: u64) -> u64 {
        ((cluster >> self.block_bits()).saturating_add(1)) << self.block_bits()
    }

    /// Whether there is no block for `cluster`.
    pub(super) fn is_absent(&mut self, cluster: u64) -> Result<bool> {
        Ok(self.block(cluster)? == 0)
    }

    /// Where the block of `cluster` is; 0 where there is none that can be read.
    fn block(&mut self, cluster: u64) -> Result<u64> {
        let number = cluster >> self.block_bits();
        if let Some((_, at)) = self.last.filter(|(last, _)| *last == number) {
            return Ok(at);
        }
        let entry = HostOffset(self.table).plus(number.saturating_mul(8));
        let in_table = number < self.blocks && entry.0 < self.tables.file_size();
        let word = if in_table { self.tables.page(entry)?.word(0).unwrap_or(0) } else { 0 };
        let at = word & REFCOUNT_BLOCK_OFFSET;
        let is_there = self.geometry.in_cluster(at) == 0 && at < self.tables.file_size();
        let at = if is_there { at } else { 0 };
        self.last = Some((number, at));
        Ok(at)
    }

    /// The stored count of a host cluster; 0 where none is stored.
    pub(super) fn get(&mut self, cluster: u64) -> Result<u64> {
        let block = self.block(cluster)?;
        if block == 0 {
            return Ok(0);
        }
        let index = cluster & ((1 << self.block_bits()) - 1);
        // At most 2 MiB of 8 bits each: no overflow.
        let bit = index << self.order;
        let word = self.word(HostOffset(block).plus(bit / 64 * 8))?;
        Ok(unpack(word, bit % 64, self.order))
    }

    fn word(&mut self, at: HostOffset) -> Result<u64> {
        // One page after the other: most counts are asked for in order.
        let step = 4096;
        let start = at.0 / step * step;
        if self.page.as_ref().is_none_or(|(held, _)| *held != start) {
            self.page = Some((start, self.tables.page(HostOffset(start))?));
        }
        let index = usize::try_from((at.0 - start) / 8).unwrap_or(usize::MAX);
        Ok(self.page.as_ref().and_then(|(_, page)| page.word(index)).unwrap_or(0))
    }
}

/// The count at bit `bit` of eight bytes. Counts of less than a byte begin at its lowest bit.
fn unpack(word: u64, bit: u64, order: u32) -> u64 {
    let width = 1_u64 << order;
    let mask = u64::MAX >> 64_u64.saturating_sub(width);
    let shift = if order >= 3 {
        64_u64.saturating_sub(bit).saturating_sub(width)
    } else {
        56_u64.saturating_sub(bit / 8 * 8).saturating_add(bit % 8)
    };
    (word >> shift.min(63)) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_every_width_are_unpacked() {
        let word = 0x0102_0304_0506_0708;
        assert_eq!(unpack(word, 0, 6), word);
        assert_eq!((unpack(word, 0, 4), unpack(word, 48, 4)), (0x0102, 0x0708));
        assert_eq!((unpack(word, 0, 3), unpack(word, 56, 3)), (1, 8));
        // 0x8C is 1000 1100: from the lowest bit on.
        let word = 0x8C00_0000_0000_0001;
        let bits: Vec<u64> = (0..8).map(|bit| unpack(word, bit, 0)).collect();
        assert_eq!(bits, [0, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!((unpack(word, 2, 1), unpack(word, 4, 2), unpack(word, 56, 0)), (3, 8, 1));
    }
}
