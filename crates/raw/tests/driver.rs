//! The driver of the format `raw`: description, streaming and creation.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::sync::Arc;

use diskimg_core::conformance::{self, painted};
use diskimg_core::{
    BlockSink, BlockSource, CreateOptions, ErrorKind, Limits, Memory, MemorySink, OpenOptions, Result,
    Setting, SinkProperties, SnapshotSelector, Verdict,
};
use diskimg_raw::{DRIVER, StreamSink};

fn open(bytes: Vec<u8>) -> Result<Arc<dyn diskimg_core::Image>> {
    (DRIVER.open)(Arc::new(Memory::new(bytes)), &OpenOptions::default())
}

/// Pushes `bytes` in pieces of `chunk` into `sink`. Returns the virtual size.
fn push(bytes: &[u8], chunk: usize, sink: &dyn BlockSink) -> Result<u64> {
    let mut decoder = (DRIVER.stream.unwrap())(&Limits::default())?;
    for piece in bytes.chunks(chunk) {
        decoder.push(piece, sink)?;
    }
    decoder.finish(sink)
}

#[test]
fn raw_is_never_recognised() {
    for head in [&[][..], &[0; 65_536], b"\xEB\x3C\x90", &[0xFF; 512]] {
        assert_eq!((DRIVER.probe)(head), Verdict::No);
    }
}

#[test]
fn image_describes_its_content_and_reads_as_its_source() {
    let mut bytes = painted(0, 100_000);
    bytes[32_768..34_816].fill(0);
    bytes[32_768..32_774].copy_from_slice(b"\x01CD001");
    let image = open(bytes.clone()).unwrap();
    conformance::source(&image, &bytes);
    let info = image.info();
    assert_eq!((info.format.name(), info.virtual_size), ("raw", 100_000));
    assert_eq!((info.content, info.is_optical_disc), (Some("iso9660"), true));
    assert_eq!(info.findings[0].check, "iso9660_block_size");
    let inspected = (DRIVER.inspect)(&Memory::new(bytes), &Limits::default()).unwrap();
    assert_eq!(&inspected, info);
    assert!(image.locate(0..100).bytes.is_some(), "memory is used in place");
}

#[test]
fn empty_file_is_a_disk_of_no_bytes_and_an_empty_stream_is_truncated() {
    let image = open(Vec::new()).unwrap();
    assert_eq!((image.size(), image.info().findings[0].check), (0, "empty"));
    let inspected = (DRIVER.inspect)(&Memory::new(Vec::new()), &Limits::default()).unwrap();
    assert_eq!((inspected.virtual_size, &inspected.findings), (0, &image.info().findings));
    let error = push(&[], 1, &MemorySink::new(1 << 20)).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(error.to_string().contains("empty image"), "{error}");
}

#[test]
fn disk_of_any_number_of_bytes_keeps_its_size() {
    for size in [1_usize, 511, 513, 4095, 4097, 100_001] {
        let bytes = painted(1, size);
        let image = open(bytes.clone()).unwrap();
        assert_eq!(image.info().virtual_size, size as u64);
        conformance::source(&image, &bytes);
        let sink = MemorySink::new(1 << 20);
        assert_eq!(push(&bytes, 1000, &sink).unwrap(), size as u64);
        assert!(sink.bytes() == bytes);
    }
}

#[test]
fn limits_snapshots_and_unsupported_options_are_refused() {
    let limits = Limits { virtual_size: 1000, ..Limits::default() };
    let options = OpenOptions { limits: limits.clone(), ..OpenOptions::default() };
    let error = (DRIVER.open)(Arc::new(Memory::new(vec![0; 1001])), &options).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let sink = MemorySink::new(1 << 20);
    let mut decoder = (DRIVER.stream.unwrap())(&limits).unwrap();
    decoder.push(&[1; 1000], &sink).unwrap();
    assert_eq!(decoder.push(&[1], &sink).unwrap_err().kind(), ErrorKind::Limit);

    let snapshot = Some(SnapshotSelector::Name("x".into()));
    let options = OpenOptions { snapshot, ..OpenOptions::default() };
    let error = (DRIVER.open)(Arc::new(Memory::new(vec![0; 10])), &options).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    let setting = Setting { name: "cluster_size".into(), value: "64k".into() };
    for options in [
        CreateOptions { compress: true, ..CreateOptions::default() },
        CreateOptions { level: Some(5), ..CreateOptions::default() },
        CreateOptions { settings: vec![setting], ..CreateOptions::default() },
    ] {
        let sink = Box::new(MemorySink::new(1 << 20));
        let error = (DRIVER.create.unwrap())(sink, &options).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn streamed_zeros_do_not_depend_on_the_pieces() {
    let mut bytes = painted(3, 300_000);
    bytes[8192..100_000].fill(0);
    bytes[200_000..204_095].fill(0);
    bytes[290_000..].fill(0);
    for chunk in [1, 511, 512, 513, 4096, 65_537, 1 << 20] {
        let mut out = Vec::new();
        let sink = StreamSink::new(&mut out, None);
        assert_eq!(push(&bytes, chunk, &sink).unwrap(), 300_000, "{chunk}");
        Box::new(sink).finish().unwrap();
        assert!(out == bytes, "pieces of {chunk}");
        let sink = ZeroRecorder::default();
        push(&bytes, chunk, &sink).unwrap();
        assert_eq!(sink.zeros(), [8192..98_304, 290_816..300_000], "pieces of {chunk}");
    }
}

/// A sink that records the zeroed ranges, with adjacent ones merged.
#[derive(Default)]
struct ZeroRecorder(std::sync::Mutex<Vec<std::ops::Range<u64>>>);

impl ZeroRecorder {
    fn zeros(self) -> Vec<std::ops::Range<u64>> {
        self.0.into_inner().unwrap()
    }
}

impl BlockSink for ZeroRecorder {
    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<()> {
        assert!(!data.is_empty());
        Ok(())
    }
    fn zero(&self, range: std::ops::Range<u64>) -> Result<()> {
        let mut zeros = self.0.lock().unwrap();
        match zeros.last_mut().filter(|last| last.end == range.start) {
            Some(last) => last.end = range.end,
            None => zeros.push(range),
        }
        Ok(())
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn created_disk_forwards_the_properties_of_its_sink() {
    conformance::forwards_properties(&|below| {
        (DRIVER.create.unwrap())(below, &CreateOptions { virtual_size: 4096, ..CreateOptions::default() })
            .unwrap()
    });
}

#[test]
fn created_disk_passes_the_suite_and_has_its_size() {
    let shared = MemorySink::new(1 << 20);
    conformance::sink(
        300_001,
        4096,
        &|virtual_size| {
            shared.zero(0..virtual_size).unwrap();
            let options = CreateOptions { virtual_size, ..CreateOptions::default() };
            (DRIVER.create.unwrap())(Box::new(shared.clone()), &options).unwrap()
        },
        &|| Box::new(Memory::new(shared.bytes())),
    );
}

#[test]
fn created_disk_is_padded_to_its_size_and_refuses_bytes_past_it() {
    let create = |below: Box<dyn BlockSink>| {
        let options = CreateOptions { virtual_size: 10_000, ..CreateOptions::default() };
        let disk = (DRIVER.create.unwrap())(below, &options).unwrap();
        disk.write_at(100, b"disk").unwrap();
        disk.write_at(10_000, &[]).unwrap();
        assert_eq!(disk.write_at(9_999, b"xy").unwrap_err().kind(), ErrorKind::OutOfBounds);
        disk.finish().unwrap();
    };
    let dir = tempfile::tempdir().unwrap();
    let (in_file, in_pipe) = (dir.path().join("file"), dir.path().join("pipe"));
    create(Box::new(
        diskimg_raw::FileSink::create_new(&in_file, diskimg_raw::SinkOptions::default()).unwrap(),
    ));
    create(Box::new(StreamSink::new(std::fs::File::create(&in_pipe).unwrap(), None)));
    let mut expected = vec![0; 10_000];
    expected[100..104].copy_from_slice(b"disk");
    assert!(std::fs::read(&in_file).unwrap() == expected);
    assert!(std::fs::read(&in_pipe).unwrap() == expected);
}
