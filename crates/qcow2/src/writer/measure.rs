//! The size of an image before it is written.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, "Host cluster management": each cluster of the file has a refcount,
//! including those that store refcounts. The results equal those of `qemu-img measure`.

use std::ops::Range;

use diskimg_core::{CreateOptions, Measured, Result, Touched};

use super::header;
use super::image_geometry::ImageGeometry;
use super::settings::from_settings;

/// Computes the size of the image that [`super::create`] makes with these options.
///
/// The ranges `data` are stored; they ascend and do not overlap. `None` stores nothing. Tables are counted as for a
/// full disk.
///
/// # Errors
/// Those of [`super::create`]; an error of `data`.
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
    let allocates_all = allocates_all(options);
    let options = from_settings(options)?;
    let geometry = ImageGeometry::new(&options)?;
    header::check(&options, &geometry)?;
    let all = geometry.guest_clusters();
    let stored = match data {
        _ if allocates_all => all,
        None => 0,
        // The backing file may share nothing with the disk.
        Some(_) if options.backing.is_some() => all,
        Some(data) => count_clusters(geometry.clusters.cluster_size(), data)?.min(all),
    };
    let bytes = |clusters: u64| clusters.saturating_mul(geometry.clusters.cluster_size());
    let tables = count_table_clusters(&geometry);
    Ok(Measured::new(bytes(tables.saturating_add(stored)), bytes(tables.saturating_add(all))))
}

/// Returns true if the file has space for all clusters from the beginning.
fn allocates_all(options: &CreateOptions) -> bool {
    let preallocation = options.settings.iter().rfind(|setting| setting.name == "preallocation");
    preallocation.is_some_and(|setting| matches!(setting.value.as_str(), "falloc" | "full"))
}

fn count_clusters(cluster: u64, data: &mut dyn Iterator<Item = Result<Range<u64>>>) -> Result<u64> {
    let mut touched = Touched::new(cluster);
    for range in data {
        touched.add(&range?);
    }
    Ok(touched.count())
}

/// Counts the clusters of header, L1 table, L2 tables, refcount table and refcount blocks of a full disk.
fn count_table_clusters(geometry: &ImageGeometry) -> u64 {
    let cluster = geometry.clusters.cluster_size();
    let l2_tables = geometry.guest_clusters().div_ceil(geometry.clusters.l2_entries());
    let l1_clusters = l2_tables.saturating_mul(8).div_ceil(cluster);
    let others = 1_u64.saturating_add(l2_tables).saturating_add(l1_clusters);
    let counted = others.saturating_add(geometry.guest_clusters());
    let refcounts_per_block = (cluster.saturating_mul(8) >> geometry.refcount_order).max(1);
    let blocks_per_table_cluster = (cluster / 8).max(1);
    let (mut blocks, mut table) = (0_u64, 0_u64);
    loop {
        let clusters = counted.saturating_add(blocks).saturating_add(table);
        let (before, more) = ((blocks, table), clusters.div_ceil(refcounts_per_block));
        (blocks, table) = (more, more.div_ceil(blocks_per_table_cluster));
        // Each step adds less: a block counts many clusters.
        if (blocks, table) == before {
            return others.saturating_add(blocks).saturating_add(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_count_with_smallest_clusters_and_widest_refcounts_is_finite() {
        let settings = diskimg_core::Setting::parse_list("cluster_size=512,refcount_bits=64").unwrap();
        let options = CreateOptions { virtual_size: 100 << 30, settings, ..CreateOptions::default() };
        let measured = measure(&options, None).unwrap();
        assert_eq!(measured.fully_allocated - measured.required, 100 << 30);
        // Per 64 clusters there is one L2 table and one refcount block.
        assert!(((100 << 25)..(100 << 26)).contains(&measured.required));
    }
}
