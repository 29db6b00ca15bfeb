//! Targets whose first and last bytes are written last.

use std::fs;

use diskimg_core::conformance::painted;
use diskimg_core::{BlockSink, HostRange};
use diskimg_raw::{FileSink, SinkOptions};

use super::{STORED_ZEROS, all_options, copying, dir_with_path, dirty_file, suite};

const LEN: usize = 3 << 20;
const HEAD: usize = 1 << 20;
const TAIL: usize = LEN - (64 << 10);

fn ends_last(size: Option<u64>) -> SinkOptions {
    SinkOptions { size, keep_length: true, ends_last: true, ..SinkOptions::default() }
}

#[test]
fn sink_that_writes_the_ends_last_passes_the_suite() {
    let (_dir, path) = dir_with_path();
    let whole = LEN as u64;
    for options in all_options(Some(whole)) {
        let options = SinkOptions { ends_last: true, keep_length: true, ..options };
        suite(&path, whole, &|| FileSink::new(dirty_file(&path), options).unwrap());
    }
    for options in all_options(Some(300_001)) {
        let options = SinkOptions { ends_last: true, ..options };
        suite(&path, 300_001, &|| FileSink::new(dirty_file(&path), options).unwrap());
    }
}

#[test]
fn unfinished_target_has_zeros_at_both_ends() {
    let (_dir, path) = dir_with_path();
    for size in [Some(LEN as u64), Some(2 << 20), None] {
        let sink = FileSink::new(dirty_file(&path), ends_last(size)).unwrap();
        sink.write_at(0, &painted(3, 2 << 20)).unwrap();
        drop(sink);
        let left = fs::read(&path).unwrap();
        assert_eq!(left.len(), LEN, "{size:?}");
        assert!(left[..HEAD] == vec![0; HEAD], "{size:?}");
        assert!(left[TAIL..] == vec![0; LEN - TAIL], "{size:?}");
        assert!(left[HEAD..2 << 20] == painted(3, 2 << 20)[HEAD..], "{size:?}");
    }
}

#[test]
fn unfinished_growing_target_has_no_head() {
    let (_dir, path) = dir_with_path();
    for old in [1, 100, 5000, LEN] {
        for size in [None, Some(2 << 20)] {
            dirty_file(&path).set_len(old as u64).unwrap();
            let file = fs::File::options().read(true).write(true).open(&path).unwrap();
            let options = SinkOptions { keep_length: false, ..ends_last(size) };
            let sink = FileSink::new(file, options).unwrap();
            sink.write_at(0, &painted(3, 2 << 20)).unwrap();
            let left = fs::read(&path).unwrap();
            assert_eq!(left.len(), 2 << 20, "{old} {size:?}");
            assert!(left[..HEAD] == vec![0; HEAD], "{old} {size:?}");
            Box::new(sink).finish().unwrap();
            assert!(fs::read(&path).unwrap() == painted(3, 2 << 20), "{old} {size:?}");
        }
    }
}

#[test]
fn bytes_past_the_disk_are_as_before_once_the_target_is_finished() {
    let (_dir, path) = dir_with_path();
    for end in [5000, HEAD - 1, HEAD, HEAD + 1, TAIL - 1, TAIL, TAIL + 1, LEN - 1, LEN] {
        for size in [Some(end as u64), None] {
            for zeros in STORED_ZEROS {
                let options = SinkOptions { zeros, ..ends_last(size) };
                let sink = FileSink::new(dirty_file(&path), options).unwrap();
                sink.write_at(100, &painted(5, 3000)).unwrap();
                sink.zero(end as u64 - 1..end as u64).unwrap();
                sink.write_at(end as u64 - 700, &painted(6, 600)).unwrap();
                Box::new(sink).finish().unwrap();
                let mut expected = vec![0xEE; LEN];
                expected[..end].fill(0);
                expected[100..3100].copy_from_slice(&painted(5, 3000));
                expected[end - 700..end - 100].copy_from_slice(&painted(6, 600));
                let got = fs::read(&path).unwrap();
                let wrong = got.iter().zip(&expected).position(|(a, b)| a != b);
                assert_eq!((got.len(), wrong), (LEN, None), "{end} {size:?} {zeros:?}");
            }
        }
    }
}

#[test]
fn ends_are_copied_from_another_file() {
    let (dir, path) = dir_with_path();
    let bytes = painted(9, LEN);
    fs::write(dir.path().join("from"), &bytes).unwrap();
    let from = fs::File::open(dir.path().join("from")).unwrap();
    let options = SinkOptions { keep_length: true, ends_last: true, size: Some(LEN as u64), ..copying() };
    let sink = FileSink::new(dirty_file(&path), options).unwrap();
    let host = HostRange { file: &from, offset: 0, len: LEN as u64 };
    if !sink.copy_from(0, host).unwrap() {
        sink.write_at(0, &bytes).unwrap();
    }
    assert!(fs::read(&path).unwrap()[..HEAD] == vec![0; HEAD]);
    Box::new(sink).finish().unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
}
