//! Tests of the engine with sources and sinks in memory. Formats and files have tests of their own.

use std::ops::{ControlFlow, Range};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg_core::conformance::{Numbers, painted};
use diskimg_core::{
    Batch, BlockSink, BlockSource, Cancel, Error, ErrorKind, Extent, ExtentKind, Memory, MemorySink,
    Progress, Result, Segment, SinkProperties, WriteOrder, check_range,
};

use super::{ConvertOptions, Sparse, convert};

/// A disk of painted bytes with holes, some of which it reports and some it stores as zeros.
struct Holey {
    bytes: Vec<u8>,
    holes: Vec<Range<u64>>,
    fails_at: Option<u64>,
}

impl Holey {
    fn new(len: usize, seed: u64) -> Self {
        let mut bytes = painted(seed, len);
        let mut numbers = Numbers::new(seed);
        let mut holes = Vec::new();
        let mut at = 0;
        while at < len as u64 {
            let start = at + 1 + numbers.below(300_000);
            let end = (start + 1 + numbers.below(400_000)).min(len as u64);
            if start >= end {
                break;
            }
            bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()].fill(0);
            if numbers.below(3) > 0 {
                holes.push(start..end);
            }
            at = end;
        }
        Self { bytes, holes, fails_at: None }
    }
}

impl BlockSource for Holey {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        if self.fails_at.is_some_and(|at| offset <= at && at < offset + buf.len() as u64) {
            return Err(Error::new(ErrorKind::Truncated).guest(offset));
        }
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        let hole = self.holes.iter().find(|hole| hole.end > range.start);
        let (end, kind) = match hole {
            Some(hole) if hole.start <= range.start => (hole.end, ExtentKind::Zero),
            Some(hole) => (hole.start, ExtentKind::Data),
            None => (self.size(), ExtentKind::Data),
        };
        Ok(Extent::new(range.start..range.end.min(end), kind))
    }
}

/// A sink with batches that records the order in which segments were placed.
struct Units {
    disk: MemorySink,
    unit: u64,
    placed: Mutex<Vec<Range<u64>>>,
    batches: AtomicU64,
}

struct UnitBatch<'a> {
    units: &'a Units,
    prepared: Option<u64>,
    placed: bool,
}

impl Batch for UnitBatch<'_> {
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        assert_eq!(segment.offset % self.units.unit, 0, "segments start at units");
        assert!(segment.is_zeros() || segment.bytes.len() as u64 == segment.len);
        self.prepared = Some(segment.offset);
        Ok(())
    }

    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        assert_eq!(self.prepared, Some(segment.offset));
        self.placed = true;
        self.units.placed.lock().unwrap().push(segment.offset..segment.end());
        Ok(())
    }

    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        assert!(std::mem::take(&mut self.placed));
        for zeros in segment.zeros {
            assert!(segment.offset <= zeros.start && zeros.end <= segment.end());
        }
        if segment.is_zeros() {
            self.units.disk.zero(segment.offset..segment.end())
        } else {
            self.units.disk.write_at(segment.offset, segment.bytes)
        }
    }
}

impl BlockSink for &'static Units {
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        unreachable!("a sink with batches gets batches")
    }
    fn zero(&self, _: Range<u64>) -> Result<()> {
        unreachable!("a sink with batches gets batches")
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties { granularity: self.unit, ..SinkProperties::default() }
    }
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(UnitBatch { units: self, prepared: None, placed: false }))
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A sink that accepts bytes in order only.
struct Pipe(MemorySink, AtomicU64);

impl BlockSink for Pipe {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        assert_eq!(self.1.fetch_add(data.len() as u64, Ordering::SeqCst), offset, "in order");
        self.0.write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        assert_eq!(self.1.swap(range.end, Ordering::SeqCst), range.start, "in order");
        self.0.zero(range)
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties { order: WriteOrder::Ascending, ..SinkProperties::default() }
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn options(threads: usize) -> ConvertOptions {
    ConvertOptions { threads, memory: 4 << 20, ..ConvertOptions::default() }
}

#[test]
fn any_order_pipe_and_batches_give_the_same_bytes_with_any_number_of_threads() {
    for (len, seed) in [(0, 1), (1, 2), (65_536, 3), (3_000_001, 4), (9 << 20, 5)] {
        let source = Holey::new(len, seed);
        for threads in [1, 2, 7] {
            let any = MemorySink::new(1 << 30);
            let done = convert(&source, Box::new(any.clone()), &options(threads), &()).unwrap();
            assert!(any.bytes() == source.bytes, "any order, {len} bytes, {threads} threads");
            assert_eq!(done.virtual_size, len as u64);
            assert_eq!(done.written + done.zeros, len as u64);

            let pipe = MemorySink::new(1 << 30);
            let sink = Pipe(pipe.clone(), AtomicU64::new(0));
            convert(&source, Box::new(sink), &options(threads), &()).unwrap();
            assert!(pipe.bytes() == source.bytes, "pipe, {len} bytes, {threads} threads");

            for unit in [512, 4096, 65_536, 2 << 20] {
                let disk = MemorySink::new(1 << 30);
                let units: &'static Units = Box::leak(Box::new(Units {
                    disk: disk.clone(),
                    unit,
                    placed: Mutex::default(),
                    batches: AtomicU64::new(0),
                }));
                convert(&source, Box::new(units), &options(threads), &()).unwrap();
                assert!(disk.bytes() == source.bytes, "units of {unit}, {len} bytes, {threads} threads");
                let placed = units.placed.lock().unwrap();
                assert!(
                    placed.windows(2).all(|pair| pair[0].end == pair[1].start),
                    "placed in order, no gap"
                );
            }
        }
    }
}

#[test]
fn stored_zeros_become_holes_as_the_options_say() {
    let source = Memory::new([vec![1; 8192], vec![0; 8192], vec![2; 100]].concat());
    let zeros = |sparse| {
        let options = ConvertOptions { sparse, ..options(1) };
        convert(&source, Box::new(MemorySink::new(1 << 20)), &options, &()).unwrap().zeros
    };
    assert_eq!(zeros(Sparse::Auto), 8192);
    assert_eq!(zeros(Sparse::Search(4096)), 8192);
    assert_eq!(zeros(Sparse::Search(65_536)), 0);
    assert_eq!(zeros(Sparse::Never), 0);
}

#[test]
fn first_failure_is_returned_and_ends_all_workers() {
    for threads in [1, 4] {
        let mut source = Holey::new(8 << 20, 9);
        source.holes.clear();
        source.fails_at = Some(5 << 20);
        let units: &'static Units = Box::leak(Box::new(Units {
            disk: MemorySink::new(1 << 30),
            unit: 4096,
            placed: Mutex::default(),
            batches: AtomicU64::new(0),
        }));
        let error = convert(&source, Box::new(units), &options(threads), &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }
}

#[test]
fn cancelling_at_any_point_ends_the_conversion() {
    struct After(AtomicU64, Cancel);
    impl Progress for After {
        fn advance(&self, bytes: u64) -> ControlFlow<()> {
            if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.1.trigger();
            }
            self.1.advance(bytes)
        }
    }
    let source = Holey::new(6 << 20, 3);
    for step in 1..6 {
        let progress = After(AtomicU64::new(step), Cancel::default());
        let error = convert(&source, Box::new(MemorySink::new(1 << 30)), &options(2), &progress).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
}

#[test]
fn progress_adds_up_to_the_size_of_the_disk() {
    struct Sum(AtomicU64);
    impl Progress for Sum {
        fn advance(&self, bytes: u64) -> ControlFlow<()> {
            self.0.fetch_add(bytes, Ordering::SeqCst);
            ControlFlow::Continue(())
        }
    }
    let source = Holey::new(6_000_001, 3);
    let sum = Sum(AtomicU64::new(0));
    convert(&source, Box::new(MemorySink::new(1 << 30)), &options(3), &sum).unwrap();
    assert_eq!(sum.0.into_inner(), 6_000_001);
}
