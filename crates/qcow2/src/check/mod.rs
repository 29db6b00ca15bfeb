//! Checking the structure: does every reference count say what the tables do?
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Host cluster management". What counts as a corruption and what as a
//! leak is as `qemu-img check` has it: a count that is too low, or an entry that cannot be, is a corruption; a
//! count that is too high is a leak.
//!
//! References are counted for a window of host clusters at a time, so that memory does not grow with the file;
//! the tables are walked once for each window.

mod counted_refs;
mod reference_walk;
mod stored_refcounts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use diskimg_core::{BlockSource, Budget, CheckReport, OpenOptions, Result};

use crate::addr::span;
use crate::features;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::header::MAX_REFCOUNT_TABLE_BYTES;
use crate::table_words::TableWords;
use counted_refs::CountedRefs;
use reference_walk::ReferenceWalk;
use stored_refcounts::StoredRefcounts;

/// Host clusters that are counted at a time. A bound of ours: 32 MiB of counts, for 512 GiB of clusters of 64 KiB.
const WINDOW: u64 = 8 << 20;

/// Table entries that are looked at, over all windows. A bound of ours, so that tables which stand for each
/// other without end do end: sixteen times what 64 TiB of clusters of 64 KiB need.
const ENTRIES: u64 = 16 << 30;

/// Checks one image: [`diskimg_core::Driver::check`] of this format.
///
/// # Errors
/// What keeps the image's tables from being found at all; as [`crate::inspect`], and for unknown features.
#[allow(clippy::needless_pass_by_value, reason = "the type of `Driver::check`")]
pub(crate) fn check(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<CheckReport> {
    let limits = &options.limits;
    let budget = Budget::new("header", limits.header_bytes);
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
        let range = first..clusters.min(first.saturating_add(WINDOW));
        let mut tally =
            CountedRefs::new(range.clone(), header.geometry, source.size(), &mut report, first == 0)?;
        walk.all(&mut tally)?;
        highest = compare(&tally.into_counts(), range.start, &parsed, &tables, &mut report)?.or(highest);
        first = range.end.max(first.saturating_add(1));
    }
    report.image_end = highest.map(|cluster| cluster.saturating_add(1) << header.geometry.cluster_bits());
    Ok(report)
}

/// Compares the counts of host clusters from `first` on with what is stored; the last cluster in use.
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
            // Most of a sparse file: nothing is stored for a whole block of clusters.
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

/// The refcount table of a header, cut to what QEMU allows.
fn refcount_table(parsed: &FirstCluster) -> std::ops::Range<u64> {
    let header = &parsed.header;
    let bytes = u64::from(header.refcount_table_clusters).saturating_mul(header.geometry.cluster_size());
    span(header.refcount_table_offset, bytes.min(MAX_REFCOUNT_TABLE_BYTES))
}
