//! Tests of the suite itself.

use std::ops::Range;
use std::sync::Mutex;

use super::*;
use crate::{
    Batch, BlockSink, BlockSource, Error, ErrorKind, Memory, MemorySink, Result, Segment, SinkProperties,
    Window,
};

#[test]
fn memory_passes_the_suite_at_every_size() {
    for size in [0, 1, 511, 512, 513, 70_000] {
        let bytes = painted(0, size);
        source(&Memory::new(bytes.clone()), &bytes);
    }
}

#[test]
fn window_passes_the_suite() {
    let bytes = painted(0, 10_000);
    let window = Window::new(Memory::new(bytes.clone()), 100..9000).unwrap();
    source(&window, &bytes[100..9000]);
}

#[test]
fn memory_sink_passes_the_suite() {
    let shared = MemorySink::new(1 << 20);
    let size = 100_000;
    sink(
        size,
        4096,
        &|size| {
            let fresh = shared.clone();
            fresh.zero(0..size).unwrap();
            Box::new(fresh)
        },
        &|| Box::new(Memory::new(shared.bytes())),
    );
}

#[test]
#[should_panic(expected = "guest byte 300")]
fn wrong_byte_is_reported_with_its_offset() {
    let mut bytes = painted(0, 1000);
    let disk = Memory::new(bytes.clone());
    bytes[300] ^= 1;
    source(&disk, &bytes);
}

/// A sink whose batches record the order of `place` and fail at one offset.
struct RecordingSink {
    disk: MemorySink,
    places: Mutex<Vec<u64>>,
    fails_at: u64,
}

impl RecordingSink {
    fn new(fails_at: u64) -> Self {
        Self { disk: MemorySink::new(1 << 20), places: Mutex::default(), fails_at }
    }
}

impl BlockSink for RecordingSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.disk.write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.disk.zero(range)
    }
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        Some(Box::new(self))
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Batch for &RecordingSink {
    fn prepare(&mut self, _: &Segment<'_>) -> Result<()> {
        Ok(())
    }
    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.places.lock().unwrap().push(segment.offset);
        if segment.offset == self.fails_at { Err(Error::new(ErrorKind::Io)) } else { Ok(()) }
    }
    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        if segment.is_zeros() {
            return self.zero(segment.offset..segment.end());
        }
        for run in segment.zeros {
            let at = usize::try_from(run.start - segment.offset).unwrap();
            assert_eq!(segment.bytes[at], 0, "a run of zeros is zero");
        }
        self.write_at(segment.offset, segment.bytes)
    }
}

#[test]
fn batch_receives_every_byte_and_places_segments_in_order() {
    let mut disk = painted(1, 100_001);
    disk[20_000..50_000].fill(0);
    for workers in [1, 4] {
        let sink = RecordingSink::new(u64::MAX);
        batched(&sink, &disk, 8192, workers);
        assert_eq!(*sink.places.lock().unwrap(), (0..100_001).step_by(8192).collect::<Vec<u64>>());
        assert!(sink.disk.bytes() == disk, "{workers} workers");
    }
}

#[test]
fn failing_batch_stops_every_worker() {
    let sink = RecordingSink::new(3 * 8192);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        batched(&sink, &painted(1, 100_001), 8192, 4);
    }));
    assert!(result.is_err());
    assert_eq!(*sink.places.lock().unwrap(), [0, 8192, 2 * 8192, 3 * 8192]);
}

#[test]
fn calls_are_applied_and_clipped_to_the_end() {
    let sink = MemorySink::new(1 << 20);
    let calls = [
        Call::Write { at: 10, len: 100, seed: 1 },
        Call::Write { at: 20, len: 5, seed: 4 },
        Call::Write { at: 90, len: 100, seed: 2 },
        Call::Zero { at: 95, len: 50 },
    ];
    let mut expected = [vec![0; 10], painted(1, 90)].concat();
    expected[20..25].fill(0);
    expected[90..].copy_from_slice(&painted(2, 10));
    expected[95..].fill(0);
    assert_eq!(apply(&calls, &sink, 100), expected);
    assert_eq!(sink.bytes(), expected);
}

#[test]
fn counted_source_counts_reads_and_hides_locations() {
    let file = Counted::new(Memory::new(painted(0, 1000)));
    file.read_at(0, &mut [0; 10]).unwrap();
    file.read_at(990, &mut [0; 5]).unwrap();
    assert!(file.locate(0..10).bytes.is_none());
    assert_eq!(file.taken(), (2, 15));
    assert_eq!(file.taken(), (0, 0));
    source(&file, &painted(0, 1000));
}

#[test]
fn exercise_reads_both_ends_of_a_failing_disk_of_any_size() {
    struct Fails(u64);
    impl BlockSource for Fails {
        fn size(&self) -> u64 {
            self.0
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Err(Error::new(ErrorKind::Corrupt))
        }
    }
    for (size, reads) in [(0, 0), (1, 2), (1 << 20, 22), (u64::MAX, 22)] {
        let disk = Counted::new(Fails(size));
        exercise(&disk, 1 << 20);
        assert_eq!(disk.taken().0, reads, "{size}");
    }
}

#[test]
fn mixed_disk_depends_only_on_its_seed() {
    assert_eq!(mixed(1_000_001, 3).len(), 1_000_001);
    assert!(mixed(1_000_001, 3) == mixed(1_000_001, 3) && mixed(1_000_001, 3) != mixed(1_000_001, 4));
}

#[test]
fn wrapper_with_the_properties_of_its_sink_passes_the_suite() {
    forwards_properties(&|sink| sink);
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn wrapper_with_properties_of_its_own_fails_the_suite() {
    forwards_properties(&|_| Box::new(MemorySink::new(0)));
}
