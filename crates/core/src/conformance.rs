//! The suite that every source and every sink has to pass.
//!
//! Each function panics with what it expected; call them from `#[test]`s. They are cheap enough to run for
//! every kind of image a format knows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a suite of assertions"
)]

use std::ops::Range;

use crate::{BlockSink, BlockSource, ErrorKind, Extent, ExtentKind, Extents, WriteOrder};

/// The byte that stands at `offset` of a painted disk: `offset % 251`, so that no power of two repeats it.
#[must_use]
pub fn paint(offset: u64) -> u8 {
    u8::try_from(offset % 251).unwrap_or_default()
}

/// `len` painted bytes from `offset` on.
#[must_use]
pub fn painted(offset: u64, len: usize) -> Vec<u8> {
    (offset..).take(len).map(paint).collect()
}

/// A small generator of numbers that look random and are the same each time (xorshift64*).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// A row of numbers of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11).checked_rem(bound).unwrap_or(0)
    }
}

/// Checks a source against the bytes its guest should see: reads of every shape, the edges, extents that tile
/// the disk and tell the truth, and use from several threads.
///
/// # Panics
/// When the source breaks a rule of [`BlockSource`].
pub fn source(source: &dyn BlockSource, expected: &[u8]) {
    assert_eq!(source.size(), expected.len() as u64, "size()");
    whole_read(source, expected);
    edge_reads(source, expected);
    out_of_bounds(source);
    extents_tell_the_truth(source, expected);
    extent_ranges(source);
    std::thread::scope(|scope| {
        for seed in 1..5 {
            scope.spawn(move || random_reads(source, expected, seed));
        }
    });
}

fn whole_read(source: &dyn BlockSource, expected: &[u8]) {
    const STEP: usize = 1 << 20;
    let mut buf = vec![0; STEP];
    for (index, want) in expected.chunks(STEP).enumerate() {
        let got = &mut buf[..want.len()];
        got.fill(0xA5);
        let offset = (index * STEP) as u64;
        source.read_at(offset, got).unwrap_or_else(|e| panic!("read_at({offset}, {}): {e}", want.len()));
        same(got, want, offset);
    }
}

/// Around every power of two from a sector to 4 MiB, one byte to either side.
fn edge_reads(source: &dyn BlockSource, expected: &[u8]) {
    let size = expected.len();
    let mut edges: Vec<usize> = (9..23).map(|bits| 1_usize << bits).collect();
    edges.extend([1, size / 2, size]);
    for edge in edges {
        for start in [edge.saturating_sub(1), edge, edge + 1] {
            for len in [0, 1, 2, 511, 512, 513, 4097] {
                read_one(source, expected, start..start.saturating_add(len));
            }
        }
    }
}

fn random_reads(source: &dyn BlockSource, expected: &[u8], seed: u64) {
    let mut numbers = Numbers::new(seed);
    for _ in 0..64 {
        let start = usize::try_from(numbers.below(expected.len() as u64 + 1)).unwrap();
        let len = usize::try_from(numbers.below(200_000)).unwrap();
        read_one(source, expected, start..start + len);
    }
}

fn read_one(source: &dyn BlockSource, expected: &[u8], range: Range<usize>) {
    let range = range.start.min(expected.len())..range.end.min(expected.len());
    let mut buf = vec![0xA5; range.len()];
    let offset = range.start as u64;
    source.read_at(offset, &mut buf).unwrap_or_else(|e| panic!("read_at({offset}, {}): {e}", buf.len()));
    same(&buf, &expected[range], offset);
}

fn same(got: &[u8], want: &[u8], offset: u64) {
    if let Some(at) = got.iter().zip(want).position(|(a, b)| a != b) {
        let guest = offset + at as u64;
        panic!("guest byte {guest} ({guest:#x}) is {:#04x}, expected {:#04x}", got[at], want[at]);
    }
}

fn out_of_bounds(source: &dyn BlockSource) {
    let size = source.size();
    for (offset, len) in
        [(size, 1), (size.saturating_sub(1), 2), (u64::MAX, 1), (u64::MAX - 1, 4096), (size + 1, 0)]
    {
        let error = source.read_at(offset, &mut vec![0; len]).expect_err("a read past the end must fail");
        assert_eq!(error.kind(), ErrorKind::OutOfBounds, "read_at({offset}, {len})");
    }
    source.read_at(size, &mut []).expect("an empty read at the end is fine");
    for range in [size..size + 1, 0..size + 1, u64::MAX - 1..u64::MAX, size..size] {
        let error = source.extent_at(range.clone()).map(|e| e.range()).expect_err("an extent past the end");
        assert_eq!(error.kind(), ErrorKind::OutOfBounds, "extent_at({range:?})");
    }
}

fn extents_tell_the_truth(source: &dyn BlockSource, expected: &[u8]) {
    let mut next = 0;
    let mut last: Option<(ExtentKind, u32)> = None;
    for extent in Extents::new(source, 0..source.size()) {
        let extent = extent.expect("extents of a good image");
        assert_eq!(extent.offset, next, "extents tile the disk");
        assert!(extent.len > 0, "no empty extent");
        next = extent.end();
        let range = usize::try_from(extent.offset).unwrap()..usize::try_from(extent.end()).unwrap();
        extent_is_true(&extent, &expected[range]);
        if extent.location.host.is_none() && extent.location.bytes.is_none() {
            assert_ne!(last, Some((extent.kind, extent.depth)), "neighbours that could be one are one");
            last = Some((extent.kind, extent.depth));
        } else {
            last = None;
        }
    }
    assert_eq!(next, source.size(), "extents reach the end of the disk");
}

fn extent_is_true(extent: &Extent<'_>, want: &[u8]) {
    if extent.kind == ExtentKind::Zero {
        assert!(want.iter().all(|b| *b == 0), "a Zero extent at {} reads as zeros", extent.offset);
    }
    if extent.kind != ExtentKind::Data {
        assert!(extent.location.host.is_none() && extent.location.bytes.is_none(), "only Data lies verbatim");
    }
    if let Some(bytes) = extent.location.bytes {
        same(bytes, want, extent.offset);
        assert_eq!(bytes.len(), want.len(), "a location covers its extent");
    }
    if let Some(host) = extent.location.host {
        assert_eq!(host.len, extent.len, "a location covers its extent");
        let mut buf = vec![0; want.len()];
        read_host(host, &mut buf);
        same(&buf, want, extent.offset);
    }
}

#[cfg(unix)]
fn read_host(host: crate::HostRange<'_>, buf: &mut [u8]) {
    use std::os::unix::fs::FileExt;
    host.file.read_exact_at(buf, host.offset).expect("a location lies inside its file");
}

#[cfg(not(unix))]
fn read_host(host: crate::HostRange<'_>, buf: &mut [u8]) {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = host.file.try_clone().expect("a second handle");
    file.seek(SeekFrom::Start(host.offset)).expect("a seekable file");
    file.read_exact(buf).expect("a location lies inside its file");
}

/// An answer starts where it was asked for and ends inside the range, wherever that is cut.
fn extent_ranges(source: &dyn BlockSource) {
    let mut numbers = Numbers::new(7);
    let size = source.size();
    for _ in 0..64 {
        let start = numbers.below(size);
        let end = start + 1 + numbers.below(size - start);
        if start >= size || end > size {
            continue;
        }
        let extent = source.extent_at(start..end).expect("extent of a good image");
        assert_eq!(extent.offset, start);
        assert!(extent.len > 0 && extent.end() <= end, "{:?} inside {start}..{end}", extent.range());
    }
}

/// Checks a sink: writes painted pieces of every awkward size, holes and zeroed ranges, finishes it, and
/// compares what `read_back` then gives with the same writes in memory. `make` gets the size of the disk.
///
/// Offsets of an [`WriteOrder::Any`] sink come shuffled; no byte is written twice.
///
/// # Panics
/// When the sink breaks a rule of [`BlockSink`].
pub fn sink(
    size: u64,
    unit: u64,
    make: &dyn Fn(u64) -> Box<dyn BlockSink>,
    read_back: &dyn Fn() -> Box<dyn BlockSource>,
) {
    for seed in 1..4 {
        let sink = make(size);
        let mut expected = vec![0; usize::try_from(size).unwrap()];
        for (range, data) in pieces(size, unit, seed, sink.order()) {
            if data {
                let bytes = painted(range.start + seed, usize::try_from(range.end - range.start).unwrap());
                sink.write_at(range.start, &bytes).expect("write_at");
                expected[usize::try_from(range.start).unwrap()..][..bytes.len()].copy_from_slice(&bytes);
            } else {
                sink.zero(range).expect("zero");
            }
        }
        sink.finish().expect("finish");
        source(read_back().as_ref(), &expected);
    }
}

/// Pieces that do not overlap: about a third data, a third zeroed, a third never mentioned, cut around
/// multiples of `unit`.
fn pieces(size: u64, unit: u64, seed: u64, order: WriteOrder) -> Vec<(Range<u64>, bool)> {
    let mut numbers = Numbers::new(seed);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let whole = (1 + numbers.below(4)) * unit;
        let end = match numbers.below(4) {
            0 => at + whole - at % unit,
            1 => at + whole - at % unit + 1,
            2 => at + whole - 1,
            _ => at + 1 + numbers.below(2 * unit),
        };
        let end = end.clamp(at + 1, size);
        match numbers.below(3) {
            0 => pieces.push((at..end, true)),
            1 => pieces.push((at..end, false)),
            _ => {}
        }
        at = end;
    }
    if order == WriteOrder::Any {
        for i in (1..pieces.len()).rev() {
            let j = usize::try_from(numbers.below(i as u64 + 1)).unwrap();
            pieces.swap(i, j);
        }
    }
    pieces
}

/// Damages an image in many ways and gives each result to `open_and_read`, which should open it and read all
/// of it. It may fail; it must not panic, and the caller bounds its time and memory.
///
/// The image is cut at every boundary of 512 bytes of its first 64 KiB, around its end, and has single bits
/// flipped and words overwritten in its first `metadata` bytes.
pub fn damaged(image: &[u8], metadata: usize, open_and_read: &dyn Fn(Vec<u8>)) {
    let head = image.len().min(65_536);
    let cuts = (0..head).step_by(512).chain(image.len().saturating_sub(3)..image.len()).chain([1, 71, 103]);
    for cut in cuts {
        open_and_read(image[..cut.min(image.len())].to_vec());
    }
    let mut numbers = Numbers::new(11);
    let metadata = metadata.min(image.len());
    for at in (0..metadata).step_by((metadata / 512).max(1)) {
        let mut bytes = image.to_vec();
        bytes[at] ^= 1 << numbers.below(8);
        open_and_read(bytes);
    }
    for _ in 0..256 {
        let mut bytes = image.to_vec();
        let at = usize::try_from(numbers.below(metadata as u64)).unwrap() & !7;
        let value = [0, 1, 0x7FFF_FFFF_FFFF_FFFF, u64::MAX, 1 << 63, 512, 0x8000_0000_0000_0200];
        let word = value[usize::try_from(numbers.below(value.len() as u64)).unwrap()].to_be_bytes();
        let end = (at + 8).min(bytes.len());
        bytes[at..end].copy_from_slice(&word[..end - at]);
        open_and_read(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, MemorySink, Window};

    #[test]
    fn memory_passes_at_every_size() {
        for size in [0, 1, 511, 512, 513, 70_000] {
            let bytes = painted(0, size);
            source(&Memory::new(bytes.clone()), &bytes);
        }
    }

    #[test]
    fn a_window_passes() {
        let bytes = painted(0, 10_000);
        let window = Window::new(Memory::new(bytes.clone()), 100..9000).unwrap();
        source(&window, &bytes[100..9000]);
    }

    #[test]
    fn a_memory_sink_passes() {
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
    fn a_wrong_byte_is_named() {
        let mut bytes = painted(0, 1000);
        let disk = Memory::new(bytes.clone());
        bytes[300] ^= 1;
        source(&disk, &bytes);
    }
}
