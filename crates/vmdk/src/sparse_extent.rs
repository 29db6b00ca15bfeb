//! One sparse extent, and the places in its file where grains can be.

use std::sync::{Arc, OnceLock};

use diskimg_core::{Budget, Error, GuestOffset, HostOffset, Result, ensure};

use crate::addr::{ExtentOffset, span};
use crate::errors::corrupt;
use crate::geometry::Geometry;
use crate::grain_tables::GrainTables;
use crate::marker::GRAIN_HEADER;
use crate::table_ranges::TableRanges;

/// A sparse extent: its tables, and checks of where its grains are.
pub(crate) struct SparseExtent {
    tables: GrainTables,
    /// The byte by which header, descriptor and tables end; 0 if no header gives it.
    overhead: HostOffset,
    /// Collected when the first uncompressed grain is read.
    table_ranges: OnceLock<TableRanges>,
    /// The memory for table ranges, shared by all files of the image.
    ranges_budget: Arc<Budget>,
}

impl SparseExtent {
    pub(crate) const fn new(tables: GrainTables, overhead: HostOffset, ranges_budget: Arc<Budget>) -> Self {
        Self { tables, overhead, table_ranges: OnceLock::new(), ranges_budget }
    }

    /// The grain directory and grain tables.
    pub(crate) const fn tables(&self) -> &GrainTables {
        &self.tables
    }

    /// The sizes of the extent.
    pub(crate) const fn geometry(&self) -> Geometry {
        self.tables.geometry()
    }

    /// Returns true if grains are compressed.
    pub(crate) const fn is_compressed(&self) -> bool {
        self.tables.layout().format.is_compressed()
    }

    /// The byte by which the metadata in front of the grains ends; 0 if no header gives it.
    pub(crate) const fn overhead(&self) -> HostOffset {
        self.overhead
    }

    /// The offset in the disk of an offset in the extent.
    pub(crate) const fn in_disk(&self, guest: ExtentOffset) -> GuestOffset {
        self.tables.in_disk(guest)
    }

    /// Checks that the `len` bytes at `skip` bytes into the uncompressed grain at `grain` can be guest data.
    ///
    /// Returns how many of them are inside the file: at least one.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] if they overlap metadata, [`diskimg_core::ErrorKind::Truncated`] if
    /// the file ends before them.
    pub(crate) fn check_data(
        &self,
        grain: HostOffset,
        skip: u64,
        len: u64,
        guest: ExtentOffset,
    ) -> Result<u64> {
        let first = grain.plus(skip);
        let range = span(grain, skip.saturating_add(len));
        if let Some(area) = self.tables.layout().areas.overlapping(&range) {
            return Err(self.misplaced("grain", grain, guest, area));
        }
        if self.table_ranges()?.overlap(&range) {
            return Err(self.misplaced("grain", grain, guest, "grain tables"));
        }
        match self.tables.file_size().saturating_sub(first.0) {
            0 => Err(self.tables.ends_before("grain", first, guest)),
            stored => Ok(len.min(stored)),
        }
    }

    /// Checks that a compressed grain can be at `host`: its header is inside the file and not on metadata.
    ///
    /// # Errors
    /// As [`check_data`](Self::check_data).
    pub(crate) fn check_compressed(&self, host: HostOffset, guest: ExtentOffset) -> Result<()> {
        let header = span(host, GRAIN_HEADER as u64);
        if let Some(area) = self.tables.layout().areas.overlapping(&header) {
            return Err(self.misplaced("compressed grain", host, guest, area));
        }
        ensure(header.end.0 <= self.tables.file_size(), || {
            self.tables.ends_before("compressed grain", host, guest)
        })?;
        Ok(())
    }

    /// The ranges of the grain tables. Two threads may collect them at the same time; the first result is kept.
    fn table_ranges(&self) -> Result<&TableRanges> {
        match self.table_ranges.get() {
            Some(ranges) => Ok(ranges),
            None => {
                let ranges = TableRanges::collect(&self.tables, self.overhead, &self.ranges_budget)?;
                Ok(self.table_ranges.get_or_init(|| ranges))
            }
        }
    }

    fn misplaced(&self, field: &str, host: HostOffset, guest: ExtentOffset, area: &str) -> Error {
        let expected = format!("no overlap with the {area}");
        corrupt(field).at(host.0).guest(self.in_disk(guest).0).expected(expected)
    }
}
