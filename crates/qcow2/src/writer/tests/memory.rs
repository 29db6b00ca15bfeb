//! What a huge disk costs: tables leave memory as soon as they can, and else there is a limit.

use diskimg_core::{ErrorKind, Remedy, Result, SinkProperties};

use super::*;
use crate::BackingName;

/// A file of which nothing is kept but its end.
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

/// With clusters of 2 MiB an L2 table maps 512 GiB and takes 2 MiB: 130 of them are more than stay in memory.
const SIZE: u64 = 130 << 39;

fn huge(backing: bool, file: &Discard) -> Writer {
    let options = WriterOptions {
        virtual_size: SIZE,
        cluster_size: 2 << 20,
        backing: backing.then(|| BackingName { name: "base".into(), format: None }),
        ..WriterOptions::default()
    };
    Writer::new(Box::new(file.clone()), &options).unwrap()
}

#[test]
fn a_batch_of_marked_zeros_takes_any_size_of_disk() {
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
fn complete_tables_leave_memory_where_others_need_it() {
    let writer = huge(true, &Discard::default());
    writer.zero(0..SIZE).unwrap();
    assert_eq!(writer.write_at(0, b"x").unwrap_err().kind(), ErrorKind::InvalidInput, "the first has left");
}

#[test]
fn more_open_tables_than_the_bound_are_a_limit_with_a_hint() {
    let writer = huge(false, &Discard::default());
    let error = (0..130).rev().find_map(|table| writer.write_at(table << 39, b"x").err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.remedy(), Some(Remedy::WriteAscending { unit_option: "cluster_size" }));
}

#[test]
fn in_order_a_disk_of_any_size_has_few_tables_open() {
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
