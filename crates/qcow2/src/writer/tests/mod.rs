//! Tests of the writer: against `qemu-img`, against the reader, and against itself with other threads.

mod errors;
mod matrix;
mod memory;
mod order;
mod places;
mod properties;
mod qemu;

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::conformance::{Numbers, batched, mixed, painted};
use diskimg_core::{BlockSink, BlockSource, Memory, MemorySink, OpenOptions, Segment, zeros};

use super::{Writer, WriterOptions};
use crate::DRIVER;

/// Larger than any image of these tests.
const ROOM: u64 = 1 << 30;

fn noise(len: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(99);
    (0..len).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect()
}

/// The image file after `write` has had the writer.
fn image(options: &WriterOptions, write: impl FnOnce(&Writer)) -> Vec<u8> {
    let file = MemorySink::new(ROOM);
    let writer = Writer::new(Box::new(file.clone()), options).unwrap();
    write(&writer);
    Box::new(writer).finish().unwrap();
    file.bytes()
}

fn options_for(disk: &[u8]) -> WriterOptions {
    WriterOptions { virtual_size: disk.len() as u64, ..WriterOptions::default() }
}

/// Opens an image with the reader of this crate.
fn open(bytes: Vec<u8>) -> impl BlockSource {
    (DRIVER.open)(Arc::new(Memory::new(bytes)), &OpenOptions::default()).unwrap()
}

/// All guest bytes, as the reader of this crate sees them.
fn guest(bytes: Vec<u8>) -> Vec<u8> {
    let source = open(bytes);
    let mut disk = vec![0; usize::try_from(source.size()).unwrap()];
    source.read_at(0, &mut disk).unwrap();
    disk
}

/// A disk as its header states it: whole sectors.
fn in_sectors(disk: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    disk.resize(disk.len().next_multiple_of(512), 0);
    disk
}
