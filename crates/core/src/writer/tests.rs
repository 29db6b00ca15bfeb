//! Tests of the shared writer code over a file that logs its calls.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::*;
use crate::{Batch, BlockSink, Error, ErrorKind, Format, GuestOffset, HostOffset, Result, Segment};

const FORMAT: Format = Format::new("test");
const UNIT: usize = 512 << 10;

type SinkCall = (&'static str, Range<u64>);

/// Remembers the ranges of all calls; fails from `broken_at` on.
#[derive(Clone, Default)]
struct CallLog {
    calls: Arc<Mutex<Vec<SinkCall>>>,
    broken_at: Option<u64>,
}

impl CallLog {
    fn log(&self, name: &'static str, range: Range<u64>) -> Result<()> {
        if self.broken_at.is_some_and(|end| range.end > end) {
            return Err(Error::new(ErrorKind::Io));
        }
        self.calls.lock().unwrap().push((name, range));
        Ok(())
    }

    fn calls(&self) -> Vec<SinkCall> {
        self.calls.lock().unwrap().clone()
    }
}

impl BlockSink for CallLog {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.log("write", offset..offset + data.len() as u64)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.log("zero", range)
    }
    fn properties(&self) -> crate::SinkProperties {
        crate::SinkProperties::default()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Stores every unit at its guest offset plus 4096.
struct FlatImage(ImageFile);

impl FlatImage {
    fn over(log: &CallLog) -> Self {
        Self(ImageFile::new(FORMAT, Box::new(log.clone())))
    }
}

impl UnitImage for FlatImage {
    type UnitEncoder = ();
    type EncodedUnit = ();

    fn units(&self) -> DiskUnits {
        DiskUnits { format: FORMAT, disk_bytes: 5_000_000, unit_bytes: UNIT as u64, name: "block" }
    }

    fn file(&self) -> &ImageFile {
        &self.0
    }

    fn encode(&self, (): &mut (), _: GuestOffset, _: &[u8], _: &mut EncodeBuffer) -> Result<()> {
        Ok(())
    }

    fn place(&self, segment: &PreparedSegment<'_, ()>, plan: &mut WritePlan) -> Result<()> {
        for unit in segment.units {
            match unit {
                SegmentUnit::Zeros(range) => {
                    plan.zero(HostOffset(range.start.0 + 4096)..HostOffset(range.end.0 + 4096));
                }
                SegmentUnit::Data { guest, .. } => {
                    plan.write_guest(guest.clone(), HostOffset(guest.start.0 + 4096), segment.in_order);
                }
            }
        }
        Ok(())
    }
}

#[test]
fn units_of_zeros_are_separated_from_runs_of_data() {
    let log = CallLog::default();
    let mut bytes = vec![1; 4 * UNIT];
    bytes[2 * UNIT..].fill(0);
    let segment = Segment { offset: 0, len: bytes.len() as u64, bytes: &bytes, zeros: &[] };
    SegmentJob::new(()).write_segment(&FlatImage::over(&log), &segment).unwrap();
    let unit = UNIT as u64;
    let expected = [("write", 4096..4096 + 2 * unit), ("zero", 4096 + 2 * unit..4096 + 4 * unit)];
    assert_eq!(log.calls(), expected);
}

#[test]
fn batch_of_known_zeros_stores_other_zeros() {
    let unit = UNIT as u64;
    let bytes = vec![0; 4 * UNIT];
    let zeros = [unit..2 * unit, 3 * unit..4 * unit];
    let segment = Segment { offset: 0, len: bytes.len() as u64, bytes: &bytes, zeros: &zeros };
    for known_only in [false, true] {
        let log = CallLog::default();
        let image = FlatImage::over(&log);
        let mut batch = SegmentBatch::new(&image, ());
        if known_only {
            batch.leave_out_known_zeros_only();
        }
        batch.prepare(&segment).unwrap();
        batch.place(&segment).unwrap();
        batch.write(&segment).unwrap();
        let at = |from: u64, to: u64| 4096 + from * unit..4096 + to * unit;
        let expected = match known_only {
            false => vec![("zero", at(0, 4))],
            true => {
                vec![("write", at(0, 1)), ("zero", at(1, 2)), ("write", at(2, 3)), ("zero", at(3, 4))]
            }
        };
        assert_eq!(log.calls(), expected);
    }
}

#[test]
fn direct_write_may_begin_and_end_inside_units() {
    let log = CallLog::default();
    let image = FlatImage::over(&log);
    let bytes = vec![1; UNIT];
    SegmentJob::new(()).write_at(&image, 100, &bytes).unwrap();
    assert_eq!(log.calls(), [("write", 4196..4196 + UNIT as u64)]);
    SegmentJob::new(()).zero(&image, &(100..200)).unwrap();
    assert_eq!(log.calls()[1..], [("zero", 4196..4296)]);
    let past_end = SegmentJob::new(()).write_at(&image, 5_000_000, &[1]).unwrap_err();
    assert_eq!(past_end.kind(), ErrorKind::OutOfBounds);
    SegmentJob::new(()).write_at(&image, 5_000_000, &[]).unwrap();
    assert_eq!(log.calls().len(), 2);
}

#[test]
fn long_known_zeros_are_skipped_where_the_file_is_fresh() {
    let mut bytes = vec![1; UNIT];
    bytes[1000..1000 + 65_535].fill(0);
    bytes[200_000..200_000 + 65_536].fill(0);
    let zeros = [1000..1000 + 65_535, 200_000..200_000 + 65_536];
    let segment = Segment { offset: 0, len: UNIT as u64, bytes: &bytes, zeros: &zeros };
    let log = CallLog::default();
    let image = FlatImage::over(&log);
    let mut batch = SegmentBatch::new(&image, ());
    batch.prepare(&segment).unwrap();
    batch.place(&segment).unwrap();
    batch.write(&segment).unwrap();
    let expected = [("write", 4096..204_096), ("write", 269_632..4096 + UNIT as u64)];
    assert_eq!(log.calls(), expected);
    SegmentJob::new(()).write_segment(&image, &segment).unwrap();
    assert_eq!(log.calls()[2..], [("write", 4096..4096 + UNIT as u64)]);
}

#[test]
fn batch_rejects_partial_units_and_short_bytes() {
    let image = FlatImage::over(&CallLog::default());
    let mut batch = SegmentBatch::new(&image, ());
    let bytes = vec![1; UNIT];
    let unit = UNIT as u64;
    for (offset, len, kind) in [
        (1, unit, ErrorKind::InvalidInput),
        (0, unit - 1, ErrorKind::InvalidInput),
        (0, 2 * unit, ErrorKind::InvalidInput),
        (0, 5_000_001, ErrorKind::OutOfBounds),
    ] {
        let error = batch.prepare(&Segment { offset, len, bytes: &bytes, zeros: &[] }).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let partial = Segment { offset: 0, len: unit - 1, bytes: &bytes, zeros: &[] };
    let error = batch.prepare(&partial).unwrap_err().to_string();
    assert!(error.contains("whole blocks of 524288 bytes"), "{error}");
    let last = Segment { offset: 9 * unit, len: 5_000_000 - 9 * unit, bytes: &bytes, zeros: &[] };
    batch.prepare(&last).unwrap();
}

#[test]
fn failed_or_unwritten_segment_prevents_completion() {
    let bytes = vec![1; UNIT];
    let segment = Segment { offset: 0, len: UNIT as u64, bytes: &bytes, zeros: &[] };
    let image = FlatImage::over(&CallLog::default());
    let mut batch = SegmentBatch::new(&image, ());
    batch.prepare(&segment).unwrap();
    assert!(image.file().ledger().check_complete().is_ok());
    batch.place(&segment).unwrap();
    assert!(image.file().ledger().check_complete().is_err());
    batch.write(&segment).unwrap();
    assert!(image.file().ledger().check_complete().is_ok());
    let broken = FlatImage::over(&CallLog { broken_at: Some(5000), ..CallLog::default() });
    assert_eq!(SegmentJob::new(()).write_segment(&broken, &segment).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(broken.file().ledger().check_complete().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn file_is_extended_with_zeros_from_the_last_byte_written() {
    let log = CallLog::default();
    let file = ImageFile::new(FORMAT, Box::new(log.clone()));
    file.write_at(HostOffset(100), &[1; 28]).unwrap();
    file.extend_to(HostOffset(512)).unwrap();
    file.extend_to(HostOffset(512)).unwrap();
    assert_eq!(log.calls(), [("write", 100..128), ("zero", 128..512)]);
}

#[test]
fn plan_merges_adjacent_writes_of_one_kind() {
    let guest = |range: Range<u64>| GuestOffset(range.start)..GuestOffset(range.end);
    let mut plan = WritePlan::default();
    plan.write_metadata(HostOffset(0), vec![1; 10]);
    plan.write_metadata(HostOffset(10), vec![1; 10]);
    assert_eq!(plan.only_metadata(), Some(20));
    plan.write_guest(guest(0..10), HostOffset(100), true);
    plan.write_guest(guest(10..20), HostOffset(110), true);
    plan.write_guest(guest(20..30), HostOffset(120), false);
    plan.write_guest(guest(30..40), HostOffset(200), false);
    plan.write_guest(guest(50..60), HostOffset(210), false);
    assert_eq!(plan.only_metadata(), None);
    plan.write_encoded(0..5, HostOffset(300));
    plan.write_encoded(5..9, HostOffset(305));
    plan.write_encoded(9..10, HostOffset(400));
    plan.zero(HostOffset(500)..HostOffset(510));
    plan.zero(HostOffset(510)..HostOffset(520));
    assert_eq!(plan.writes().len(), 2 + 4 + 2 + 1, "{plan:?}");
    assert_eq!(plan.writes().last(), Some(&PlannedWrite::Zeros(HostOffset(500)..HostOffset(520))));
}

#[test]
fn last_unit_is_padded_with_zeros() {
    let mut padding = UnitPadding::default();
    assert_eq!(padding.whole_unit(&[1, 2], 4), [1, 2, 0, 0]);
    assert_eq!(padding.whole_unit(&[3], 4), [3, 0, 0, 0]);
    assert_eq!(padding.whole_unit(&[1; 4], 4), [1; 4]);
}
