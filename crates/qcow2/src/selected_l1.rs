//! The L1 table that maps the disk: the active one, or that of an internal snapshot.

use std::ops::Range;

use diskimg_core::{ErrorKind, Result, ensure};

use crate::addr::{HostOffset, span};
use crate::errors::{corrupt, limit};
use crate::header::{Header, MAX_L1_BYTES, MAX_REFCOUNT_TABLE_BYTES};
use crate::l1;
use crate::metadata_area::MetadataArea;
use crate::snapshot::SnapshotEntry;

/// An L1 table to read through, and the size of its disk.
pub(crate) struct SelectedL1 {
    pub(crate) offset: HostOffset,
    entries: u64,
    /// The size of the disk in bytes.
    pub(crate) disk_size: u64,
}

impl SelectedL1 {
    /// Returns the L1 table of the active disk.
    pub(crate) fn active(header: &Header) -> Self {
        let (offset, entries) = (HostOffset(header.l1_table_offset), header.l1_entries);
        Self { offset, entries, disk_size: header.virtual_size() }
    }

    /// Returns the L1 table of a snapshot, after the checks that the header's table has passed.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for a disk or a table that is too large; [`ErrorKind::Corrupt`] for a table that is
    /// too small for the disk, or does not start at a cluster.
    pub(crate) fn of_snapshot(header: &Header, entry: &SnapshotEntry) -> Result<Self> {
        let geometry = header.geometry;
        let disk_size = entry.snapshot.virtual_size;
        let fault = |field: &str, value: u64| corrupt(field).at(entry.at).found(value);
        ensure(i64::try_from(disk_size).is_ok(), || {
            limit("disk size of a snapshot").at(entry.at).found(disk_size).expected("less than 2^63 bytes")
        })?;
        let needed = geometry.l1_entries_for(disk_size);
        if entry.l1_entries < needed {
            return Err(fault("L1 size of a snapshot", entry.l1_entries)
                .expected(format_args!("at least {needed} for a disk of {disk_size} bytes")));
        }
        if entry.l1_entries > MAX_L1_BYTES / 8 {
            return Err(fault("L1 size of a snapshot", entry.l1_entries)
                .with_kind(ErrorKind::Limit)
                .expected(format_args!("at most {}", MAX_L1_BYTES / 8)));
        }
        if geometry.in_cluster(entry.l1_table_offset) != 0 {
            return Err(fault("L1 table offset of a snapshot", entry.l1_table_offset)
                .expected(format_args!("a multiple of the cluster size {}", geometry.cluster_size())));
        }
        Ok(Self { offset: HostOffset(entry.l1_table_offset), entries: entry.l1_entries, disk_size })
    }

    /// The bytes of the table that map the disk. The entries after them map saved machine state.
    pub(crate) fn mapping_bytes(&self, header: &Header) -> Range<HostOffset> {
        // No overflow: a table has at most 32 MiB.
        span(self.offset, header.geometry.l1_entries_for(self.disk_size) * 8)
    }

    /// Checks that the part of the table that maps the disk is in the file and not in the header. QEMU allows
    /// the rest of the table to be missing.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it overlaps the header; [`ErrorKind::Truncated`] if the file ends before it.
    pub(crate) fn check_in_file(&self, header: &Header, file_size: u64) -> Result<()> {
        let l1 = self.mapping_bytes(header);
        if l1.is_empty() {
            return Ok(());
        }
        ensure(l1.start.0 >= header.geometry.cluster_size(), || {
            corrupt("l1_table_offset").at(40).found(l1.start.0).expected("no overlap with the header")
        })?;
        ensure(l1.end.0 <= file_size, || l1::truncated_table(&l1, file_size))?;
        Ok(())
    }

    /// Returns the metadata whose place the header states. No guest cluster may be there.
    pub(crate) fn reserved(&self, header: &Header) -> Vec<MetadataArea> {
        let refcounts = header.refcount_table();
        let mut areas = vec![
            MetadataArea { name: "header", range: span(HostOffset(0), header.geometry.cluster_size()) },
            MetadataArea {
                name: "active L1 table",
                range: span(HostOffset(header.l1_table_offset), header.l1_bytes()),
            },
        ];
        // A length that QEMU rejects does not show where the table is.
        if header.refcount_table_bytes() <= MAX_REFCOUNT_TABLE_BYTES {
            areas.push(MetadataArea { name: "refcount table", range: refcounts });
        }
        if self.offset.0 != header.l1_table_offset {
            let range = span(self.offset, self.entries * 8);
            areas.push(MetadataArea { name: "L1 table of the snapshot", range });
        }
        areas.retain(|area| !area.range.is_empty());
        areas
    }
}
