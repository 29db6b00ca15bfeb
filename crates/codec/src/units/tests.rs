//! The reader of units, with a map whose codec copies the bytes it is given.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use diskimg_core::{BlockSource, Error, ErrorKind, GuestOffset, Memory, Result};

use super::{CompressedUnit, UnitMap, UnitReader};

const UNIT: u64 = 512;

/// A file that records which of its bytes are read, and never has them in memory.
struct RecordedSource {
    bytes: Memory,
    /// Start and end of each read.
    reads: Mutex<Vec<(u64, u64)>>,
}

impl BlockSource for RecordedSource {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.reads.lock().unwrap().push((offset, offset + buf.len() as u64));
        self.bytes.read_at(offset, buf)
    }
}

/// Units whose compressed form is one byte, repeated over the whole unit.
struct RepeatedBytes {
    source: RecordedSource,
    /// The offset of the byte of each unit.
    places: Vec<u64>,
    decoded: AtomicUsize,
}

impl RepeatedBytes {
    fn new(file_size: usize, places: &[u64]) -> Self {
        let bytes = Memory::new((0..file_size).map(|at| u8::try_from(at % 251).unwrap()).collect());
        let source = RecordedSource { bytes, reads: Mutex::default() };
        Self { source, places: places.to_vec(), decoded: AtomicUsize::new(0) }
    }

    fn reads(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.source.reads.lock().unwrap())
    }

    fn decoded(&self) -> usize {
        self.decoded.swap(0, Ordering::Relaxed)
    }

    fn expected(&self, guest: Range<u64>) -> Vec<u8> {
        guest
            .map(|at| u8::try_from(self.places[usize::try_from(at / UNIT).unwrap()] % 251).unwrap())
            .collect()
    }
}

impl UnitMap for RepeatedBytes {
    type Codec = ();

    fn new_codec(&self) {}

    fn unit_size(&self) -> u64 {
        UNIT
    }

    fn source(&self) -> &dyn BlockSource {
        &self.source
    }

    fn unit(&self, guest: GuestOffset) -> Result<CompressedUnit> {
        let index = usize::try_from(guest.0 / UNIT).unwrap();
        let place = *self.places.get(index).ok_or_else(|| Error::new(ErrorKind::Corrupt))?;
        Ok(CompressedUnit { host: place..place + 1, truncated: false })
    }

    fn decode(
        &self,
        (): &mut (),
        unit: &CompressedUnit,
        start: GuestOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        assert_eq!((start.0 % UNIT, input.len(), output.len() as u64), (0, 1, UNIT), "{unit:?}");
        self.decoded.fetch_add(1, Ordering::Relaxed);
        output.fill(input[0]);
        Ok(())
    }
}

fn read(reader: &UnitReader<()>, map: &RepeatedBytes, guest: Range<u64>) {
    let mut buf = vec![0xEE; usize::try_from(guest.end - guest.start).unwrap()];
    reader.read(map, GuestOffset(guest.start), &mut buf).unwrap();
    assert!(buf == map.expected(guest.clone()), "{guest:?}");
}

#[test]
fn any_range_reads_the_bytes_of_its_units() {
    let map = RepeatedBytes::new(4096, &[9, 7, 3000, 8, 8]);
    let reader = UnitReader::new();
    for start in [0, 1, UNIT - 1, UNIT, UNIT + 1] {
        for end in [start, start + 1, 2 * UNIT - 1, 2 * UNIT, 5 * UNIT - 1, 5 * UNIT] {
            read(&reader, &map, start..end.max(start));
        }
    }
}

#[test]
fn neighbouring_units_are_read_in_one_call() {
    let map = RepeatedBytes::new(60_000, &[100, 200, 150, 200 + 1 + 16_384]);
    read(&UnitReader::new(), &map, 0..4 * UNIT);
    assert_eq!(map.reads(), [(100, 16_586)]);
}

#[test]
fn units_far_apart_or_in_descending_order_are_read_one_by_one() {
    let map = RepeatedBytes::new(60_000, &[100, 100 + 2 + 16_384, 50]);
    read(&UnitReader::new(), &map, 0..3 * UNIT);
    assert_eq!(map.reads(), [(100, 101), (16_486, 16_487), (50, 51)]);
}

#[test]
fn batch_has_at_most_one_mebibyte_of_compressed_bytes() {
    let step = 16_000;
    let places: Vec<u64> = (0..100).map(|unit| unit * step).collect();
    let map = RepeatedBytes::new(2 << 20, &places);
    read(&UnitReader::new(), &map, 0..100 * UNIT);
    let first = (1 << 20) / step * step;
    assert_eq!(map.reads(), [(0, first + 1), (first + step, 99 * step + 1)]);
}

#[test]
fn unit_read_in_parts_is_decompressed_once() {
    let map = RepeatedBytes::new(4096, &[1, 2]);
    let reader = UnitReader::new();
    for start in (0..UNIT).step_by(64) {
        read(&reader, &map, start..start + 64);
    }
    assert_eq!((map.decoded(), map.reads()), (1, vec![(1, 2)]));
    read(&reader, &map, 10..UNIT + 10);
    assert_eq!((map.decoded(), map.reads()), (1, vec![(2, 3)]));
}

#[test]
fn damaged_unit_fails_every_read_that_needs_it() {
    let map = RepeatedBytes::new(4096, &[1, 2]);
    let reader = UnitReader::new();
    for range in [2 * UNIT..2 * UNIT + 1, 0..3 * UNIT] {
        let mut buf = vec![0; usize::try_from(range.end - range.start).unwrap()];
        let error = reader.read(&map, GuestOffset(range.start), &mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    read(&reader, &map, 0..2 * UNIT);
}

#[test]
fn threads_share_one_reader() {
    let map = RepeatedBytes::new(4096, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let reader = UnitReader::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (map, reader) = (&map, &reader);
            scope.spawn(move || {
                for round in 0..200 {
                    let start = (round * 37 + thread * 101) % (6 * UNIT);
                    read(reader, map, start..start + UNIT + 50);
                }
            });
        }
    });
}
