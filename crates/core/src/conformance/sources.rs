//! The conformance suite of sources.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::Numbers;
use crate::{BlockSource, ErrorKind, Extent, ExtentKind, Extents, HostRange, Location};

/// Checks a source against the expected guest bytes: reads of many sizes and at the edges, extents that tile the disk
/// and match the bytes, and use from several threads.
///
/// # Panics
/// If the source violates a rule of [`BlockSource`].
pub fn source(source: &dyn BlockSource, expected: &[u8]) {
    assert_eq!(source.size(), expected.len() as u64, "size()");
    whole_read(source, expected);
    edge_reads(source, expected);
    out_of_bounds(source);
    extents_match(source, expected);
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

/// Reads at every power of two from a sector to 4 MiB, and one byte before and after it.
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
    source.read_at(size, &mut []).expect("an empty read at the end is valid");
    for range in [size..size + 1, 0..size + 1, u64::MAX - 1..u64::MAX, size..size] {
        let error = source.extent_at(range.clone()).map(|e| e.range()).expect_err("an extent past the end");
        assert_eq!(error.kind(), ErrorKind::OutOfBounds, "extent_at({range:?})");
    }
}

fn extents_match(source: &dyn BlockSource, expected: &[u8]) {
    let mut next = 0;
    let mut last: Option<(ExtentKind, u32)> = None;
    for extent in Extents::new(source, 0..source.size()) {
        let extent = extent.expect("extents of a good image");
        assert_eq!(extent.offset, next, "extents tile the disk");
        assert!(extent.len > 0, "no empty extent");
        next = extent.end();
        let range = usize::try_from(extent.offset).unwrap()..usize::try_from(extent.end()).unwrap();
        extent_matches(&extent, &expected[range]);
        let Location { host, bytes } = extent.location;
        let is_nowhere = host.is_none() && bytes.is_none() && extent.reserved.is_none();
        let mergeable = is_nowhere.then_some((extent.kind, extent.depth));
        assert!(mergeable.is_none() || mergeable != last, "adjacent extents are merged");
        last = mergeable;
    }
    assert_eq!(next, source.size(), "extents reach the end of the disk");
}

fn extent_matches(extent: &Extent<'_>, want: &[u8]) {
    if extent.kind == ExtentKind::Zero {
        assert!(want.iter().all(|b| *b == 0), "a Zero extent at {} reads as zeros", extent.offset);
    }
    if extent.kind != ExtentKind::Data {
        assert!(
            extent.location.host.is_none() && extent.location.bytes.is_none(),
            "only Data has a location"
        );
    }
    if !extent.kind.reads_as_zeros() {
        assert_eq!(extent.reserved, None, "stored bytes at {} have no reserved space", extent.offset);
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

fn read_host(host: HostRange<'_>, buf: &mut [u8]) {
    let mut file = host.file;
    file.seek(SeekFrom::Start(host.offset)).expect("a seekable file");
    file.read_exact(buf).expect("a location is inside its file");
}

/// Checks that an extent starts at the start of the range and ends within it, for any range.
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
