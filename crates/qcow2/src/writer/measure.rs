//! What an image would take up, before it is written.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Host cluster management": each cluster of the file has a refcount, those
//! that hold the refcounts among them. The numbers are those of `qemu-img measure`.

use std::ops::Range;

use diskimg_core::{CreateOptions, Measured, Result, Touched};

use super::header;
use super::layout::Shape;
use super::settings::from_settings;

/// Measures the image that [`super::create`] would make with these options of a disk whose bytes in the ranges `data`
/// are stored; the ranges ascend and do not overlap; `None` if nothing is written. Tables are counted as for a full disk.
///
/// # Errors
/// As [`super::create`]; an error of `data`.
///
/// ```
/// use diskimg_core::CreateOptions;
/// let options = CreateOptions { virtual_size: 1 << 30, ..CreateOptions::default() };
/// let mut data = [Ok(0..100), Ok(200..300), Ok(70_000..70_001)].into_iter();
/// let measured = diskimg_qcow2::measure(&options, Some(&mut data))?;
/// assert_eq!(measured.fully_allocated - measured.required, (1 << 30) - 2 * 65_536);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub fn measure(
    options: &CreateOptions,
    data: Option<&mut dyn Iterator<Item = Result<Range<u64>>>>,
) -> Result<Measured> {
    let options = from_settings(options)?;
    let shape = Shape::new(&options)?;
    header::check(&options, &shape)?;
    let all = shape.guest_clusters();
    let stored = match data {
        None => 0,
        // How much a backing file shares with the disk is not known: nothing, at worst.
        Some(_) if options.backing.is_some() => all,
        Some(data) => clusters_of(shape.cluster(), data)?.min(all),
    };
    let bytes = |clusters: u64| clusters.saturating_mul(shape.cluster());
    let tables = tables_of(&shape);
    Ok(Measured {
        required: bytes(tables.saturating_add(stored)),
        fully_allocated: bytes(tables.saturating_add(all)),
    })
}

fn clusters_of(cluster: u64, data: &mut dyn Iterator<Item = Result<Range<u64>>>) -> Result<u64> {
    let mut touched = Touched::new(cluster);
    for range in data {
        touched.add(&range?);
    }
    Ok(touched.count())
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
    fn the_smallest_clusters_and_widest_refcounts_come_to_an_end() {
        let settings = diskimg_core::Setting::parse_list("cluster_size=512,refcount_bits=64").unwrap();
        let options = CreateOptions { virtual_size: 100 << 30, settings, ..CreateOptions::default() };
        let measured = measure(&options, None).unwrap();
        assert_eq!(measured.fully_allocated - measured.required, 100 << 30);
        // One more cluster in 64 is an L2 table, and one in 64 a refcount block.
        assert!(((100 << 25)..(100 << 26)).contains(&measured.required));
    }
}
