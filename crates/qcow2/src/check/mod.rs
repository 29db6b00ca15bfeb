//! Checking the structure of an image: the stored refcounts must equal the number of references.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Host cluster management". Problems are classified as by
//! `qemu-img check`: a refcount that is too low, or an invalid entry, is a corruption; a refcount that is too high
//! is a leak.
//!
//! References are counted for one window of host clusters at a time, so that memory does not grow with the file.
//! The tables are walked once for each window.

mod counted_refs;
mod reference_walk;
mod stored_refcounts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use diskimg_core::{BlockSource, Budget, CheckReport, OpenOptions, Result};

use crate::features;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::table_words::TableWords;
use counted_refs::CountedRefs;
use reference_walk::ReferenceWalk;
use stored_refcounts::StoredRefcounts;

/// The number of host clusters that are counted at a time. Our limit: 32 MiB of counts, which cover 512 GiB at
/// 64 KiB clusters.
const WINDOW: u64 = 8 << 20;

/// The maximum number of table entries that are read, over all windows. Our limit, which bounds tables that refer to
/// each other many times: sixteen times the entries of 64 TiB at 64 KiB clusters.
const ENTRIES: u64 = 16 << 30;

/// Checks one image: [`diskimg_core::Driver::check`] of this format.
///
/// # Errors
/// As [`crate::inspect`]; [`diskimg_core::ErrorKind::Unsupported`] for unknown features; errors of `source`.
/// Damage in tables is reported, not an error.
#[allow(clippy::needless_pass_by_value, reason = "the type of `Driver::check`")]
pub(crate) fn check(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<CheckReport> {
    let limits = &options.limits;
    let budget = limits.header_budget();
    let mut window = FileWindow::new(source.as_ref(), limits)?;
    let parsed = FirstCluster::read(&mut window, &budget)?;
    let header = &parsed.header;
    features::check_known(header.incompatible, &parsed.extensions.feature_names)?;
    let tables = TableWords::new(Arc::clone(&source), header.geometry, limits);
    let mut report = CheckReport {
        total_units: Some(header.virtual_size().div_ceil(header.geometry.cluster_size())),
        ..CheckReport::default()
    };
    let entries = Budget::new("table entries of a check", ENTRIES);
    let stored = StoredRefcounts::new(header, &tables);
    let mut walk = ReferenceWalk {
        parsed: &parsed,
        limits,
        tables: &tables,
        stored,
        entries: &entries,
        file: &mut window,
    };
    let clusters = source.size().div_ceil(header.geometry.cluster_size());
    let mut highest = None;
    let mut first = 0;
    while first < clusters.max(1) {
        let counted = first..clusters.min(first + WINDOW);
        let first_report = (first == 0).then_some(&mut report);
        let mut refs = CountedRefs::new(counted.clone(), header.geometry, source.size(), first_report)?;
        walk.all(&mut refs)?;
        highest = compare(&refs.into_counts(), counted.start, &parsed, &tables, &mut report)?.or(highest);
        first = counted.end.max(first + 1);
    }
    report.image_end = highest.map(|cluster| (cluster + 1) << header.geometry.cluster_bits());
    Ok(report)
}

/// Compares the counts of the host clusters from `first` on with the stored refcounts. Returns the last cluster in
/// use.
fn compare(
    counts: &[u32],
    first: u64,
    parsed: &FirstCluster,
    tables: &TableWords,
    report: &mut CheckReport,
) -> Result<Option<u64>> {
    let mut stored = StoredRefcounts::new(&parsed.header, tables);
    let mut highest = None;
    let mut clusters = (first..).zip(counts).peekable();
    while let Some((cluster, &count)) = clusters.next() {
        if stored.is_absent(cluster)? && count == 0 {
            // Most of a sparse file: no refcounts are stored for a whole block of clusters.
            let end = stored.block_end(cluster);
            while clusters.next_if(|(cluster, count)| *cluster < end && **count == 0).is_some() {}
            continue;
        }
        let found = stored.get(cluster)?;
        let count = u64::from(count);
        let offset = cluster << parsed.header.geometry.cluster_bits();
        if found > 0 || count > 0 {
            highest = Some(cluster);
        }
        let message =
            || format!("cluster {cluster} has a reference count of {found}, and {count} references");
        if found < count {
            report.corruption(Some(offset), message());
        } else if found > count {
            report.leak(1, Some(offset), message());
        }
    }
    Ok(highest)
}
