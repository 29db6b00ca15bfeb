//! Tests of the writer against `qemu-img`, `vmdkinfo` and the reader, and with different numbers of threads.

mod errors;
mod folder;
mod layout;
mod matrix;
mod order;
mod reader;
mod tools;

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::conformance::{Numbers, batched, mixed, painted};
use diskimg_core::{BlockSink, Segment, zeros};

use super::{ImageWriter, Subformat, WriterOptions};
use folder::{Folder, NAME};

/// The disk extended to whole sectors, as in the image.
fn in_sectors(disk: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    disk.resize(disk.len().next_multiple_of(512), 0);
    disk
}

fn options_for(disk: &[u8], subformat: Subformat) -> WriterOptions {
    WriterOptions { virtual_size: disk.len() as u64, subformat, cid: Some(0xC1D), ..WriterOptions::default() }
}

fn writer_in(folder: &Arc<Folder>, options: &WriterOptions) -> ImageWriter {
    ImageWriter::new(folder.sink(), options, Some(Arc::clone(folder) as _)).unwrap()
}

/// Runs `write` and returns the finished files.
fn image(options: &WriterOptions, write: impl FnOnce(&ImageWriter)) -> Arc<Folder> {
    let folder = Folder::new();
    let writer = writer_in(&folder, options);
    write(&writer);
    Box::new(writer).finish().unwrap();
    folder
}
