//! Rejected calls, and images that are not finished.

use diskimg_core::{ErrorKind, Remedy, Result, SinkProperties, WriteOrder};

use super::*;

#[track_caller]
fn rejected(options: &WriterOptions) -> diskimg_core::Error {
    let Err(error) = ImageWriter::new(Box::new(MemorySink::new(ROOM)), options) else {
        panic!("{options:?} was accepted");
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error
}

#[test]
fn invalid_options_are_rejected() {
    let base = WriterOptions { virtual_size: 1 << 20, ..WriterOptions::default() };
    for block_size in [0, 1, 256, 3000, 128 << 20, u64::MAX] {
        rejected(&WriterOptions { block_size, ..base.clone() });
    }
    for virtual_size in [u64::MAX, 1 << 63, (0x1FFF_FF80 << 20) + 1] {
        rejected(&WriterOptions { virtual_size, ..base.clone() });
    }
    rejected(&WriterOptions { uuid: Some([0; 16]), ..base.clone() });
    rejected(&WriterOptions { modification_uuid: Some([0; 16]), ..base });
}

#[test]
fn disk_too_large_for_its_block_size_hints_at_larger_blocks() {
    let options = WriterOptions { virtual_size: 1 << 40, block_size: 512, ..WriterOptions::default() };
    assert_eq!(rejected(&options).remedy(), Some(Remedy::SetOption(&[("block_size", "64M")])));
}

#[test]
fn target_with_ascending_order_is_rejected() {
    struct Pipe;
    impl BlockSink for Pipe {
        fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn zero(&self, _: Range<u64>) -> Result<()> {
            Ok(())
        }
        fn properties(&self) -> SinkProperties {
            SinkProperties { order: WriteOrder::Ascending, ..SinkProperties::default() }
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }
    let error = ImageWriter::new(Box::new(Pipe), &options_for(&[1])).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NeedsSeek);
}

#[test]
fn range_past_the_end_is_out_of_bounds_and_changes_nothing() {
    let options = WriterOptions { virtual_size: 1000, ..options_for(&[]) };
    let bytes = image(&options, |writer| {
        for (offset, data) in [(999, &b"ab"[..]), (u64::MAX, b"ab"), (1001, b"")] {
            assert_eq!(writer.write_at(offset, data).unwrap_err().kind(), ErrorKind::OutOfBounds);
        }
        assert_eq!(writer.zero(0..1001).unwrap_err().kind(), ErrorKind::OutOfBounds);
        writer.write_at(999, b"a").unwrap();
        writer.write_at(1000, b"").unwrap();
        writer.zero(5..5).unwrap();
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
    assert!(zeros::is_zero(&file.bytes()[..DATA]), "header and map are not written");
}

#[test]
fn unwritten_segment_prevents_finish() {
    let disk = vec![1; 1 << 20];
    let writer = ImageWriter::new(Box::new(MemorySink::new(ROOM)), &options_for(&disk)).unwrap();
    let segment = Segment { offset: 0, len: 1 << 20, bytes: &disk, zeros: &[] };
    let mut batch = writer.batch().unwrap();
    batch.prepare(&segment).unwrap();
    batch.place(&segment).unwrap();
    drop(batch);
    assert!(Box::new(writer).finish().is_err());
}

#[test]
fn failed_write_prevents_finish() {
    let file = MemorySink::new(DATA as u64 + 1000);
    let disk = vec![1; 1 << 20];
    let writer = ImageWriter::new(Box::new(file.clone()), &options_for(&disk)).unwrap();
    assert_eq!(writer.write_at(0, &disk).unwrap_err().kind(), ErrorKind::Limit);
    assert!(Box::new(writer).finish().is_err());
    assert!(zeros::is_zero(&file.bytes()));
}

#[test]
fn segments_of_partial_blocks_are_rejected() {
    let disk = vec![1; (2 << 20) + 500];
    let writer = ImageWriter::new(Box::new(MemorySink::new(ROOM)), &options_for(&disk)).unwrap();
    let mut batch = writer.batch().unwrap();
    for (offset, len, kind) in [
        (1, 1 << 20, ErrorKind::InvalidInput),
        (0, (1 << 20) + 1, ErrorKind::InvalidInput),
        (0, (2 << 20) + 501, ErrorKind::OutOfBounds),
    ] {
        let segment = Segment { offset, len, bytes: &disk, zeros: &[] };
        assert_eq!(batch.prepare(&segment).unwrap_err().kind(), kind);
    }
    let short = Segment { offset: 0, len: 1 << 20, bytes: &disk[..5], zeros: &[] };
    assert_eq!(batch.prepare(&short).unwrap_err().kind(), ErrorKind::InvalidInput);
}
