//! The check of one image: its head, the files it claims, and each sparse extent.

use std::sync::Arc;

use diskimg_core::{BlockSource, CheckReport, ErrorKind, OpenOptions, Result};

use super::extent_check::ExtentCheck;
use super::file_claims;
use crate::open::Vmdk;

/// Checks one layer of an image: [`diskimg_core::Driver::check`] of this format.
///
/// Corruptions are: damage that keeps the image from being opened, except for the errors below; an unclean
/// shutdown; grain tables and grains past the end of the file, on metadata or on each other; compressed grains
/// whose marker gives another guest offset, or which the markers lead to but no table names; redundant tables
/// that differ; extents that claim the same bytes of a file.
///
/// Leaks are unused places between grains, counted in grains. They are reported only for an image without
/// corruptions, because a damaged entry makes the grain that it should name look unused. Markers and tables fill
/// the space between compressed grains; there, only a grain that the tables replace with another is a leak.
///
/// Grains are not decompressed. The tables are read two or three times, or a few times more if grains are out of
/// order in a very large file. Memory: [`diskimg_core::Limits::metadata_cache`] for pages of the tables, and as
/// much again for lists and bitmaps of the file.
///
/// # Errors
/// [`ErrorKind::UnknownFormat`], [`ErrorKind::Unsupported`], [`ErrorKind::Encrypted`], [`ErrorKind::Denied`],
/// [`ErrorKind::Limit`] and [`ErrorKind::Io`], as opening the image returns them; [`ErrorKind::Limit`] also if
/// the tables are too many for the memory limit.
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
    options.progress.begin(Some(image.extents.size()));
    report_findings(&image, &mut report);
    file_claims::check_overlaps(&image.extents, &mut report);
    for extent in image.extents.iter() {
        if let Some(sparse) = extent.sparse() {
            let mut checked = ExtentCheck::new(extent, sparse, &mut report, options);
            checked.check_tables()?;
            checked.check_grains()?;
            let end = checked.end();
            checked.check_overlaps()?;
            checked.check_orphans()?;
            report.image_end = (image.extents.len() == 1).then_some(end.0);
        }
    }
    Ok(report)
}

/// Reports an unclean shutdown, and a directory that is not usable at all. Findings on single entries have an
/// offset; the check of the tables reports those.
fn report_findings(image: &Vmdk, report: &mut CheckReport) {
    if image.info.dirty {
        let message = "uncleanShutdown at byte 72 is set: the last writer did not close the image";
        report.corruption(Some(72), message);
    }
    for finding in image.info.findings.iter().filter(|finding| finding.check == "grain_directory") {
        if finding.offset.is_none() {
            report.corruption(None, finding.message.clone());
        }
    }
}
