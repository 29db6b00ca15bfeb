//! Options of a conversion from a stream, in one pass and through a temporary file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::io::Read;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};

use common::convert_stream;
use diskimg::core::{SinkProperties, WriteOrder};
use diskimg::{
    BlockSink, ConvertOptions, Converted, ErrorKind, Memory, MemorySink, Opener, Progress, Result, Setting,
    Sparse, StreamConvert, Target, convert, driver,
};
use diskimg_core::conformance::painted;

/// A MiB of data with zeros of 8 KiB, 16 KiB and 512 bytes, each aligned to its size.
fn disk() -> Vec<u8> {
    let mut disk = painted(0, 1 << 20);
    for range in [520_192..528_384, 540_672..557_056, 700_416..700_928] {
        disk[range].fill(0);
    }
    disk
}

/// The zeros found by 4 KiB, 16 KiB, 512 bytes, and without a search.
const CASES: [(Sparse, u64); 4] = [
    (Sparse::Auto, 24 << 10),
    (Sparse::Search(16 << 10), 16 << 10),
    (Sparse::Search(512), (24 << 10) + 512),
    (Sparse::Never, 0),
];

/// The disk in each format that can be streamed, with all bytes stored.
fn images() -> Vec<(&'static str, Vec<u8>)> {
    let stored = sparse(Sparse::Never);
    let settings = [("raw", ""), ("qcow2", ""), ("vdi", ""), ("vmdk", "subformat=streamOptimized")];
    let scratch = tempfile::tempdir().unwrap();
    settings
        .map(|(format, settings)| {
            let path = scratch.path().join(format);
            let mut target = Target::file(&path, driver(format).unwrap().format);
            target.settings = Setting::parse_list(settings).unwrap();
            let source = Memory::new(disk());
            convert(&source, target.create(Some(1 << 20)).unwrap(), &stored, &()).unwrap();
            (format, std::fs::read(path).unwrap())
        })
        .into()
}

fn sparse(sparse: Sparse) -> ConvertOptions {
    let mut options = ConvertOptions::default();
    options.sparse = sparse;
    options
}

fn opener() -> Opener {
    let mut opener = Opener::new();
    opener.allow_raw = true;
    opener
}

fn pushed(image: &[u8], chunk: usize, sink: Box<dyn BlockSink>, options: &ConvertOptions) -> Converted {
    let mut conversion = StreamConvert::with(&opener(), sink, options);
    for chunk in image.chunks(chunk) {
        conversion.push(chunk).unwrap();
    }
    conversion.finish(&()).unwrap()
}

#[test]
fn stored_zeros_become_holes_by_the_options_for_any_split() {
    for (format, image) in images() {
        for (how, zeros) in CASES {
            for chunk in [1000, 64 << 10, 2 << 20] {
                let sink = MemorySink::new(1 << 20);
                let done = pushed(&image, chunk, Box::new(sink.clone()), &sparse(how));
                assert_eq!(done.zeros, zeros, "{format}, {how:?}, by {chunk}");
                assert_eq!(done.written, (1 << 20) - zeros, "{format}, {how:?}, by {chunk}");
                assert!(sink.bytes() == disk(), "{format}, {how:?}, by {chunk}");
            }
        }
    }
}

#[test]
fn options_apply_to_a_stream_that_is_read() {
    for (format, image) in images() {
        for (how, zeros) in CASES {
            let input = opener().stream(std::io::Cursor::new(image.clone())).unwrap();
            let sink = Box::new(MemorySink::new(1 << 20));
            let done = convert_stream(input, sink, &sparse(how), &()).unwrap();
            assert_eq!(done.zeros, zeros, "{format}, {how:?}");
        }
    }
}

#[test]
fn unallocated_range_is_a_hole_for_all_options() {
    let mut image = Vec::new();
    let scratch = tempfile::tempdir().unwrap();
    for format in ["qcow2", "vdi"] {
        let path = scratch.path().join(format);
        let mut disk = vec![0; 8 << 20];
        disk[..1 << 20].copy_from_slice(&painted(0, 1 << 20));
        let target = Target::file(&path, driver(format).unwrap().format);
        let sink = target.create(Some(8 << 20)).unwrap();
        convert(&Memory::new(disk), sink, &ConvertOptions::default(), &()).unwrap();
        image.clear();
        std::fs::File::open(path).unwrap().read_to_end(&mut image).unwrap();
        let done = pushed(&image, 4096, Box::new(MemorySink::new(8 << 20)), &sparse(Sparse::Never));
        assert_eq!(done.zeros, 7 << 20, "{format}");
    }
}

/// A [`MemorySink`] that is written in order like a pipe.
struct Pipe(MemorySink);

impl BlockSink for Pipe {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.0.zero(range)
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties { order: WriteOrder::Ascending, ..SinkProperties::default() }
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn options_apply_to_a_spooled_image() {
    let (_, image) = images().into_iter().find(|(format, _)| *format == "qcow2").unwrap();
    for (how, zeros) in CASES {
        let sink = MemorySink::new(1 << 20);
        let mut conversion = StreamConvert::with(&opener(), Box::new(Pipe(sink.clone())), &sparse(how));
        conversion.push(&image).unwrap();
        assert!(sink.bytes().is_empty(), "the sink is written at the end");
        assert_eq!(conversion.finish(&()).unwrap().zeros, zeros, "{how:?}");
        assert!(sink.bytes() == disk(), "{how:?}");
    }
}

/// Cancels after this number of bytes.
struct Until(AtomicU64);

impl Progress for Until {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(bytes);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn endless_stream_is_spooled_until_it_is_cancelled() {
    let input = opener().stream(std::io::repeat(7)).unwrap();
    let until = Until(AtomicU64::new(8 << 20));
    let error = input.into_disk(&until).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
