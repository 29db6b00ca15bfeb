//! Tests of the writer against the reader, against `qemu-img`, and with different numbers of threads.

mod errors;
mod offsets;
mod order;
mod properties;
mod qemu;

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::conformance::{batched, mixed};
use diskimg_core::{BlockSink, BlockSource, Memory, MemorySink, OpenOptions, Segment, zeros};

use super::{Allocation, ImageWriter, WriterOptions};
use crate::{DRIVER, Vdi};

/// More bytes than any image of these tests has.
const ROOM: u64 = 1 << 30;
/// The offset of the map, and of the blocks of an image with a small map.
const MAP: usize = 1 << 20;
const DATA: usize = 2 << 20;

/// Options for a disk, with fixed UUIDs so that the image is reproducible.
fn options_for(disk: &[u8]) -> WriterOptions {
    WriterOptions {
        virtual_size: disk.len() as u64,
        uuid: Some([0x11; 16]),
        modification_uuid: Some([0x22; 16]),
        ..WriterOptions::default()
    }
}

/// The options under test.
fn variants(disk: &[u8]) -> Vec<WriterOptions> {
    let mut all = Vec::new();
    for allocation in [Allocation::Dynamic, Allocation::Fixed] {
        for block_size in [4096, 65_536, 1 << 20] {
            all.push(WriterOptions { allocation, block_size, ..options_for(disk) });
        }
    }
    all
}

/// Runs `write` and returns the finished image file.
fn image(options: &WriterOptions, write: impl FnOnce(&ImageWriter)) -> Vec<u8> {
    let file = MemorySink::new(ROOM);
    let writer = ImageWriter::new(Box::new(file.clone()), options).unwrap();
    write(&writer);
    Box::new(writer).finish().unwrap();
    file.bytes()
}

fn open(bytes: Vec<u8>) -> Vdi {
    Vdi::open(Arc::new(Memory::new(bytes)), &OpenOptions::default()).unwrap()
}

/// Checks an image and returns its guest bytes, both with this crate.
fn guest(bytes: Vec<u8>) -> Vec<u8> {
    let file: Arc<dyn BlockSource> = Arc::new(Memory::new(bytes));
    let report = (DRIVER.check.unwrap())(Arc::clone(&file), &OpenOptions::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.image_end, Some(file.size()));
    let source = Vdi::open(file, &OpenOptions::default()).unwrap();
    let mut disk = vec![0; usize::try_from(source.size()).unwrap()];
    source.read_at(0, &mut disk).unwrap();
    disk
}

/// The disk extended to whole sectors, as in the header.
fn in_sectors(disk: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    disk.resize(disk.len().next_multiple_of(512), 0);
    disk
}
