//! The grain directory and the grain tables of one sparse extent.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Grain Directory" and "Grain Table".

use diskimg_core::{BlockSource, Error, GuestOffset, HostOffset, Result, ensure};

use crate::addr::{ExtentOffset, round_up_to_sector, span};
use crate::entry_format::{EntryFormat, GrainEntry};
use crate::errors::{corrupt, truncated};
use crate::geometry::Geometry;
use crate::metadata_areas::MetadataAreas;
use crate::table_file::{TableEntry, TableFile};

/// The offsets of the grain directories of an extent. Each has an entry for every table of the extent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GrainDirectories {
    /// The directory that the extent is read by.
    pub(crate) primary: HostOffset,
    /// The directory that replaces damaged entries of the primary one.
    pub(crate) redundant: Option<HostOffset>,
}

/// The properties that the header of a sparse extent gives to its tables.
pub(crate) struct TableLayout {
    /// The encoding of the entries.
    pub(crate) format: EntryFormat,
    pub(crate) geometry: Geometry,
    pub(crate) directories: GrainDirectories,
    /// The areas of metadata other than grain tables.
    pub(crate) areas: MetadataAreas,
}

/// The tables of one sparse extent. Errors name offsets in the disk.
pub(crate) struct GrainTables {
    file: TableFile,
    layout: TableLayout,
    /// The offset in the disk at which the extent begins.
    guest_start: GuestOffset,
}

impl GrainTables {
    pub(crate) fn new(file: TableFile, layout: TableLayout, guest_start: GuestOffset) -> Self {
        Self { file, layout, guest_start }
    }

    /// The file, as table entries.
    pub(crate) const fn file(&self) -> &TableFile {
        &self.file
    }

    /// The file, as bytes.
    pub(crate) fn source(&self) -> &dyn BlockSource {
        self.file.source()
    }

    /// Bytes of the file.
    pub(crate) fn file_size(&self) -> u64 {
        self.source().size()
    }

    /// The properties of the tables.
    pub(crate) const fn layout(&self) -> &TableLayout {
        &self.layout
    }

    /// The sizes of the extent.
    pub(crate) const fn geometry(&self) -> Geometry {
        self.layout.geometry
    }

    /// Bytes of a grain table.
    pub(crate) const fn table_bytes(&self) -> u64 {
        self.layout.geometry.entries_per_table().saturating_mul(self.file.entry_bytes())
    }

    /// Bytes of the sectors that a grain table occupies.
    pub(crate) const fn padded_table_bytes(&self) -> u64 {
        round_up_to_sector(self.table_bytes())
    }

    /// The offset in the disk of an offset in the extent.
    pub(crate) const fn in_disk(&self, guest: ExtentOffset) -> GuestOffset {
        guest.in_disk(self.guest_start)
    }

    /// Returns the offset of the grain table that a directory entry other than 0 refers to.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] if the table overlaps other metadata,
    /// [`diskimg_core::ErrorKind::Truncated`] if it begins past the end of the file.
    pub(crate) fn table(&self, entry: TableEntry) -> Result<HostOffset> {
        let guest = self.layout.geometry.table_start(entry.index);
        let in_disk = self.in_disk(guest);
        let located = self.layout.format.table(entry.value);
        let table = located.map_err(|error| error.at(entry.at.0).guest(in_disk.0))?;
        if let Some(area) = self.layout.areas.overlapping(&span(table, self.table_bytes())) {
            let misplaced = corrupt("grain directory entry").at(entry.at.0).guest(in_disk.0);
            let misplaced = misplaced.found(format_args!("a grain table at {:#x}", table.0));
            return Err(misplaced.expected(format_args!("no overlap with the {area}")));
        }
        ensure(table.0 < self.file_size(), || self.ends_before("grain table", table, guest))?;
        Ok(table)
    }

    /// Returns the offset of table `index` by the redundant directory, if there is one and its entry is valid.
    pub(crate) fn redundant_table(&self, index: u64) -> Option<HostOffset> {
        let at = self.file.entry_at(self.layout.directories.redundant?, index);
        let value = self.file.page(at).ok()?.entry(0).filter(|value| *value != 0)?;
        self.table(TableEntry { index, at, value }).ok()
    }

    /// Decodes the grain table entry at `at`, which maps `guest`.
    pub(crate) fn grain(&self, value: u64, at: HostOffset, guest: ExtentOffset) -> Result<GrainEntry> {
        let entry = self.layout.format.grain(value, self.layout.geometry.grain_bytes());
        entry.map_err(|error| error.at(at.0).guest(self.in_disk(guest).0))
    }

    /// The error for a structure at `at` that is past the end of the file.
    pub(crate) fn ends_before(&self, structure: &str, at: HostOffset, guest: ExtentOffset) -> Error {
        let because = format!("the file ends at byte {}", self.file_size());
        truncated(structure).at(at.0).guest(self.in_disk(guest).0).because(because)
    }
}
