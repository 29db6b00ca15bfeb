//! Writes a sparse extent: all tables in front, grains behind them in the order in which they are first
//! written.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extents". As VMware and QEMU do, every grain table
//! has its place from the beginning, so that grains are all that is appended. Tables without an entry stay
//! holes in the file.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg_core::{Batch, BlockSink, Result, Segment, SinkProperties, check_range};

use super::grains::{each_part, guest_bytes};
use super::header::{Header, ZEROED_GRAIN};
use super::layout::{Front, GRAIN_TABLE_BYTES, SECTOR_BYTES, Shape, sector_number, table_bytes};
use super::ledger::{Ledger, lock};
use super::tables::{Closed, Tables};
use crate::sparse_header::{NEWLINE_TEST_VALID, REDUNDANT_DIRECTORY, SECTOR};

/// Entries of a grain directory that are written at a time.
const DIRECTORY_STEP: u64 = 65_536;

/// A sparse extent being written over a sink that grows and takes any order.
pub(super) struct Sparse {
    lower: Box<dyn BlockSink>,
    shape: Shape,
    front: Front,
    zeroed_grain: bool,
    /// Whole sectors; none where the descriptor is a file of its own.
    descriptor: Vec<u8>,
    tables: Mutex<Tables>,
    ledger: Ledger,
    /// Byte offset behind the last byte written.
    written: AtomicU64,
}

impl Sparse {
    pub(super) fn new(
        lower: Box<dyn BlockSink>,
        shape: Shape,
        zeroed_grain: bool,
        descriptor: Vec<u8>,
    ) -> Result<Self> {
        let front = Front::new(&shape, descriptor_sectors(&descriptor))?;
        let tables = Mutex::new(Tables::new(shape, front.overhead));
        let (ledger, written) = (Ledger::default(), AtomicU64::new(0));
        Ok(Self { lower, shape, front, zeroed_grain, descriptor, tables, ledger, written })
    }

    /// Writes at a place in the file.
    fn put(&self, host: u64, bytes: &[u8]) -> Result<()> {
        self.written.fetch_max(host.saturating_add(bytes.len() as u64), Ordering::AcqRel);
        self.lower.write_at(host, bytes)
    }

    /// Writes finished tables, each to its two places.
    fn put_tables(&self, tables: &[Closed]) -> Result<()> {
        for Closed { index, sectors } in tables {
            let bytes = table_bytes(sectors);
            for first in [self.front.redundant_tables, self.front.tables] {
                let host = first.saturating_mul(SECTOR);
                self.put(host.saturating_add(index.saturating_mul(GRAIN_TABLE_BYTES)), &bytes)?;
            }
        }
        Ok(())
    }

    /// Writes a grain directory: its tables lie one behind the other.
    fn put_directory(&self, directory: u64, tables: u64) -> Result<()> {
        let count = self.shape.tables();
        let mut at = 0;
        while at < count {
            let end = at.saturating_add(DIRECTORY_STEP).min(count);
            let sector = |index: u64| {
                sector_number(tables.saturating_add(index.saturating_mul(GRAIN_TABLE_BYTES / SECTOR)))
            };
            let words = (at..end).map(sector).collect::<Result<Vec<u32>>>()?;
            let host = directory.saturating_mul(SECTOR).saturating_add(at.saturating_mul(4));
            self.put(host, &table_bytes(&words))?;
            at = end;
        }
        Ok(())
    }

    fn header(&self) -> Header {
        let more = if self.zeroed_grain { ZEROED_GRAIN } else { 0 };
        Header {
            version: if self.zeroed_grain { 2 } else { 1 },
            flags: NEWLINE_TEST_VALID | REDUNDANT_DIRECTORY | more,
            capacity_sectors: self.shape.capacity_sectors(),
            grain_sectors: self.shape.grain_sectors(),
            descriptor_sectors: descriptor_sectors(&self.descriptor),
            redundant_directory_sector: self.front.redundant_directory,
            directory_sector: self.front.directory,
            overhead_sectors: self.front.overhead,
        }
    }

    /// Everything but the guest's bytes; the header last, so that nothing is a valid extent before.
    fn complete(&self) -> Result<()> {
        self.ledger.check()?;
        let mut closed = Vec::new();
        lock(&self.tables).complete_below(self.shape.size(), &mut closed);
        self.put_tables(&closed)?;
        self.put_directory(self.front.redundant_directory, self.front.redundant_tables)?;
        self.put_directory(self.front.directory, self.front.tables)?;
        // Readers want whole grains, the last one too.
        let (written, end) = (self.written.load(Ordering::Acquire), lock(&self.tables).end());
        if written < end {
            self.lower.zero(written..end)?;
        }
        self.lower.write_at(SECTOR, &self.descriptor)?;
        self.lower.write_at(0, &self.header().encode())
    }
}

fn descriptor_sectors(descriptor: &[u8]) -> u64 {
    descriptor.len().div_ceil(SECTOR_BYTES) as u64
}

impl BlockSink for Sparse {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let len = data.len() as u64;
        check_range(offset, len, self.shape.size())?;
        let mut worker = Worker::new(self);
        let segment = Segment { offset, len, bytes: data, zeros: &[] };
        worker.prepare(&segment)?;
        worker.place(&segment, false)?;
        worker.write(&segment)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        check_range(range.start, len, self.shape.size())?;
        let placed: Vec<_> = lock(&self.tables).placed(range)?.collect();
        for (range, host) in placed {
            let end = host.saturating_add(range.end.saturating_sub(range.start));
            self.ledger.remember(self.lower.zero(host..end))?;
        }
        Ok(())
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties { granularity: self.shape.grain(), ..SinkProperties::default() }
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        Some(Box::new(Worker::new(self)))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?;
        self.lower.finish()
    }
}

/// What becomes of a piece of a segment.
#[derive(Debug)]
enum Unit {
    /// Guest bytes that are zeros.
    Zeros(Range<u64>),
    /// Guest bytes of one grain.
    Data(Range<u64>),
}

/// One write into the file, decided but not done.
#[derive(Debug)]
enum Piece {
    Data { host: u64, guest: Range<u64> },
    Zero { host: Range<u64> },
}

/// Takes one segment after the other through the writer.
struct Worker<'a> {
    extent: &'a Sparse,
    units: Vec<Unit>,
    pieces: Vec<Piece>,
    closed: Vec<Closed>,
}

impl<'a> Worker<'a> {
    fn new(extent: &'a Sparse) -> Self {
        Self { extent, units: Vec::new(), pieces: Vec::new(), closed: Vec::new() }
    }

    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        let shape = &self.extent.shape;
        check_range(segment.offset, segment.len, shape.size())?;
        self.units.clear();
        self.pieces.clear();
        let units = &mut self.units;
        if segment.is_zeros() {
            units.push(Unit::Zeros(segment.offset..segment.end()));
            return Ok(());
        }
        each_part(shape, segment, |range, bytes| {
            match (bytes, units.last_mut()) {
                (Some(_), _) => units.push(Unit::Data(range)),
                (None, Some(Unit::Zeros(run))) => run.end = range.end,
                (None, _) => units.push(Unit::Zeros(range)),
            }
            Ok(())
        })
    }

    /// Gives every grain its place. `ordered` when the disk before the segment is complete, and will be to the
    /// end of it.
    fn place(&mut self, segment: &Segment<'_>, ordered: bool) -> Result<()> {
        self.extent.ledger.begin();
        let placed = self.place_units(segment, ordered);
        self.extent.ledger.remember(placed)
    }

    fn place_units(&mut self, segment: &Segment<'_>, ordered: bool) -> Result<()> {
        let shape = &self.extent.shape;
        let mut tables = lock(&self.extent.tables);
        for unit in &self.units {
            match unit {
                Unit::Zeros(range) => {
                    for (range, host) in tables.placed(range.clone())? {
                        let len = range.end.saturating_sub(range.start);
                        self.pieces.push(Piece::Zero { host: host..host.saturating_add(len) });
                    }
                }
                Unit::Data(range) => {
                    let host = tables.place(shape.grain_at(range.start), &mut self.closed)?;
                    push_data(&mut self.pieces, host.saturating_add(shape.in_grain(range.start)), range);
                }
            }
        }
        if ordered {
            tables.complete_below(segment.end(), &mut self.closed);
        }
        Ok(())
    }

    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.extent.ledger.remember(self.write_pieces(segment))?;
        self.closed.clear();
        self.extent.ledger.end();
        Ok(())
    }

    fn write_pieces(&self, segment: &Segment<'_>) -> Result<()> {
        for piece in &self.pieces {
            match piece {
                Piece::Data { host, guest } => self.extent.put(*host, guest_bytes(segment, guest)?)?,
                Piece::Zero { host } => self.extent.lower.zero(host.clone())?,
            }
        }
        self.extent.put_tables(&self.closed)
    }
}

/// Appends a write of guest bytes, as part of the one before where it continues that.
fn push_data(pieces: &mut Vec<Piece>, host: u64, range: &Range<u64>) {
    if let Some(Piece::Data { host: before, guest }) = pieces.last_mut()
        && guest.end == range.start
        && before.checked_add(guest.end.saturating_sub(guest.start)) == Some(host)
    {
        guest.end = range.end;
        return;
    }
    pieces.push(Piece::Data { host, guest: range.clone() });
}

impl Batch for Worker<'_> {
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.prepare(segment)
    }

    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.place(segment, true)
    }

    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.write(segment)
    }
}
