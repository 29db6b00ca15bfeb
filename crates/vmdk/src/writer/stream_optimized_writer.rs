//! Writes a stream-optimised extent: compressed grains in disk order, each grain table right after the grains that it
//! maps, the directory and a footer at the end.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents"; the layout is that of
//! ovftool and vSphere. All writes ascend if the sink requires it, so that it may be a pipe.

use std::ops::Range;
use std::sync::Mutex;

use diskimg_core::writer::{
    DiskUnits, EncodeBuffer, ImageFile, PreparedSegment, SegmentBatch, SegmentUnit, UnitImage, WritePlan,
    lock,
};
use diskimg_core::{
    Batch, BlockSink, GuestOffset, HostOffset, Result, SinkProperties, WriteOrder, check_range, range, zeros,
};

use super::encoded_header::EncodedHeader;
use super::extent_layout::SECTOR_BYTES;
use super::grain_encoder::GrainEncoder;
use super::stream_allocator::StreamAllocator;
use crate::addr::{ExtentOffset, sector_offset};
use crate::errors::{FORMAT, needs_seek};
use crate::geometry::Geometry;
use crate::sparse_header::{COMPRESSED, GD_AT_END, MARKERS, NEWLINE_TEST_VALID};

/// A stream-optimised extent being written over a sink that grows.
pub(super) struct StreamOptimizedWriter {
    file: ImageFile,
    /// True if the sink accepts only ascending offsets.
    ascending: bool,
    geometry: Geometry,
    level: Option<i32>,
    /// Whole sectors.
    descriptor: Vec<u8>,
    pending: Mutex<PendingGrain>,
    allocator: Mutex<StreamAllocator>,
}

/// The grain that direct writes have filled in part.
struct PendingGrain {
    /// The extent is written up to here.
    position: ExtentOffset,
    /// The first bytes of the grain of `position`; the missing ones up to there are zeros.
    bytes: Vec<u8>,
    encoder: GrainEncoder,
    buffer: EncodeBuffer,
}

impl StreamOptimizedWriter {
    /// Begins an extent in an empty sink.
    pub(super) fn new(
        sink: Box<dyn BlockSink>,
        geometry: Geometry,
        level: Option<i32>,
        descriptor: Vec<u8>,
    ) -> Result<Self> {
        let encoder = GrainEncoder::new(geometry.grain_bytes(), level)?;
        let (position, buffer) = (ExtentOffset(0), EncodeBuffer::default());
        let pending = Mutex::new(PendingGrain { position, bytes: Vec::new(), encoder, buffer });
        let overhead = overhead_sectors(geometry, sectors_of(&descriptor));
        let allocator = Mutex::new(StreamAllocator::new(geometry, overhead)?);
        let file = ImageFile::new(FORMAT, sink);
        let ascending = file.order() == WriteOrder::Ascending;
        let this = Self { file, ascending, geometry, level, descriptor, pending, allocator };
        if ascending {
            this.write_header()?;
            this.write_descriptor()?;
        }
        Ok(this)
    }

    fn header(&self, directory_sector: u64) -> EncodedHeader {
        let descriptor_sectors = sectors_of(&self.descriptor);
        EncodedHeader {
            version: 3,
            flags: NEWLINE_TEST_VALID | COMPRESSED | MARKERS,
            capacity_sectors: self.geometry.capacity_sectors(),
            grain_sectors: self.geometry.grain_sectors(),
            descriptor_sectors,
            redundant_directory_sector: 0,
            directory_sector,
            overhead_sectors: overhead_sectors(self.geometry, descriptor_sectors),
        }
    }

    fn write_header(&self) -> Result<()> {
        self.file.write_at(HostOffset(0), &self.header(GD_AT_END).encode())
    }

    fn write_descriptor(&self) -> Result<()> {
        self.file.write_at(sector_offset(1), &self.descriptor)
    }

    /// Writes the grain at `start`, unless it is all zeros and zeros are not stored.
    fn write_grain(
        &self,
        start: ExtentOffset,
        bytes: &[u8],
        encoder: &mut GrainEncoder,
        buffer: &mut EncodeBuffer,
    ) -> Result<()> {
        if bytes.is_empty() || (zeros::is_zero(bytes) && !self.file.stores_zeros()) {
            return Ok(());
        }
        buffer.clear();
        let record = encoder.encode(start, bytes, buffer)?;
        let mut plan = WritePlan::default();
        lock(&self.allocator).allocate(start, record, &mut plan)?;
        plan.execute_without_guest(&self.file, buffer)
    }

    /// Moves the position to `offset`; the bytes in between are zeros.
    fn skip_to(&self, pending: &mut PendingGrain, offset: ExtentOffset) -> Result<()> {
        if offset < pending.position {
            return Err(needs_seek("streamOptimized")
                .found(format_args!("already at guest byte {}", pending.position.0))
                .expected(format_args!("to write at guest byte {}", offset.0)));
        }
        let grain = self.geometry.grain_start(pending.position);
        if self.geometry.grain_start(offset) != grain {
            self.write_pending(pending, grain)?;
        }
        pending.position = offset;
        Ok(())
    }

    /// Writes the pending grain, which begins at `start`.
    fn write_pending(&self, pending: &mut PendingGrain, start: ExtentOffset) -> Result<()> {
        let PendingGrain { bytes, encoder, buffer, .. } = pending;
        let written = self.write_grain(start, bytes, encoder, buffer);
        bytes.clear();
        written
    }

    /// Writes `data` at the position.
    fn append(&self, pending: &mut PendingGrain, data: &[u8]) -> Result<()> {
        let geometry = self.geometry;
        let mut rest = data;
        while !rest.is_empty() {
            let start = pending.position;
            let part = start
                ..geometry.grain_start(start).plus(geometry.grain_bytes()).min(start.plus(rest.len() as u64));
            let len = part.end.since(part.start);
            let (bytes, more) =
                rest.split_at_checked(usize::try_from(len).unwrap_or(usize::MAX)).unwrap_or((rest, &[]));
            if len == geometry.grain_bytes() {
                self.write_grain(start, bytes, &mut pending.encoder, &mut pending.buffer)?;
                pending.position = part.end;
            } else {
                let in_grain = usize::try_from(geometry.in_grain(start)).unwrap_or(usize::MAX);
                pending.bytes.resize(in_grain, 0);
                pending.bytes.extend_from_slice(bytes);
                self.skip_to(pending, part.end)?;
            }
            rest = more;
        }
        Ok(())
    }

    fn complete(&self) -> Result<()> {
        self.file.ledger().check_complete()?;
        let mut pending = lock(&self.pending);
        let start = self.geometry.grain_start(pending.position);
        self.write_pending(&mut pending, start)?;
        let mut plan = WritePlan::default();
        lock(&self.allocator).finish(|directory| self.header(directory).encode(), &mut plan)?;
        plan.execute_without_guest(&self.file, &EncodeBuffer::default())?;
        if self.ascending {
            return Ok(());
        }
        self.write_descriptor()?;
        self.write_header()
    }
}

fn sectors_of(descriptor: &[u8]) -> u64 {
    (descriptor.len() / SECTOR_BYTES) as u64
}

/// The first sector of the first grain: header and descriptor, padded to a whole grain.
pub(super) fn overhead_sectors(geometry: Geometry, descriptor_sectors: u64) -> u64 {
    descriptor_sectors.saturating_add(1).next_multiple_of(geometry.grain_sectors())
}

impl UnitImage for StreamOptimizedWriter {
    type UnitEncoder = GrainEncoder;
    /// The record of a grain in the job's buffer.
    type EncodedUnit = Range<usize>;

    fn units(&self) -> DiskUnits {
        let unit_bytes = self.geometry.grain_bytes();
        DiskUnits { format: FORMAT, disk_bytes: self.geometry.capacity(), unit_bytes, name: "grain" }
    }

    fn file(&self) -> &ImageFile {
        &self.file
    }

    fn encode(
        &self,
        encoder: &mut GrainEncoder,
        guest: GuestOffset,
        bytes: &[u8],
        buffer: &mut EncodeBuffer,
    ) -> Result<Range<usize>> {
        encoder.encode(ExtentOffset(guest.0), bytes, buffer)
    }

    /// The disk of the segment is this extent.
    fn place(&self, segment: &PreparedSegment<'_, Range<usize>>, plan: &mut WritePlan) -> Result<()> {
        let mut pending = lock(&self.pending);
        self.skip_to(&mut pending, ExtentOffset(segment.segment.offset))?;
        self.skip_to(&mut pending, ExtentOffset(segment.segment.end()))?;
        drop(pending);
        let mut allocator = lock(&self.allocator);
        for unit in segment.units {
            if let SegmentUnit::Data { guest, encoded } = unit {
                allocator.allocate(ExtentOffset(guest.start.0), encoded.clone(), plan)?;
            }
        }
        drop(allocator);
        if self.ascending { plan.execute_without_guest(&self.file, segment.buffer) } else { Ok(()) }
    }
}

impl BlockSink for StreamOptimizedWriter {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(offset, data.len() as u64, self.geometry.capacity())?;
        let mut pending = lock(&self.pending);
        let skipped = self.skip_to(&mut pending, ExtentOffset(offset));
        self.file.ledger().record(skipped.and_then(|()| self.append(&mut pending, data)))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_range(range.start, range::len(&range), self.geometry.capacity())?;
        let mut pending = lock(&self.pending);
        let skipped = self.skip_to(&mut pending, ExtentOffset(range.start));
        self.file.ledger().record(skipped.and_then(|()| self.skip_to(&mut pending, ExtentOffset(range.end))))
    }

    fn properties(&self) -> SinkProperties {
        let granularity = self.geometry.grain_bytes();
        let stores_zeros = self.file.stores_zeros();
        SinkProperties {
            order: WriteOrder::Ascending,
            granularity,
            stores_zeros,
            ..SinkProperties::default()
        }
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        let encoder = GrainEncoder::new(self.geometry.grain_bytes(), self.level).ok()?;
        Some(Box::new(SegmentBatch::new(self, encoder)))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?;
        self.file.finish()
    }
}
