//! The refcount blocks of an image that only grows.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Host cluster management". Clusters are allocated in ascending
//! order, so a block is final once its last cluster is, and only the newest blocks are in memory.

use std::collections::VecDeque;

use diskimg_core::writer::WritePlan;
use diskimg_core::{Remedy, Result};

use super::image_geometry::ImageGeometry;
use crate::addr::HostOffset;
use crate::errors::limit;
use crate::header::MAX_REFCOUNT_TABLE_BYTES;

/// The refcounts of an image being written.
#[derive(Debug)]
pub(super) struct Refcounts {
    order: u32,
    cluster_bits: u32,
    /// The blocks that may still change; the first is block number `blocks.len() - open.len()`.
    open: VecDeque<Vec<u8>>,
    /// The offset of each block: the refcount table.
    blocks: Vec<HostOffset>,
}

impl Refcounts {
    /// Refcounts without blocks.
    pub(super) fn new(geometry: &ImageGeometry) -> Self {
        Self {
            order: geometry.refcount_order,
            cluster_bits: geometry.clusters.cluster_bits(),
            open: VecDeque::new(),
            blocks: Vec::new(),
        }
    }

    /// The largest refcount.
    pub(super) fn most(&self) -> u64 {
        u64::MAX >> 64_u32.saturating_sub(1 << self.order)
    }

    /// `log2` of the host clusters that one block counts; at least 6.
    fn block_bits(&self) -> u32 {
        self.cluster_bits.saturating_add(3).saturating_sub(self.order)
    }

    /// Host clusters that one block counts.
    pub(super) fn per_block(&self) -> u64 {
        1 << self.block_bits()
    }

    /// Host clusters that the blocks so far count.
    pub(super) fn covered(&self) -> u64 {
        (self.blocks.len() as u64) << self.block_bits()
    }

    /// Adds the next block, at this offset.
    pub(super) fn add_block(&mut self, host: HostOffset) -> Result<()> {
        if self.blocks.len() as u64 >= MAX_REFCOUNT_TABLE_BYTES / 8 {
            return Err(limit("refcount table")
                .because("a refcount table of 8 MiB cannot count more of the image file")
                .with_remedy(Remedy::SetOption(&[
                    ("cluster_size", "a larger size"),
                    ("refcount_bits", "fewer bits"),
                ])));
        }
        self.blocks.push(host);
        self.open.push_back(vec![0; 1 << self.cluster_bits]);
        Ok(())
    }

    /// The refcount of a host cluster; `None` if its block is not in memory.
    pub(super) fn count(&self, cluster: u64) -> Option<u64> {
        let (block, index) = self.locate(cluster)?;
        let block = self.open.get(block)?;
        if self.order >= 3 {
            let width = 1_usize << self.order.saturating_sub(3);
            let start = index.checked_mul(width)?;
            let bytes = block.get(start..start.checked_add(width)?)?;
            return Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
        }
        let (byte, shift) = self.bits_of(index);
        Some(u64::from(block.get(byte)? >> shift) & self.most())
    }

    /// Increments the refcount of a host cluster.
    pub(super) fn increment(&mut self, cluster: u64) -> Result<()> {
        let raised = self.count(cluster).filter(|count| *count < self.most());
        raised.and_then(|count| self.set(cluster, count.checked_add(1)?)).ok_or_else(|| {
            limit("refcount").because(format_args!("host cluster {cluster} has reached its largest refcount"))
        })
    }

    fn set(&mut self, cluster: u64, count: u64) -> Option<()> {
        let (block, index) = self.locate(cluster)?;
        let (byte, shift) = self.bits_of(index);
        let most = u8::try_from(self.most() & 0xFF).ok()?;
        let order = self.order;
        let block = self.open.get_mut(block)?;
        if order >= 3 {
            let width = 1_usize << order.saturating_sub(3);
            let start = index.checked_mul(width)?;
            let bytes = block.get_mut(start..start.checked_add(width)?)?;
            bytes.copy_from_slice(count.to_be_bytes().get(8_usize.checked_sub(width)?..)?);
        } else {
            let byte = block.get_mut(byte)?;
            *byte = (*byte & !(most << shift)) | (u8::try_from(count).ok()? << shift);
        }
        Some(())
    }

    /// The open block that counts `cluster`, and the index of the entry.
    fn locate(&self, cluster: u64) -> Option<(usize, usize)> {
        let closed = self.blocks.len().checked_sub(self.open.len())?;
        let block = usize::try_from(cluster >> self.block_bits()).ok()?.checked_sub(closed)?;
        let index = cluster & (1_u64 << self.block_bits()).saturating_sub(1);
        Some((block, usize::try_from(index).ok()?))
    }

    /// The byte and the shift of an entry narrower than a byte. The first entry has the lowest bits.
    fn bits_of(&self, index: usize) -> (usize, u32) {
        let per_byte_bits = 3_u32.saturating_sub(self.order);
        let inside = index & (1_usize << per_byte_bits).saturating_sub(1);
        (index >> per_byte_bits, u32::try_from(inside).unwrap_or(0) << self.order)
    }

    /// Plans to write the blocks that count only host clusters below `floor`, which no longer change.
    pub(super) fn close_below(&mut self, floor: u64, plan: &mut WritePlan) {
        let closed = (self.blocks.len().saturating_sub(self.open.len())) as u64;
        let mut end = closed.saturating_add(1) << self.block_bits();
        while end <= floor {
            let host = self.blocks.get(self.blocks.len().saturating_sub(self.open.len()));
            let (Some(host), Some(bytes)) = (host.copied(), self.open.pop_front()) else { return };
            plan.write_metadata(host, bytes);
            end = end.saturating_add(1 << self.block_bits());
        }
    }

    /// Plans to write all open blocks.
    pub(super) fn close_all(&mut self, plan: &mut WritePlan) {
        self.close_below(self.covered(), plan);
    }

    /// The clusters of the refcount table, at least one.
    pub(super) fn table_clusters(&self) -> u64 {
        let bytes = (self.blocks.len() as u64).saturating_mul(8);
        bytes.div_ceil(1 << self.cluster_bits).max(1)
    }

    /// The refcount table as stored in the file, padded to `clusters` clusters.
    pub(super) fn table(&self, clusters: u64) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.blocks.iter().flat_map(|host| host.0.to_be_bytes()).collect();
        let len = usize::try_from(clusters << self.cluster_bits).unwrap_or(bytes.len());
        bytes.resize(len.max(bytes.len()), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use diskimg_core::writer::PlannedWrite;

    use super::*;
    use crate::writer::WriterOptions;

    #[test]
    fn refcount_of_every_width_counts_to_its_largest_value() {
        for bits in [1, 2, 4, 8, 16, 32, 64] {
            let options =
                WriterOptions { refcount_bits: bits, cluster_size: 512, ..WriterOptions::default() };
            let mut counts = Refcounts::new(&ImageGeometry::new(&options).unwrap());
            counts.add_block(HostOffset(512)).unwrap();
            assert_eq!(counts.covered(), 4096 / u64::from(bits));
            let steps = counts.most().min(300);
            for _ in 0..steps {
                counts.increment(5).unwrap();
            }
            assert_eq!(counts.count(5), Some(steps), "{bits}");
            assert_eq!(counts.increment(5).is_err(), steps == counts.most(), "{bits}");
            assert_eq!((counts.count(4), counts.count(6)), (Some(0), Some(0)), "{bits}");
            assert_eq!(counts.count(counts.covered()), None);
        }
    }

    #[test]
    fn block_is_written_once_all_its_clusters_are_final() {
        let options = WriterOptions { refcount_bits: 64, cluster_size: 512, ..WriterOptions::default() };
        let mut counts = Refcounts::new(&ImageGeometry::new(&options).unwrap());
        counts.add_block(HostOffset(512)).unwrap();
        counts.add_block(HostOffset(64 * 512)).unwrap();
        let mut plan = WritePlan::default();
        counts.close_below(63, &mut plan);
        assert!(plan.writes().is_empty());
        counts.close_below(64, &mut plan);
        assert!(matches!(plan.writes(), [PlannedWrite::Metadata { host: HostOffset(512), .. }]));
        counts.increment(64).unwrap();
        assert!(counts.increment(63).is_err());
        counts.close_all(&mut plan);
        assert_eq!(plan.writes().len(), 2);
        assert_eq!(counts.table(1)[..16], [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 128, 0]);
    }
}
