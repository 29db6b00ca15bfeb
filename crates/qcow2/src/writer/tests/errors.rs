//! Rejected calls, and images that are not finished.

use diskimg_core::{ErrorKind, Result};

use super::*;
use crate::{BackingName, ClusterPreallocation, Compression, Version};

fn rejected(options: &WriterOptions) -> diskimg_core::Error {
    let Err(error) = ImageWriter::new(Box::new(MemorySink::new(ROOM)), options) else {
        panic!("{options:?} was accepted");
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error
}

#[test]
fn invalid_and_conflicting_options_are_rejected() {
    let base = WriterOptions { virtual_size: 1 << 20, ..WriterOptions::default() };
    let backing = |name: &str, format: Option<&str>| {
        Some(BackingName { name: name.into(), format: format.map(Into::into) })
    };
    let v2 = WriterOptions { version: Version::V2, ..base.clone() };
    let table = [
        WriterOptions { compression_type: Compression::Zstd, ..v2.clone() },
        WriterOptions { extended_l2: true, ..v2.clone() },
        WriterOptions { lazy_refcounts: true, ..v2.clone() },
        WriterOptions { refcount_bits: 8, ..v2 },
        WriterOptions { refcount_bits: 0, ..base.clone() },
        WriterOptions { refcount_bits: 128, ..base.clone() },
        WriterOptions { extended_l2: true, cluster_size: 8192, ..base.clone() },
        WriterOptions { preallocation: ClusterPreallocation::Metadata, compress: true, ..base.clone() },
        WriterOptions {
            preallocation: ClusterPreallocation::Metadata,
            backing: backing("a", None),
            ..base.clone()
        },
        WriterOptions { backing: backing("", None), ..base.clone() },
        WriterOptions { backing: backing(&"a".repeat(1024), None), ..base.clone() },
        WriterOptions { backing: backing("a", Some("sixteen-bytes-xx")), ..base.clone() },
        WriterOptions { backing: backing(&"a".repeat(400), None), cluster_size: 512, ..base.clone() },
        WriterOptions { compress: true, level: Some(99), ..base.clone() },
        WriterOptions { level: Some(5), ..base.clone() },
        WriterOptions { virtual_size: u64::MAX, ..base },
    ];
    for options in table {
        rejected(&options);
    }
}

#[test]
fn compressed_cluster_cannot_be_rewritten() {
    let options = WriterOptions { virtual_size: 1 << 20, compress: true, ..WriterOptions::default() };
    let attempts: [fn(&ImageWriter) -> Result<()>; 4] = [
        |writer| writer.write_at(100, b"x"),
        |writer| writer.write_at(0, &[3; 65_536]),
        |writer| writer.zero(0..65_536),
        |writer| writer.zero(5..6),
    ];
    for attempt in attempts {
        let file = MemorySink::new(ROOM);
        let writer = ImageWriter::new(Box::new(file.clone()), &options).unwrap();
        writer.write_at(0, &[7; 65_536]).unwrap();
        let error = attempt(&writer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.guest_offset(), Some(0));
        // Space may have been allocated before the error, so the image cannot be completed.
        assert!(Box::new(writer).finish().is_err());
        assert_ne!(file.bytes()[..4], *b"QFI\xfb");
    }
}

#[test]
fn range_past_the_end_is_out_of_bounds_and_changes_nothing() {
    let options = WriterOptions { virtual_size: 1000, ..WriterOptions::default() };
    let bytes = image(&options, |writer| {
        assert_eq!(writer.write_at(999, b"ab").unwrap_err().kind(), ErrorKind::OutOfBounds);
        assert_eq!(writer.write_at(u64::MAX, b"ab").unwrap_err().kind(), ErrorKind::OutOfBounds);
        assert_eq!(writer.zero(0..1001).unwrap_err().kind(), ErrorKind::OutOfBounds);
        writer.write_at(999, b"a").unwrap();
        writer.write_at(1000, b"").unwrap();
    });
    assert_eq!(guest(bytes)[998..1001], [0, b'a', 0]);
}

#[test]
fn writer_dropped_without_finish_leaves_no_valid_image() {
    let disk = mixed(1_000_000, 1);
    let file = MemorySink::new(ROOM);
    let writer = ImageWriter::new(Box::new(file.clone()), &options_for(&disk)).unwrap();
    writer.write_at(0, &disk).unwrap();
    drop(writer);
    let bytes = file.bytes();
    assert!(zeros::is_zero(&bytes[..65_536]), "the header is not written");
    assert!((DRIVER.open)(Arc::new(Memory::new(bytes)), &OpenOptions::default()).is_err());
}

#[test]
fn unwritten_segment_prevents_finish() {
    let disk = noise(65_536);
    let writer = ImageWriter::new(Box::new(MemorySink::new(ROOM)), &options_for(&disk)).unwrap();
    let segment = Segment { offset: 0, len: 65_536, bytes: &disk, zeros: &[] };
    let mut batch = writer.batch().unwrap();
    batch.prepare(&segment).unwrap();
    batch.place(&segment).unwrap();
    drop(batch);
    assert!(Box::new(writer).finish().is_err());
}

#[test]
fn failed_write_prevents_finish() {
    let disk = noise(1 << 20);
    let file = MemorySink::new(600_000);
    let writer = ImageWriter::new(Box::new(file.clone()), &options_for(&disk)).unwrap();
    assert_eq!(writer.write_at(0, &disk).unwrap_err().kind(), ErrorKind::Limit);
    assert!(Box::new(writer).finish().is_err());
    assert!(!file.bytes().starts_with(b"QFI\xfb"));
}

#[test]
fn segments_of_partial_clusters_are_rejected() {
    let disk = noise(200_000);
    let writer = ImageWriter::new(Box::new(MemorySink::new(ROOM)), &options_for(&disk)).unwrap();
    let mut batch = writer.batch().unwrap();
    for (offset, len, kind) in [
        (1, 65_536, ErrorKind::InvalidInput),
        (0, 65_537, ErrorKind::InvalidInput),
        (0, 200_001, ErrorKind::OutOfBounds),
    ] {
        let segment = Segment { offset, len, bytes: &disk, zeros: &[] };
        assert_eq!(batch.prepare(&segment).unwrap_err().kind(), kind);
    }
    let short = Segment { offset: 0, len: 131_072, bytes: &disk[..5], zeros: &[] };
    assert_eq!(batch.prepare(&short).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn range_completed_by_a_batch_cannot_be_rewritten() {
    // An L2 table of 512-byte clusters maps 32 KiB.
    let disk = noise(65_536);
    let options = WriterOptions { cluster_size: 512, ..options_for(&disk) };
    let writer = ImageWriter::new(Box::new(MemorySink::new(ROOM)), &options).unwrap();
    batched(&writer, &disk, 32_768, 1);
    let error = writer.write_at(0, b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("cannot be written again"), "{error}");
}
