//! What an image would take up, before it is written.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Host cluster management": each cluster of the file has a refcount, those
//! that hold the refcounts among them. The numbers are those of `qemu-img measure`.

use std::ops::Range;

use diskimg_core::{CreateOptions, Result};

use super::layout::Shape;
use super::settings::from_settings;

/// Bytes that the file of an image would have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measure {
    /// With the given data; at most, where clusters are compressed. The tables are counted as for a full disk.
    pub required: u64,
    /// With every cluster written.
    pub fully_allocated: u64,
}

/// Measures the image that [`super::create`] would make with these options of a disk whose bytes in the ranges `data`
/// are stored; the ranges ascend and do not overlap.
///
/// # Errors
/// As [`super::create`]; an error of `data`.
///
/// ```
/// use diskimg_core::CreateOptions;
/// let options = CreateOptions { virtual_size: 1 << 30, ..CreateOptions::default() };
/// let measure = diskimg_qcow2::measure(&options, [Ok(0..100), Ok(200..300), Ok(70_000..70_001)])?;
/// assert_eq!(measure.fully_allocated - measure.required, (1 << 30) - 2 * 65_536);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub fn measure(
    options: &CreateOptions,
    data: impl IntoIterator<Item = Result<Range<u64>>>,
) -> Result<Measure> {
    let options = from_settings(options)?;
    let shape = Shape::new(&options)?;
    let all = shape.guest_clusters();
    // How much a backing file shares with the disk is not known: nothing, at worst.
    let stored = if options.backing.is_some() { all } else { clusters_of(shape.cluster(), data)?.min(all) };
    let bytes = |clusters: u64| clusters.saturating_mul(shape.cluster());
    let tables = tables_of(&shape);
    Ok(Measure {
        required: bytes(tables.saturating_add(stored)),
        fully_allocated: bytes(tables.saturating_add(all)),
    })
}

/// How many clusters the ranges touch.
fn clusters_of(cluster: u64, data: impl IntoIterator<Item = Result<Range<u64>>>) -> Result<u64> {
    let (mut count, mut counted_to) = (0_u64, 0);
    for range in data {
        let range = range?;
        let first = (range.start / cluster).max(counted_to);
        let end = range.end.div_ceil(cluster);
        count = count.saturating_add(end.saturating_sub(first));
        counted_to = counted_to.max(end);
    }
    Ok(count)
}

/// Clusters of header, L1 table, L2 tables, refcount table and refcount blocks of a full disk.
fn tables_of(shape: &Shape) -> u64 {
    let l2_tables = shape.guest_clusters().div_ceil(shape.table_entries());
    let l1_clusters = l2_tables.saturating_mul(8).div_ceil(shape.cluster());
    let others = 1_u64.saturating_add(l2_tables).saturating_add(l1_clusters);
    let counted = others.saturating_add(shape.guest_clusters());
    let refcounts_per_block = (shape.cluster().saturating_mul(8) >> shape.refcount_order()).max(1);
    let blocks_per_table_cluster = (shape.cluster() / 8).max(1);
    let (mut blocks, mut table) = (0_u64, 0_u64);
    loop {
        let clusters = counted.saturating_add(blocks).saturating_add(table);
        let (before, more) = ((blocks, table), clusters.div_ceil(refcounts_per_block));
        (blocks, table) = (more, more.div_ceil(blocks_per_table_cluster));
        // Grows by less each time: a block counts hundreds of clusters.
        if (blocks, table) == before {
            return others.saturating_add(blocks).saturating_add(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_several_ranges_touch_is_counted_once() {
        let ranges = [0..1, 2..10, 9..20, 40..40, 59..61];
        assert_eq!(clusters_of(10, ranges.into_iter().map(Ok)).unwrap(), 4);
    }

    #[test]
    fn the_smallest_clusters_and_widest_refcounts_come_to_an_end() {
        let settings = diskimg_core::Setting::parse_list("cluster_size=512,refcount_bits=64").unwrap();
        let options = CreateOptions { virtual_size: 100 << 30, settings, ..CreateOptions::default() };
        let measure = measure(&options, []).unwrap();
        assert_eq!(measure.fully_allocated - measure.required, 100 << 30);
        // One more cluster in 64 is an L2 table, and one in 64 a refcount block.
        assert!(((100 << 25)..(100 << 26)).contains(&measure.required));
    }
}
