//! Checking the structure of an image: the stored refcounts must equal the number of references.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Host cluster management". Problems are classified as by
//! `qemu-img check`: a refcount that is too low, or an invalid entry, is a corruption; a refcount that is too high
//! is a leak.
//!
//! Only host clusters near references are counted, as many at a time as fit in memory, which does not grow with the file.
//! The tables are walked once for each part.

mod counted_refs;
mod reference_walk;
mod stored_refcounts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use diskimg_core::{BlockSource, Budget, CheckReport, MetadataCache, OpenOptions, Result};

use crate::features;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::table_words::TableWords;
use counted_refs::{CountedRefs, RefCounts};
use reference_walk::ReferenceWalk;
use stored_refcounts::StoredRefcounts;

/// The number of host clusters that are counted at a time. Our limit: 32 MiB of counts, which cover 512 GiB at
/// 64 KiB clusters.
const COUNTED: u64 = 8 << 20;

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
    let tables =
        TableWords::new(Arc::clone(&source), header.geometry, MetadataCache::new(limits.metadata_cache));
    let mut report = CheckReport::default();
    report.total_units = Some(header.virtual_size().div_ceil(header.geometry.cluster_size()));
    options.progress.begin(Some(header.virtual_size()));
    let entries = Budget::new("table entries of a check", ENTRIES);
    let stored = StoredRefcounts::new(header, &tables);
    let mut walk = ReferenceWalk {
        parsed: &parsed,
        options,
        tables: &tables,
        stored,
        entries: &entries,
        file: &mut window,
    };
    let clusters = source.size().div_ceil(header.geometry.cluster_size()).max(1);
    let mut highest = None;
    let mut first = 0;
    while first < clusters {
        let first_report = (first == 0).then_some(&mut report);
        let mut refs =
            CountedRefs::new(first..clusters, COUNTED, header.geometry, source.size(), first_report);
        walk.all(&mut refs)?;
        let counts = refs.into_counts();
        highest = compare(&counts, &parsed, &tables, options, &mut report)?.or(highest);
        first = counts.counted.end.max(first + 1);
    }
    report.image_end = highest.map(|cluster| (cluster + 1) << header.geometry.cluster_bits());
    Ok(report)
}

/// Compares the counts of host clusters with the stored refcounts. Returns the last cluster in use.
fn compare(
    counts: &RefCounts,
    parsed: &FirstCluster,
    tables: &TableWords,
    options: &OpenOptions<'_>,
    report: &mut CheckReport,
) -> Result<Option<u64>> {
    let mut stored = StoredRefcounts::new(&parsed.header, tables);
    let mut highest = None;
    let mut cluster = counts.counted.start;
    while cluster < counts.counted.end {
        let block_end = stored.block_end(cluster).min(counts.counted.end);
        options.advance(0)?;
        if stored.is_absent(cluster)? {
            // Most of a sparse file: nothing is stored or referenced.
            let referenced = counts.next_referenced(cluster).unwrap_or(counts.counted.end);
            let next = referenced.min(stored.next_block(cluster)).min(counts.counted.end);
            if next > cluster {
                cluster = next;
                continue;
            }
        }
        for cluster in cluster..block_end {
            let (found, count) = (stored.get(cluster)?, counts.get(cluster));
            if found > 0 || count > 0 {
                highest = Some(cluster);
            }
            report_difference(cluster, found, count, parsed, report);
        }
        cluster = block_end;
    }
    Ok(highest)
}

/// Reports a stored refcount of `found` for a cluster with `count` references.
fn report_difference(cluster: u64, found: u64, count: u64, parsed: &FirstCluster, report: &mut CheckReport) {
    let offset = cluster << parsed.header.geometry.cluster_bits();
    let message = || format!("cluster {cluster} has a reference count of {found}, and {count} references");
    if found < count {
        report.corruption(Some(offset), message());
    } else if found > count {
        report.leak(1, Some(offset), message());
    }
}
