//! Writes a stream-optimised extent: compressed grains in the order of the disk, each grain table right behind
//! the grains that it maps, the directory and a footer at the end.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents"; the layout is the
//! one that ovftool and vSphere write. Nothing is ever written before what is there already, so that the file
//! may be a pipe.

use std::ops::Range;
use std::sync::Mutex;

use diskimg_core::{
    Batch, BlockSink, Error, ErrorKind, Result, Segment, SinkProperties, WriteOrder, check_range, zeros,
};

use super::error::misuse;
use super::grain_encoder::Packer;
use super::grains::each_part;
use super::header::Header;
use super::layout::{SECTOR_BYTES, Shape};
use super::ledger::{Ledger, lock};
use super::stream_allocator::{Places, Record};
use crate::errors::FORMAT;
use crate::sparse_header::{COMPRESSED, GD_AT_END, MARKERS, NEWLINE_TEST_VALID, SECTOR};

/// A stream-optimised extent being written over a sink that grows.
pub(super) struct StreamOptimized {
    lower: Box<dyn BlockSink>,
    /// Whether `lower` takes ascending offsets only.
    forward: bool,
    shape: Shape,
    level: Option<i32>,
    /// Whole sectors.
    descriptor: Vec<u8>,
    direct: Mutex<Direct>,
    places: Mutex<Places>,
    ledger: Ledger,
}

/// What comes without a batch: grains are put together from pieces.
struct Direct {
    /// The disk is written up to here.
    position: u64,
    /// The beginning of the grain that `position` lies in; shorter where nothing but zeros follow.
    grain: Vec<u8>,
    packer: Packer,
    arena: Vec<u8>,
}

impl StreamOptimized {
    pub(super) fn new(
        lower: Box<dyn BlockSink>,
        shape: Shape,
        level: Option<i32>,
        descriptor: Vec<u8>,
    ) -> Result<Self> {
        let direct =
            Direct { position: 0, grain: Vec::new(), packer: Packer::new(level)?, arena: Vec::new() };
        let overhead = overhead_sectors(&shape, sectors_of(&descriptor));
        let places = Mutex::new(Places::new(shape, overhead)?);
        let forward = lower.properties().order == WriteOrder::Ascending;
        let direct = Mutex::new(direct);
        let this =
            Self { lower, forward, shape, level, descriptor, direct, places, ledger: Ledger::default() };
        if this.forward {
            this.write_front()?;
        }
        Ok(this)
    }

    fn header(&self, directory_sector: u64) -> Header {
        let descriptor_sectors = sectors_of(&self.descriptor);
        Header {
            version: 3,
            flags: NEWLINE_TEST_VALID | COMPRESSED | MARKERS,
            capacity_sectors: self.shape.capacity_sectors(),
            grain_sectors: self.shape.grain_sectors(),
            descriptor_sectors,
            redundant_directory_sector: 0,
            directory_sector,
            overhead_sectors: overhead_sectors(&self.shape, descriptor_sectors),
        }
    }

    /// Header and descriptor: first where nothing can be written later, and else last.
    fn write_front(&self) -> Result<()> {
        if self.forward {
            self.lower.write_at(0, &self.header(GD_AT_END).encode())?;
            return self.lower.write_at(SECTOR, &self.descriptor);
        }
        self.lower.write_at(SECTOR, &self.descriptor)?;
        self.lower.write_at(0, &self.header(GD_AT_END).encode())
    }

    fn write_records(&self, records: &mut Vec<Record>, arena: &[u8]) -> Result<()> {
        for record in records.drain(..) {
            match record {
                Record::Metadata { host, bytes } => self.lower.write_at(host, &bytes)?,
                Record::Packed { host, arena: row } => {
                    self.lower.write_at(host, arena.get(row).unwrap_or_default())?;
                }
            }
        }
        Ok(())
    }

    /// Writes one grain, unless it is all zeros.
    fn put_grain(&self, index: u64, bytes: &[u8], packer: &mut Packer, arena: &mut Vec<u8>) -> Result<()> {
        if zeros::is_zero(bytes) {
            return Ok(());
        }
        arena.clear();
        packer.pack(&self.shape, index, bytes, arena)?;
        let mut records = Vec::new();
        lock(&self.places).place(index, 0..arena.len(), &mut records)?;
        self.write_records(&mut records, arena)
    }

    /// Leaves out what lies between the position and `offset`.
    fn skip_to(&self, direct: &mut Direct, offset: u64) -> Result<()> {
        if offset < direct.position {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .format(FORMAT)
                .field("streamOptimized")
                .found(format_args!("already at guest byte {}", direct.position))
                .expected(format_args!("to write at guest byte {offset}")));
        }
        let grain = self.shape.grain_at(direct.position);
        if self.shape.grain_at(offset) != grain {
            self.put_pending(direct, grain)?;
        }
        direct.position = offset;
        Ok(())
    }

    fn put_pending(&self, direct: &mut Direct, grain: u64) -> Result<()> {
        let bytes = std::mem::take(&mut direct.grain);
        if !bytes.is_empty() {
            self.put_grain(grain, &bytes, &mut direct.packer, &mut direct.arena)?;
        }
        // Its memory is for the next grain.
        direct.grain = bytes;
        direct.grain.clear();
        Ok(())
    }

    fn append(&self, direct: &mut Direct, data: &[u8]) -> Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            let end = direct.position.saturating_add(rest.len() as u64);
            let range = self.shape.part_from(direct.position, end);
            let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let (bytes, more) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            let inside = usize::try_from(self.shape.in_grain(range.start)).unwrap_or(usize::MAX);
            if len as u64 == self.shape.grain() {
                let grain = self.shape.grain_at(range.start);
                self.put_grain(grain, bytes, &mut direct.packer, &mut direct.arena)?;
                direct.position = range.end;
            } else {
                direct.grain.resize(inside, 0);
                direct.grain.extend_from_slice(bytes);
                self.skip_to(direct, range.end)?;
            }
            rest = more;
        }
        Ok(())
    }

    fn complete(&self) -> Result<()> {
        self.ledger.check()?;
        let mut direct = lock(&self.direct);
        let grain = self.shape.grain_at(direct.position);
        self.put_pending(&mut direct, grain)?;
        let mut records = Vec::new();
        lock(&self.places).finish(|directory| self.header(directory).encode(), &mut records)?;
        self.write_records(&mut records, &[])?;
        if self.forward { Ok(()) } else { self.write_front() }
    }
}

fn sectors_of(descriptor: &[u8]) -> u64 {
    (descriptor.len() / SECTOR_BYTES) as u64
}

/// Header and descriptor, up to a whole grain: where the first grain lies.
pub(super) fn overhead_sectors(shape: &Shape, descriptor_sectors: u64) -> u64 {
    descriptor_sectors.saturating_add(1).next_multiple_of(shape.grain_sectors())
}

impl BlockSink for StreamOptimized {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(offset, data.len() as u64, self.shape.size())?;
        let mut direct = lock(&self.direct);
        let written = self.skip_to(&mut direct, offset).and_then(|()| self.append(&mut direct, data));
        self.ledger.remember(written)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_range(range.start, range.end.saturating_sub(range.start), self.shape.size())?;
        let mut direct = lock(&self.direct);
        let skipped = self.skip_to(&mut direct, range.start);
        self.ledger.remember(skipped.and_then(|()| self.skip_to(&mut direct, range.end)))
    }

    fn properties(&self) -> SinkProperties {
        let granularity = self.shape.grain();
        SinkProperties { order: WriteOrder::Ascending, granularity, ..SinkProperties::default() }
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        let packer = Packer::new(self.level).ok()?;
        Some(Box::new(Worker {
            image: self,
            packer,
            grains: Vec::new(),
            arena: Vec::new(),
            records: Vec::new(),
        }))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?;
        self.lower.finish()
    }
}

/// Takes one segment after the other through the writer.
struct Worker<'a> {
    image: &'a StreamOptimized,
    packer: Packer,
    /// Grains with data, and where their records lie in the arena.
    grains: Vec<(u64, Range<usize>)>,
    /// Records, one behind the other.
    arena: Vec<u8>,
    records: Vec<Record>,
}

impl Worker<'_> {
    fn place_grains(&mut self, segment: &Segment<'_>) -> Result<()> {
        let image = self.image;
        let mut direct = lock(&image.direct);
        image.skip_to(&mut direct, segment.offset)?;
        image.skip_to(&mut direct, segment.end())?;
        drop(direct);
        let mut places = lock(&image.places);
        for (grain, arena) in self.grains.drain(..) {
            places.place(grain, arena, &mut self.records)?;
        }
        drop(places);
        if image.forward { image.write_records(&mut self.records, &self.arena) } else { Ok(()) }
    }
}

impl Batch for Worker<'_> {
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        let shape = &self.image.shape;
        check_range(segment.offset, segment.len, shape.size())?;
        let whole = |offset: u64| shape.in_grain(offset) == 0 || offset == shape.size();
        if !whole(segment.offset) || !whole(segment.end()) {
            return Err(misuse("segment")
                .found(format_args!("{} bytes at {}", segment.len, segment.offset))
                .expected(format_args!("whole grains of {} bytes", shape.grain())));
        }
        self.grains.clear();
        self.records.clear();
        self.arena.clear();
        if segment.is_zeros() {
            return Ok(());
        }
        let (packer, arena, grains) = (&mut self.packer, &mut self.arena, &mut self.grains);
        each_part(shape, segment, |range, bytes| {
            let Some(bytes) = bytes else { return Ok(()) };
            let (grain, start) = (shape.grain_at(range.start), arena.len());
            packer.pack(shape, grain, bytes, arena)?;
            grains.push((grain, start..arena.len()));
            Ok(())
        })
    }

    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.image.ledger.begin();
        let placed = self.place_grains(segment);
        self.image.ledger.remember(placed)
    }

    fn write(&mut self, _: &Segment<'_>) -> Result<()> {
        self.image.ledger.remember(self.image.write_records(&mut self.records, &self.arena))?;
        self.image.ledger.end();
        Ok(())
    }
}
