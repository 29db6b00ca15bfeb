//! Host files and streams as sinks.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod copies;
mod ends;
mod model;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use diskimg_core::conformance::{self, painted};
use diskimg_core::{BlockSink, ErrorKind, Memory};
use diskimg_raw::{Copies, FileSink, FileSource, Preallocation, SinkOptions, StoredZeros, StreamSink};
use tempfile::TempDir;

const STORED_ZEROS: [StoredZeros; 3] =
    [StoredZeros::Deallocated, StoredZeros::Allocated, StoredZeros::Written];

fn dir_with_path() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    (dir, path)
}

fn copying() -> SinkOptions {
    SinkOptions { copies: Copies::Always, ..SinkOptions::default() }
}

/// Creates a file with old bytes, which must never be read back.
fn dirty_file(path: &Path) -> File {
    fs::write(path, vec![0xEE; 3 << 20]).unwrap();
    File::options().read(true).write(true).open(path).unwrap()
}

fn all_options(size: Option<u64>) -> Vec<SinkOptions> {
    let mut all = Vec::new();
    for (zeros, direct) in STORED_ZEROS.into_iter().flat_map(|zeros| [(zeros, false), (zeros, true)]) {
        for preallocation in [Preallocation::Off, Preallocation::Falloc, Preallocation::Full] {
            if size.is_some() || preallocation == Preallocation::Off {
                all.push(SinkOptions { size, zeros, direct, preallocation, ..SinkOptions::default() });
            }
        }
    }
    all
}

fn suite(path: &Path, size: u64, make: &dyn Fn() -> FileSink) {
    conformance::sink(size, 4096, &|_| Box::new(make()), &|| Box::new(FileSource::open(path).unwrap()));
}

#[test]
fn new_files_pass_the_suite_with_all_options() {
    let (_dir, path) = dir_with_path();
    for size in [300_001, 1 << 20] {
        for options in all_options(Some(size)) {
            suite(&path, size, &|| {
                let _ = fs::remove_file(&path);
                FileSink::create_new(&path, options).unwrap()
            });
        }
    }
}

#[test]
fn files_with_old_bytes_pass_the_suite_with_all_options() {
    let (_dir, path) = dir_with_path();
    for options in all_options(Some(300_001)) {
        suite(&path, 300_001, &|| FileSink::new(dirty_file(&path), options).unwrap());
    }
}

/// The suite expects the exact size, which a growing file has only if its last byte was written or zeroed.
#[test]
fn growing_files_pass_the_suite_with_all_options() {
    let (_dir, path) = dir_with_path();
    for options in all_options(None) {
        suite(&path, 300_001, &|| {
            let sink = FileSink::new(dirty_file(&path), options).unwrap();
            sink.zero(300_000..300_001).unwrap();
            sink
        });
    }
}

#[test]
fn direct_writes_pass_the_suite_without_support_of_the_file_system() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let path = dir.path().join("disk");
    for options in all_options(Some(300_001)) {
        suite(&path, 300_001, &|| FileSink::new(dirty_file(&path), options).unwrap());
    }
}

#[test]
fn handle_opened_for_direct_writes_passes_the_suite() {
    let (_dir, path) = dir_with_path();
    let options = SinkOptions { size: Some(300_001), ..SinkOptions::default() };
    suite(&path, 300_001, &|| {
        let file = dirty_file(&path);
        let flags = rustix::fs::fcntl_getfl(&file).unwrap();
        #[cfg(target_os = "linux")]
        let flags = flags | rustix::fs::OFlags::DIRECT;
        let _ = rustix::fs::fcntl_setfl(&file, flags);
        FileSink::new(file, options).unwrap()
    });
}

#[test]
fn streams_pass_the_suite() {
    let (_dir, path) = dir_with_path();
    conformance::sink(
        300_001,
        4096,
        &|size| Box::new(StreamSink::new(File::create(&path).unwrap(), Some(size))),
        &|| Box::new(FileSource::open(&path).unwrap()),
    );
}

#[test]
fn stream_only_moves_forward_and_ends_at_its_size() {
    let mut out = Vec::new();
    let sink = StreamSink::new(&mut out, Some(300_000));
    sink.write_at(100_000, b"abc").unwrap();
    sink.zero(100_010..200_000).unwrap();
    assert_eq!(sink.write_at(150_000, b"x").unwrap_err().kind(), ErrorKind::NeedsSeek);
    assert_eq!(sink.zero(0..1).unwrap_err().kind(), ErrorKind::NeedsSeek);
    assert_eq!(sink.write_at(299_999, b"xy").unwrap_err().kind(), ErrorKind::OutOfBounds);
    sink.write_at(250_000, b"d").unwrap();
    Box::new(sink).finish().unwrap();
    let mut expected = vec![0; 300_000];
    expected[100_000..100_003].copy_from_slice(b"abc");
    expected[250_000] = b'd';
    assert!(out == expected);

    let mut out = Vec::new();
    let sink = StreamSink::new(&mut out, None);
    sink.zero(5..7).unwrap();
    Box::new(sink).finish().unwrap();
    assert_eq!(out, [0; 7], "without a size it ends after the last range");
}

#[test]
fn closed_stream_is_an_error_with_its_offset() {
    struct Closed(usize);
    impl std::io::Write for Closed {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            let len = data.len().min(self.0);
            self.0 -= len;
            if len == 0 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(len) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let sink = StreamSink::new(Closed(1000), None);
    sink.write_at(0, &[1; 600]).unwrap();
    let error = sink.write_at(600, &[1; 600]).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Io, Some(600)), "{error}");
}

#[test]
fn ranges_past_the_end_and_invalid_arguments_are_errors() {
    let (dir, path) = dir_with_path();
    let sink =
        FileSink::create_new(&path, SinkOptions { size: Some(1000), ..SinkOptions::default() }).unwrap();
    for (offset, len) in [(1000, 1), (999, 2), (u64::MAX, 1)] {
        assert_eq!(sink.write_at(offset, &vec![1; len]).unwrap_err().kind(), ErrorKind::OutOfBounds);
        let zeroed = sink.zero(offset..offset.saturating_add(2)).unwrap_err();
        assert_eq!(zeroed.kind(), ErrorKind::OutOfBounds);
    }
    sink.write_at(1000, &[]).unwrap();
    let again = FileSink::create_new(&path, SinkOptions::default()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);

    let growing = FileSink::new(tempfile::tempfile().unwrap(), SinkOptions::default()).unwrap();
    assert_eq!(growing.write_at(u64::MAX - 5, &[1]).unwrap_err().kind(), ErrorKind::OutOfBounds);
    let options = SinkOptions { preallocation: Preallocation::Full, ..SinkOptions::default() };
    let error = FileSink::new(tempfile::tempfile().unwrap(), options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let append = File::options().read(true).append(true).open(&path).unwrap();
    let error = FileSink::new(append, SinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let error = FileSink::new(File::open(dir.path()).unwrap(), SinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

fn allocated(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

#[test]
fn zeros_are_holes_or_allocated_as_requested() {
    const SIZE: u64 = 8 << 20;
    let (_dir, path) = dir_with_path();
    let run = |options: SinkOptions| {
        let _ = fs::remove_file(&path);
        let sink = FileSink::create_new(&path, SinkOptions { size: Some(SIZE), ..options }).unwrap();
        sink.write_at(0, &painted(1, 1 << 20)).unwrap();
        sink.write_at(1 << 20, &painted(1, 1 << 20)).unwrap();
        sink.zero(1 << 20..2 << 20).unwrap();
        sink.zero(2 << 20..SIZE).unwrap();
        Box::new(sink).finish().unwrap();
        allocated(&path)
    };
    let sparse = run(SinkOptions::default());
    if sparse >= SIZE {
        eprintln!("skipped: the file system has no holes");
        return;
    }
    assert!((1 << 20..2 << 20).contains(&sparse), "written and zeroed again is a hole: {sparse}");
    for options in [
        SinkOptions { zeros: StoredZeros::Allocated, ..SinkOptions::default() },
        SinkOptions { zeros: StoredZeros::Written, ..SinkOptions::default() },
        SinkOptions { preallocation: Preallocation::Falloc, ..SinkOptions::default() },
        SinkOptions { preallocation: Preallocation::Full, ..SinkOptions::default() },
    ] {
        assert!(run(options) >= SIZE, "{options:?}");
    }
}

#[test]
fn threads_write_concurrently_to_shared_blocks() {
    const PIECE: usize = 1000;
    let (_dir, path) = dir_with_path();
    for direct in [false, true] {
        let options = SinkOptions { size: Some(4_000_000), direct, ..SinkOptions::default() };
        let sink = FileSink::new(dirty_file(&path), options).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..4_usize {
                let sink = &sink;
                scope.spawn(move || {
                    // Every fourth piece of several blocks; the adjacent pieces belong to other threads.
                    for piece in (worker * 10..4000).step_by(40) {
                        let at = (piece * PIECE) as u64;
                        sink.write_at(at, &painted(at, 10 * PIECE)).unwrap();
                    }
                });
            }
        });
        Box::new(sink).finish().unwrap();
        conformance::source(&Memory::new(fs::read(&path).unwrap()), &painted(0, 4_000_000));
    }
}

#[test]
fn kept_length_bounds_a_disk_of_unknown_size_and_keeps_the_bytes_past_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let open = |options: SinkOptions| {
        fs::write(&path, [7; 8192]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        FileSink::new(file, SinkOptions { keep_length: true, ..options })
    };
    for zeros in STORED_ZEROS {
        let sink = open(SinkOptions { zeros, ..SinkOptions::default() }).unwrap();
        sink.write_at(100, &[1; 100]).unwrap();
        sink.zero(4000..5000).unwrap();
        let past = sink.write_at(8191, &[1; 2]).unwrap_err();
        assert_eq!(past.kind(), ErrorKind::OutOfBounds);
        let expected = "target is 8192 bytes long, expected room for 2 bytes at 8191: the disk is larger; the first 5000 \
                        bytes of the target were overwritten";
        assert_eq!(past.to_string(), expected);
        assert_eq!(sink.zero(8000..8193).unwrap_err().kind(), ErrorKind::OutOfBounds);
        Box::new(sink).finish().unwrap();
        let expected = [vec![0; 100], vec![1; 100], vec![0; 4800], vec![7; 3192]].concat();
        assert!(fs::read(&path).unwrap() == expected, "{zeros:?}");
    }
    let sink = open(SinkOptions { is_zero: true, ..SinkOptions::default() }).unwrap();
    sink.write_at(0, &[1; 10]).unwrap();
    Box::new(sink).finish().unwrap();
    assert!(fs::read(&path).unwrap() == [vec![1; 10], vec![7; 8182]].concat());

    let too_long = open(SinkOptions { size: Some(8193), ..SinkOptions::default() }).unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::OutOfBounds);
    assert!(fs::read(&path).unwrap() == [7; 8192]);
}
