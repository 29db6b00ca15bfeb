//! Conversions of an opened input to a target, in one call.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use diskimg::{
    ConvertOptions, Converted, ErrorKind, Input, MemorySink, Opener, Progress, Result, Spool, Target, driver,
    inspect,
};
use diskimg_core::conformance::painted;

const SIZE: usize = 300_000;

fn opener() -> Opener {
    let mut opener = Opener::new();
    opener.allow_raw = true;
    opener
}

fn target(path: &Path, format: &str) -> Target {
    Target::file(path, driver(format).unwrap().format)
}

fn convert(input: Input, target: &Target) -> Result<Converted> {
    input.convert_to(target, &ConvertOptions::default(), &())
}

fn disk_of(path: &Path) -> Vec<u8> {
    common::read_all(&opener().open(path).unwrap()).unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The inputs of one disk: a raw file, a qcow2 file, both compressed, and pipes of all of them.
fn inputs(dir: &Path, bytes: &[u8]) -> Vec<(String, Input)> {
    let raw = dir.join("disk.raw");
    let qcow2 = dir.join("disk.qcow2");
    fs::write(&raw, bytes).unwrap();
    convert(opener().input(&raw).unwrap(), &target(&qcow2, "qcow2")).unwrap();
    for path in [&raw, &qcow2] {
        fs::write(format!("{}.gz", path.display()), gz(&fs::read(path).unwrap())).unwrap();
    }
    let mut inputs = Vec::new();
    for name in ["disk.raw", "disk.qcow2", "disk.raw.gz", "disk.qcow2.gz"] {
        let path = dir.join(name);
        inputs.push((name.to_owned(), opener().input(&path).unwrap()));
        let pipe = opener().stream(fs::File::open(&path).unwrap()).unwrap();
        inputs.push((format!("{name} as a stream"), Input::Stream(pipe)));
    }
    inputs
}

#[test]
fn every_input_converts_to_every_format() {
    let bytes = painted(3, SIZE - SIZE % 512);
    for format in ["raw", "qcow2", "vdi", "vmdk"] {
        let dir = tempfile::tempdir().unwrap();
        for (way, input) in inputs(dir.path(), &bytes) {
            let path = dir.path().join(format!("{way} to {format}"));
            let done = convert(input, &target(&path, format)).unwrap_or_else(|e| panic!("{way}: {e}"));
            assert_eq!(done.virtual_size, bytes.len() as u64, "{way} {format}");
            assert_eq!(done.written + done.zeros, done.virtual_size, "{way} {format}");
            assert!(disk_of(&path) == bytes, "{way} {format}");
            assert_eq!(inspect(&path).map_or("raw", |found| found.info.format.name()), format, "{way}");
        }
    }
}

#[test]
fn every_input_is_written_in_place() {
    let bytes = painted(3, SIZE - SIZE % 512);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("there");
    for (way, input) in inputs(dir.path(), &bytes) {
        fs::write(&path, vec![7; SIZE]).unwrap();
        let mut target = target(&path, "raw");
        target.in_place = true;
        convert(input, &target).unwrap_or_else(|e| panic!("{way}: {e}"));
        assert!(fs::read(&path).unwrap() == [&bytes[..], &vec![7; SIZE - bytes.len()]].concat(), "{way}");
    }
}

#[test]
fn source_that_is_its_own_target_is_refused_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    for (way, input) in inputs(dir.path(), &painted(3, SIZE)) {
        let Some(name) = way.split(' ').next().filter(|name| *name == way) else { continue };
        let path = dir.path().join(name);
        let before = fs::read(&path).unwrap();
        for (format, in_place) in [("raw", true), ("raw", false), ("qcow2", false)] {
            let mut target = target(&path, format);
            (target.in_place, target.overwrite) = (in_place, true);
            let error = convert(opener().input(&path).unwrap(), &target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{way} {format}: {error}");
            assert!(fs::read(&path).unwrap() == before, "{way} {format}");
        }
        drop(input);
    }
}

#[test]
fn stream_to_a_format_that_needs_the_size_uses_a_temporary_file_only_if_allowed() {
    let stream = |spool: &Spool| {
        let mut opener = opener();
        opener.spool = spool.clone();
        Input::Stream(opener.stream(std::io::Cursor::new(painted(3, SIZE))).unwrap())
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.qcow2");
    let error = convert(stream(&Spool::Never), &target(&path, "qcow2")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsSeek);
    assert!(!path.exists());
    convert(stream(&Spool::default()), &target(&path, "qcow2")).unwrap();
    assert!(disk_of(&path)[..SIZE] == painted(3, SIZE));
    convert(stream(&Spool::Never), &target(&dir.path().join("disk.raw"), "raw")).unwrap();
}

#[test]
fn invalid_target_is_refused_before_a_stream_is_read() {
    struct Unread;
    impl std::io::Read for Unread {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("the stream was read past its head")
        }
    }
    let head = std::io::Cursor::new(painted(3, 68 << 10));
    let input = opener().stream(std::io::Read::chain(head, Unread)).unwrap();
    let mut target = Target::sink(Box::new(MemorySink::new(1 << 20)), driver("qcow2").unwrap().format);
    target.settings = diskimg::Setting::parse_list("cluster_size=3").unwrap();
    let error = convert(Input::Stream(input), &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

/// The calls of a conversion: bytes before `begin`, its total, and bytes after it.
#[derive(Default)]
struct Calls(Mutex<(u64, Option<Option<u64>>, u64)>);

impl Progress for Calls {
    fn begin(&self, total: Option<u64>) {
        assert_eq!(self.0.lock().unwrap().1.replace(total), None, "begins once");
    }

    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let mut calls = self.0.lock().unwrap();
        match calls.1 {
            None => calls.0 += bytes,
            Some(_) => calls.2 += bytes,
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn progress_learns_the_total_before_the_first_byte_of_the_disk() {
    let bytes = painted(3, SIZE);
    let len = SIZE as u64;
    for (format, pipe, expected) in [
        ("raw", false, (0, Some(Some(len)), len)),
        ("qcow2", false, (0, Some(Some(len)), len)),
        ("raw", true, (0, Some(None), len)),
        // All bytes of the image are stored first, also those that were read to recognise it.
        ("qcow2", true, (len, Some(Some(len)), len)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (source, calls) = (dir.path().join("source"), Calls::default());
        fs::write(&source, &bytes).unwrap();
        let input = match pipe {
            true => Input::Stream(opener().stream(std::io::Cursor::new(bytes.clone())).unwrap()),
            false => opener().input(&source).unwrap(),
        };
        let target = target(&dir.path().join("target"), format);
        input.convert_to(&target, &ConvertOptions::default(), &calls).unwrap();
        assert_eq!(calls.0.into_inner().unwrap(), expected, "{format} {pipe}");
    }
}

#[test]
fn raw_target_reports_content_that_looks_like_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let image = fs::read(common::images("good").join("v3.qcow2")).unwrap();
    let mut opener = opener();
    opener.format = Some(driver("raw").unwrap().format);
    let source = dir.path().join("disguised");
    fs::write(&source, &image).unwrap();
    let stream = || Input::Stream(opener.stream(std::io::Cursor::new(image.clone())).unwrap());
    for (n, input) in [opener.input(&source).unwrap(), stream()].into_iter().enumerate() {
        let done = convert(input, &target(&dir.path().join(format!("raw{n}")), "raw")).unwrap();
        assert_eq!(done.looks_like, Some("qcow2"), "{n}");
    }
    let done = convert(stream(), &target(&dir.path().join("nested"), "qcow2")).unwrap();
    assert_eq!(done.looks_like, None);
}
