//! Comparison with `qemu-img`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "../../../tests/qemu/tools.rs"]
mod tools;

use std::fs::File;
use std::os::unix::fs::FileExt;

use diskimg_core::conformance::{Numbers, painted};
use diskimg_core::{ExtentKind, Extents};
use diskimg_raw::{Copies, FileSink, FileSource, SinkOptions};
use tools::{have_qemu, qemu};

/// Returns the number after `"name": ` in a line of `qemu-img map --output=json`.
fn number(line: &str, name: &str) -> u64 {
    let rest = line.split(&format!("\"{name}\": ")).nth(1).unwrap();
    rest.split([',', '}']).next().unwrap().parse().unwrap()
}

#[test]
fn map_of_a_sparse_file_equals_that_of_qemu_img() {
    if !have_qemu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let file = File::create(&path).unwrap();
    // Whole sectors: qemu-img rounds the size of a raw disk.
    file.set_len((64 << 20) + 512).unwrap();
    let mut numbers = Numbers::new(3);
    for _ in 0..40 {
        let (at, len) = (numbers.below(64 << 20), numbers.below(300_000));
        file.write_all_at(&painted(at + 1, usize::try_from(len).unwrap()), at).unwrap();
    }
    file.sync_all().unwrap();
    let disk = FileSource::open(&path).unwrap();
    let ours: Vec<(u64, u64, bool)> = Extents::new(&disk, 0..(64 << 20) + 512)
        .map(|extent| {
            extent.map(|extent| (extent.offset, extent.len, extent.kind == ExtentKind::Data)).unwrap()
        })
        .collect();
    let printed = qemu(dir.path(), "qemu-img", &["map", "-f", "raw", "--output=json", "disk"]);
    let theirs: Vec<(u64, u64, bool)> = printed
        .lines()
        .filter(|line| line.contains("start"))
        .map(|line| (number(line, "start"), number(line, "length"), line.contains("\"data\": true")))
        .collect();
    assert!(theirs.len() > 1, "the file has holes");
    assert_eq!(ours, theirs);
}

#[test]
fn copy_is_identical_according_to_qemu_img() {
    if !have_qemu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let file = File::create(&from).unwrap();
    file.set_len(16 << 20).unwrap();
    file.write_all_at(&painted(0, 3_000_000), 5_000_000).unwrap();
    let disk = FileSource::open(&from).unwrap();
    let options = SinkOptions { size: Some(16 << 20), copies: Copies::Always, ..SinkOptions::default() };
    let sink: Box<dyn diskimg_core::BlockSink> = Box::new(FileSink::create_new(&to, options).unwrap());
    for extent in Extents::new(&disk, 0..16 << 20) {
        let extent = extent.unwrap();
        if let Some(host) = extent.location.host {
            if !sink.copy_from(extent.offset, host).unwrap() {
                let mut bytes = vec![0; usize::try_from(host.len).unwrap()];
                host.file.read_exact_at(&mut bytes, host.offset).unwrap();
                sink.write_at(extent.offset, &bytes).unwrap();
            }
        }
    }
    sink.finish().unwrap();
    qemu(dir.path(), "qemu-img", &["compare", "-f", "raw", "-F", "raw", "from", "to"]);
}
