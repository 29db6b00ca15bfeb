//! Checking the structure of an image: every entry of every table, and what it claims of the file.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Grain Directory" and "Grain Table": each allocated grain has a
//! place of its own in the file, and the redundant tables say what the others say.

mod bitmap;
mod files;
mod grains;
mod orphans;
mod overlaps;
mod tables;

use std::sync::Arc;

use diskimg_core::{BlockSource, Budget, CheckReport, ErrorKind, Limits, OpenOptions, Result};

use crate::extents::{Content, Part};
use crate::lookup::SparseExtent;
use crate::open::Vmdk;

/// Checks one layer of an image: [`diskimg_core::Driver::check`] of this format.
///
/// Told as corruptions: what keeps the image from being opened, except what is said below; an unclean shutdown;
/// grain tables and grains behind the end of the file, on metadata or on each other; compressed grains whose
/// marker belongs to another place, or which no table names though their markers follow on those of others;
/// redundant tables that differ; extents on the same bytes of one file. Places in the file between grains that
/// nothing uses are leaks, counted in grains; only those of an image without corruptions, because a damaged
/// entry makes what it should name look lost. Between compressed grains, where markers and tables stand, only a
/// grain is one, when the tables name another for its place. Grains are not inflated.
///
/// The tables are read two or three times or, where grains lie out of order in a very large file, a few times more.
/// Memory: [`Limits::metadata_cache`] for pages of the tables, and as much again for what is known of the
/// file.
///
/// # Errors
/// [`ErrorKind::UnknownFormat`], [`ErrorKind::Unsupported`], [`ErrorKind::Denied`], [`ErrorKind::Limit`] and
/// [`ErrorKind::Io`], as opening the image gives them; [`ErrorKind::Limit`] also when the tables are too many
/// for the memory allowed.
pub(crate) fn check(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let image = match Vmdk::open(source, options) {
        Ok(image) => image,
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated) => {
            report.corruption(error.offset(), error.to_string());
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    if image.info.dirty {
        let message = "uncleanShutdown at byte 72 is set: the last writer did not close the image";
        report.corruption(Some(72), message);
    }
    // A directory that cannot be used at all; damage inside of one has a place, and is found again below.
    for finding in image.info.findings.iter().filter(|finding| finding.check == "grain_directory") {
        if finding.offset.is_none() {
            report.corruption(None, finding.message.clone());
        }
    }
    files::overlaps(&image.parts, &mut report);
    for part in &image.parts {
        if let Content::Sparse(extent) = &part.content {
            let mut checked = Checked::new(part, extent, &mut report, &options.limits);
            checked.tables()?;
            checked.grains()?;
            let end = checked.end;
            checked.overlaps()?;
            checked.orphans()?;
            report.image_end = (image.parts.len() == 1).then_some(end);
        }
    }
    Ok(report)
}

/// A sparse extent being checked.
struct Checked<'a> {
    part: &'a Part,
    extent: &'a SparseExtent,
    report: &'a mut CheckReport,
    /// What may be kept in memory about the file.
    budget: Budget,
    /// The grain tables, by their place in the directory; none shares a byte with another.
    tables: Vec<tables::Table>,
    /// Where metadata is, in the order of the file.
    metadata: Vec<std::ops::Range<u64>>,
    /// Byte offset behind the last unit in use.
    end: u64,
    /// What grains have in common: where they lie, and whether in the order of the file.
    lie: grains::Lie,
}

impl<'a> Checked<'a> {
    fn new(part: &'a Part, extent: &'a SparseExtent, report: &'a mut CheckReport, limits: &Limits) -> Self {
        let budget = Budget::new("what is kept of the image's tables", limits.metadata_cache);
        let (tables, metadata) = (Vec::new(), Vec::new());
        let end = extent.reserved.iter().map(|part| part.range.end).max().unwrap_or_default();
        Self { part, extent, report, budget, tables, metadata, end, lie: grains::Lie::default() }
    }

    /// Tells of a corruption whose place is the entry, or the marker, at byte `at`.
    fn tell(&mut self, at: u64, error: diskimg_core::Error) {
        self.report.corruption(Some(at), self.part.named(error).to_string());
    }
}
