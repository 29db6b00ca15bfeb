//! A source file that becomes shorter while it is read.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use diskimg::{BlockSource, ConvertOptions, ErrorKind, Extents, Opener, Progress, Target, convert, driver};

const SIZE: u64 = 24 << 20;

/// Truncates a file at the first report of progress.
struct Truncates {
    file: File,
    len: u64,
    at_begin: bool,
    done: AtomicBool,
}

impl Truncates {
    fn new(path: &Path, len: u64, at_begin: bool) -> Self {
        let file = File::options().write(true).open(path).unwrap();
        Self { file, len, at_begin, done: AtomicBool::new(false) }
    }

    fn now(&self) {
        if !self.done.swap(true, Ordering::Relaxed) {
            self.file.set_len(self.len).unwrap();
        }
    }
}

impl Progress for Truncates {
    fn begin(&self, _total: Option<u64>) {
        if self.at_begin {
            self.now();
        }
    }
    fn advance(&self, _bytes: u64) -> ControlFlow<()> {
        self.now();
        ControlFlow::Continue(())
    }
}

/// A raw disk with data at its start, a hole, data in its middle, and a hole at its end.
fn source(path: &Path) -> Opener {
    let mut file = File::create(path).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all(&vec![0x5A; 1 << 20]).unwrap();
    file.seek(SeekFrom::Start(12 << 20)).unwrap();
    file.write_all(&vec![0xA5; 4 << 20]).unwrap();
    let mut opener = Opener::new();
    opener.format = Some(driver("raw").unwrap().format);
    opener
}

fn options() -> ConvertOptions {
    let mut options = ConvertOptions::default();
    options.threads = 1;
    options
}

#[test]
fn conversion_of_a_source_that_becomes_shorter_fails() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    for at_begin in [true, false] {
        // The end of the data that was there when the source was opened is lost.
        for len in [0, 1 << 20, 13 << 20] {
            for format in ["raw", "qcow2"] {
                let disk = source(&path).open(&path).unwrap();
                let target = Target::file(dir.path().join("target"), driver(format).unwrap().format);
                let progress = Truncates::new(&path, len, at_begin);
                let error = disk.convert_to(&target, &options(), &progress).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Truncated, "{format}, {len}, {at_begin}: {error}");
                assert!(!dir.path().join("target").exists());
            }
            let disk = source(&path).open(&path).unwrap();
            let target = Target::stream(Vec::new(), driver("raw").unwrap().format);
            let sink = target.create(Some(SIZE)).unwrap();
            let progress = Truncates::new(&path, len, at_begin);
            let error = convert(&disk, sink, &options(), &progress).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "stream, {len}, {at_begin}: {error}");
        }
    }
}

#[test]
fn extents_of_a_source_that_becomes_shorter_end_in_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    for len in [0, 13 << 20, 17 << 20, SIZE - 512] {
        let disk = source(&path).open(&path).unwrap();
        let mut extents = Extents::new(&disk, 0..disk.size());
        assert!(extents.next().unwrap().is_ok());
        File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        let failed = extents.find_map(Result::err).expect("the disk has lost its end");
        assert_eq!(failed.kind(), ErrorKind::Truncated, "{len}: {failed}");
    }
}
