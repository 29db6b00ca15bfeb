//! Writes a sparse extent: all tables first, then grains in the order in which they are first written.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extents". As with VMware and QEMU, each grain table has a
//! fixed offset, so that only grains are appended. Tables without entries are holes in the file.

use std::ops::Range;
use std::sync::Mutex;

use diskimg_core::writer::{
    DiskUnits, EncodeBuffer, ImageFile, PreparedSegment, SegmentBatch, SegmentJob, SegmentUnit, UnitImage,
    WritePlan, lock,
};
use diskimg_core::{Batch, BlockSink, GuestOffset, HostOffset, Result, SinkProperties};

use super::encoded_header::EncodedHeader;
use super::extent_layout::{
    DirectoryLayout, GRAIN_TABLE_BYTES, MetadataLayout, SECTOR_BYTES, sector_number, table_bytes,
};
use super::open_tables::OpenTables;
use crate::addr::{ExtentOffset, SECTOR, sector_offset};
use crate::errors::FORMAT;
use crate::geometry::Geometry;
use crate::sparse_header::{NEWLINE_TEST_VALID, REDUNDANT_DIRECTORY, ZEROED_GRAIN};

/// Entries of a grain directory per write. Our limit.
const DIRECTORY_STEP: u64 = 65_536;

/// A sparse extent being written over a sink that grows and accepts any order.
pub(super) struct SparseWriter {
    file: ImageFile,
    geometry: Geometry,
    metadata: MetadataLayout,
    zeroed_grain: bool,
    /// Whole sectors; empty if the descriptor is in its own file.
    descriptor: Vec<u8>,
    tables: Mutex<OpenTables>,
}

impl SparseWriter {
    /// Begins an extent in an empty sink.
    pub(super) fn new(
        sink: Box<dyn BlockSink>,
        geometry: Geometry,
        zeroed_grain: bool,
        descriptor: Vec<u8>,
    ) -> Result<Self> {
        let metadata = MetadataLayout::new(geometry, descriptor_sectors(&descriptor))?;
        let tables = Mutex::new(OpenTables::new(geometry, metadata));
        let file = ImageFile::new(FORMAT, sink);
        Ok(Self { file, geometry, metadata, zeroed_grain, descriptor, tables })
    }

    /// Writes a grain directory.
    fn write_directory(&self, layout: DirectoryLayout) -> Result<()> {
        let count = self.geometry.tables();
        let mut at = 0;
        while at < count {
            let end = at.saturating_add(DIRECTORY_STEP).min(count);
            let sector = |index: u64| {
                sector_number(
                    layout.tables_sector.saturating_add(index.saturating_mul(GRAIN_TABLE_BYTES / SECTOR)),
                )
            };
            let words = (at..end).map(sector).collect::<Result<Vec<u32>>>()?;
            let host = sector_offset(layout.directory_sector).plus(at.saturating_mul(4));
            self.file.write_at(host, &table_bytes(&words))?;
            at = end;
        }
        Ok(())
    }

    fn header(&self) -> EncodedHeader {
        let zeroed_grain = if self.zeroed_grain { ZEROED_GRAIN } else { 0 };
        EncodedHeader {
            version: if self.zeroed_grain { 2 } else { 1 },
            flags: NEWLINE_TEST_VALID | REDUNDANT_DIRECTORY | zeroed_grain,
            capacity_sectors: self.geometry.capacity_sectors(),
            grain_sectors: self.geometry.grain_sectors(),
            descriptor_sectors: descriptor_sectors(&self.descriptor),
            redundant_directory_sector: self.metadata.redundant.directory_sector,
            directory_sector: self.metadata.primary.directory_sector,
            overhead_sectors: self.metadata.overhead_sectors,
        }
    }

    /// Writes the metadata. The header is last, so that the file is not a valid extent before.
    fn complete(&self) -> Result<()> {
        self.file.ledger().check_complete()?;
        let mut plan = WritePlan::default();
        let mut tables = lock(&self.tables);
        tables.complete_below(ExtentOffset(self.geometry.capacity()), &mut plan);
        plan.execute_without_guest(&self.file, &EncodeBuffer::default())?;
        self.write_directory(self.metadata.redundant)?;
        self.write_directory(self.metadata.primary)?;
        // Readers expect whole grains, also at the end of the disk.
        self.file.extend_to(tables.end())?;
        self.file.write_at(sector_offset(1), &self.descriptor)?;
        self.file.write_at(HostOffset(0), &self.header().encode())
    }
}

fn descriptor_sectors(descriptor: &[u8]) -> u64 {
    descriptor.len().div_ceil(SECTOR_BYTES) as u64
}

impl UnitImage for SparseWriter {
    type UnitEncoder = ();
    type EncodedUnit = ();

    fn units(&self) -> DiskUnits {
        let unit_bytes = self.geometry.grain_bytes();
        DiskUnits { format: FORMAT, disk_bytes: self.geometry.capacity(), unit_bytes, name: "grain" }
    }

    fn file(&self) -> &ImageFile {
        &self.file
    }

    fn encode(&self, (): &mut (), _: GuestOffset, _: &[u8], _: &mut EncodeBuffer) -> Result<()> {
        Ok(())
    }

    /// The disk of the segment is this extent.
    fn place(&self, segment: &PreparedSegment<'_, ()>, plan: &mut WritePlan) -> Result<()> {
        let mut tables = lock(&self.tables);
        for unit in segment.units {
            match unit {
                SegmentUnit::Zeros(range) => {
                    let range = ExtentOffset(range.start.0)..ExtentOffset(range.end.0);
                    tables.allocated(range)?.for_each(|host| plan.zero(host));
                }
                SegmentUnit::Data { guest, .. } => {
                    let (host, fresh) = tables.allocate(ExtentOffset(guest.start.0), plan)?;
                    plan.write_guest(guest.clone(), host, fresh);
                }
            }
        }
        if segment.in_order {
            tables.complete_below(ExtentOffset(segment.segment.end()), plan);
        }
        Ok(())
    }
}

impl BlockSink for SparseWriter {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        SegmentJob::new(()).write_at(self, offset, data)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        SegmentJob::new(()).zero(self, &range)
    }

    fn properties(&self) -> SinkProperties {
        let (granularity, stores_zeros) = (self.geometry.grain_bytes(), self.file.stores_zeros());
        SinkProperties { granularity, stores_zeros, ..SinkProperties::default() }
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        Some(Box::new(SegmentBatch::new(self, ())))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?;
        self.file.finish()
    }
}
