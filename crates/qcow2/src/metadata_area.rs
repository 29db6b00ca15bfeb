//! The places of metadata in the file.

use std::ops::Range;

use diskimg_core::{Error, HostOffset, Result, range};

/// A part of the file that holds metadata. No guest cluster may be there.
pub(crate) struct MetadataArea {
    pub(crate) name: &'static str,
    pub(crate) range: Range<HostOffset>,
}

/// Checks that no area has bytes of `range`.
///
/// # Errors
/// The error that `error` makes, with the name of the area.
pub(crate) fn check_free(
    areas: &[MetadataArea],
    range: &Range<HostOffset>,
    error: impl FnOnce() -> Error,
) -> Result<()> {
    match areas.iter().find(|area| range::overlaps(&area.range, range)) {
        None => Ok(()),
        Some(area) => Err(error().expected(format_args!("no overlap with the {}", area.name))),
    }
}
