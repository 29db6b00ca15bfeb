//! Copies inside the kernel.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use diskimg_core::conformance::painted;
use diskimg_core::{BlockSink, ErrorKind, HostRange};
use diskimg_raw::{FileSink, SinkOptions};

use super::{copying, dir_with_path};

#[test]
fn copies_are_exact_and_end_with_the_source() {
    let (dir, path) = dir_with_path();
    let bytes = painted(0, (20 << 20) + 1234);
    let from = dir.path().join("from");
    fs::write(&from, &bytes).unwrap();
    let file = File::open(&from).unwrap();
    for sync in [false, true] {
        let _ = fs::remove_file(&path);
        let sink = FileSink::create_new(&path, SinkOptions { sync, ..copying() }).unwrap();
        let len = bytes.len() as u64 - 77;
        let copied = sink.copy_from(4097, HostRange { file: &file, offset: 77, len }).unwrap();
        if !copied {
            eprintln!("skipped: no copies inside the kernel here");
            return;
        }
        let past = sink.copy_from(0, HostRange { file: &file, offset: bytes.len() as u64 - 10, len: 11 });
        let error = past.unwrap_err();
        assert_eq!(
            (error.kind(), error.offset()),
            (ErrorKind::Truncated, Some(bytes.len() as u64)),
            "{error}"
        );
        Box::new(sink).finish().unwrap();
        assert!(fs::read(&path).unwrap()[4097..] == bytes[77..]);
    }
}

#[test]
fn holes_of_the_source_are_zeroed_over_old_bytes() {
    let (dir, path) = dir_with_path();
    let from = dir.path().join("from");
    let mut bytes = vec![0; 8 << 20];
    bytes[1 << 20..2 << 20].copy_from_slice(&painted(0, 1 << 20));
    let sparse = File::create_new(&from).unwrap();
    sparse.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &bytes[1 << 20..2 << 20], 1 << 20).unwrap();
    let file = File::open(&from).unwrap();
    let sink = FileSink::create_new(&path, copying()).unwrap();
    sink.write_at(5 << 20, &[7; 4096]).unwrap();
    if !sink.copy_from(0, HostRange { file: &file, offset: 0, len: 8 << 20 }).unwrap() {
        eprintln!("skipped: no copies inside the kernel here");
        return;
    }
    Box::new(sink).finish().unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
    let (taken, source) = (fs::metadata(&path).unwrap().blocks(), fs::metadata(&from).unwrap().blocks());
    assert!(taken <= source + 16, "{taken} sectors are allocated, {source} in the source");
}

#[test]
fn copy_that_the_kernel_refuses_is_left_to_the_caller() {
    let (dir, path) = dir_with_path();
    let from = dir.path().join("from");
    fs::write(&from, [1; 8192]).unwrap();
    let sink = FileSink::create_new(&path, SinkOptions { size: Some(8192), ..copying() }).unwrap();
    // Not open for reading.
    let file = File::options().append(true).open(&from).unwrap();
    assert!(!sink.copy_from(0, HostRange { file: &file, offset: 0, len: 4096 }).unwrap());
    // The target itself, with overlap.
    sink.write_at(0, &[1; 4096]).unwrap();
    let itself = HostRange { file: sink.file(), offset: 0, len: 4096 };
    assert!(!sink.copy_from(100, itself).unwrap());
    let file = File::open(&from).unwrap();
    let error = sink.copy_from(8000, HostRange { file: &file, offset: 0, len: 4096 }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds);
}
