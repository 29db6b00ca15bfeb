//! The memory for tables of huge disks.

use diskimg_core::{ErrorKind, Remedy, Result, SinkProperties};

use super::*;
use crate::BackingName;

/// A file that stores only its size.
#[derive(Clone, Default)]
struct Discard(Arc<std::sync::atomic::AtomicU64>);

impl BlockSink for Discard {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.fetch_max(offset + data.len() as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
    fn zero(&self, _: Range<u64>) -> Result<()> {
        Ok(())
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// With clusters of 2 MiB an L2 table has 2 MiB and maps 512 GiB: 130 tables exceed the limit.
const SIZE: u64 = 130 << 39;

fn huge(backing: bool, file: &Discard) -> ImageWriter {
    let options = WriterOptions {
        virtual_size: SIZE,
        cluster_size: 2 << 20,
        backing: backing.then(|| BackingName { name: "base".into(), format: None }),
        ..WriterOptions::default()
    };
    ImageWriter::new(Box::new(file.clone()), &options).unwrap()
}

#[test]
fn batch_of_flagged_zeros_accepts_any_disk_size() {
    let file = Discard::default();
    let writer = huge(true, &file);
    let mut batch = writer.batch().unwrap();
    let all = Segment { offset: 0, len: SIZE, bytes: &[], zeros: &[] };
    batch.prepare(&all).unwrap();
    batch.place(&all).unwrap();
    batch.write(&all).unwrap();
    drop(batch);
    Box::new(writer).finish().unwrap();
    // Header, refcount block, L1 table, L2 tables, refcount table.
    assert_eq!(file.0.load(std::sync::atomic::Ordering::Relaxed), (4 + 130) << 21);
}

#[test]
fn full_tables_leave_memory_at_the_limit() {
    let writer = huge(true, &Discard::default());
    writer.zero(0..SIZE).unwrap();
    assert_eq!(
        writer.write_at(0, b"x").unwrap_err().kind(),
        ErrorKind::InvalidInput,
        "the first table has left"
    );
}

#[test]
fn open_tables_past_the_limit_are_an_error_with_a_remedy() {
    let writer = huge(false, &Discard::default());
    let error = (0..130).rev().find_map(|table| writer.write_at(table << 39, b"x").err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.remedy(), Some(Remedy::WriteAscending { unit_option: "cluster_size" }));
}

#[test]
fn ordered_batch_keeps_few_tables_open() {
    let writer = huge(false, &Discard::default());
    let mut batch = writer.batch().unwrap();
    let data = vec![1; 2 << 20];
    for table in 0..130 {
        let first = table << 39;
        let segment = Segment { offset: first, len: 2 << 20, bytes: &data, zeros: &[] };
        let rest = Segment { offset: first + (2 << 20), len: (1 << 39) - (2 << 20), bytes: &[], zeros: &[] };
        for segment in [segment, rest] {
            batch.prepare(&segment).unwrap();
            batch.place(&segment).unwrap();
            batch.write(&segment).unwrap();
        }
    }
    drop(batch);
    Box::new(writer).finish().unwrap();
}
