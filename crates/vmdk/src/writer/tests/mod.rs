//! Tests of the writer: against `qemu-img` and `vmdkinfo`, the reader, and itself with other threads.

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

use super::{Subformat, Writer, WriterOptions};
use folder::{Folder, NAME};

/// A disk as an image states it: whole sectors.
fn in_sectors(disk: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    disk.resize(disk.len().next_multiple_of(512), 0);
    disk
}

fn options_for(disk: &[u8], subformat: Subformat) -> WriterOptions {
    WriterOptions { virtual_size: disk.len() as u64, subformat, ..WriterOptions::default() }
}

fn writer_in(folder: &Arc<Folder>, options: &WriterOptions) -> Writer {
    Writer::new(folder.sink(), options, Some(Arc::clone(folder) as _)).unwrap()
}

/// The files after `write` has had the writer.
fn image(options: &WriterOptions, write: impl FnOnce(&Writer)) -> Arc<Folder> {
    let folder = Folder::new();
    let writer = writer_in(&folder, options);
    write(&writer);
    Box::new(writer).finish().unwrap();
    folder
}
