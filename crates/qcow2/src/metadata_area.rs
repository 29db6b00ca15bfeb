//! The places of metadata in the file.

use std::ops::Range;

use diskimg_core::range;

/// A part of the file that holds metadata. No guest cluster may be there.
pub(crate) struct MetadataArea {
    pub(crate) name: &'static str,
    pub(crate) range: Range<u64>,
}

/// Returns the name of an area that `range` overlaps.
pub(crate) fn overlapped(areas: &[MetadataArea], range: &Range<u64>) -> Option<&'static str> {
    areas.iter().find(|area| range::overlaps(&area.range, range)).map(|area| area.name)
}
