//! Tests of the writer against `qemu-img`, against the reader, and with different numbers of threads.

mod errors;
mod matrix;
mod memory;
mod offsets;
mod order;
mod properties;
mod qemu;

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::conformance::{Numbers, batched, mixed, painted};
use diskimg_core::{BlockSink, BlockSource, Memory, MemorySink, OpenOptions, Segment, zeros};

use super::{ImageWriter, WriterOptions};
use crate::DRIVER;

/// More bytes than any image of these tests has.
const ROOM: u64 = 1 << 30;

fn noise(len: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(99);
    (0..len).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect()
}

/// Runs `write` and returns the finished image file.
fn image(options: &WriterOptions, write: impl FnOnce(&ImageWriter)) -> Vec<u8> {
    let file = MemorySink::new(ROOM);
    let writer = ImageWriter::new(Box::new(file.clone()), options).unwrap();
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

/// Returns all guest bytes, read with this crate.
fn guest(bytes: Vec<u8>) -> Vec<u8> {
    let source = open(bytes);
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
