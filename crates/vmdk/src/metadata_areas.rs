//! The areas of a file whose place the header gives: neither a grain table nor a grain can be there.

use std::ops::Range;

use diskimg_core::{HostOffset, Result, ensure, range};

use crate::addr::SECTOR;
use crate::errors::truncated;

/// Named areas of metadata in one file.
pub(crate) struct MetadataAreas(Vec<(&'static str, Range<HostOffset>)>);

impl MetadataAreas {
    pub(crate) fn new(areas: Vec<(&'static str, Range<HostOffset>)>) -> Self {
        Self(areas)
    }

    /// The name of the first area that shares bytes with `host`.
    pub(crate) fn overlapping(&self, host: &Range<HostOffset>) -> Option<&'static str> {
        self.0.iter().find(|(_, area)| range::overlaps(area, host)).map(|(name, _)| *name)
    }

    /// The first byte after all areas.
    pub(crate) fn end(&self) -> HostOffset {
        self.ranges().map(|area| area.end).max().unwrap_or_default()
    }

    /// The bytes of each area.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &Range<HostOffset>> {
        self.0.iter().map(|(_, area)| area)
    }
}

/// Checks that an area is inside a file of `file_size` bytes. `field`, at byte `at`, is the field that places it.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Truncated`] if it is not.
pub(crate) fn check_in_file(field: &str, at: u64, area: &Range<HostOffset>, file_size: u64) -> Result<()> {
    ensure(area.end.0 <= file_size, || {
        truncated(field).at(at).found(area.start.0 / SECTOR).expected(format_args!(
            "{} bytes inside the file, which ends at byte {file_size}",
            area.end.since(area.start)
        ))
    })
}
