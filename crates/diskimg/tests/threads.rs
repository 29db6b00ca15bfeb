//! The output of a conversion does not depend on the number of threads or the memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::path::Path;

use diskimg::{BlockSource, ConvertOptions, Memory, Opener, Setting, Sparse, Target, convert, driver};
use diskimg_core::conformance::Numbers;

/// A disk of compressible, incompressible and empty ranges of all lengths.
fn disk(size: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(3);
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        let len = usize::try_from(1 + numbers.below(400_000)).unwrap();
        match numbers.below(4) {
            0 => bytes.resize(bytes.len() + len, 0),
            1 => bytes.extend((0..len).map(|_| u8::try_from(numbers.below(256)).unwrap())),
            2 => bytes.extend((0..len).map(|i| u8::try_from(i / 97 % 251).unwrap())),
            _ => bytes.resize(bytes.len() + len, 0x42),
        }
    }
    bytes.truncate(size);
    bytes
}

struct Form {
    format: &'static str,
    compress: bool,
    settings: &'static str,
}

const FORMS: [Form; 7] = [
    Form { format: "raw", compress: false, settings: "" },
    Form { format: "qcow2", compress: false, settings: "" },
    Form { format: "qcow2", compress: false, settings: "cluster_size=4k" },
    Form { format: "qcow2", compress: false, settings: "extended_l2=on,cluster_size=32k" },
    Form { format: "qcow2", compress: true, settings: "" },
    Form { format: "qcow2", compress: true, settings: "cluster_size=4k" },
    Form { format: "qcow2", compress: true, settings: "compression_type=zstd,cluster_size=2M" },
];

fn converted(source: &dyn BlockSource, path: &Path, form: &Form, options: &ConvertOptions) -> Vec<u8> {
    let mut target = Target::file(path, driver(form.format).unwrap().format);
    target.compress = form.compress;
    target.settings = Setting::parse_list(form.settings).unwrap();
    (target.overwrite, target.durable) = (true, false);
    convert(source, target.create(Some(source.size())).unwrap(), options, &()).unwrap();
    std::fs::read(path).unwrap()
}

fn ways() -> Vec<ConvertOptions> {
    let mut all = Vec::new();
    for threads in [1, 2, 3, 8] {
        for memory in [1, 1 << 20, 32 << 20] {
            let mut options = ConvertOptions::default();
            (options.threads, options.memory) = (threads, memory);
            all.push(options);
        }
    }
    all
}

#[test]
fn converted_file_does_not_depend_on_threads_or_memory() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("disk");
    let bytes = disk(9_000_000 - 512 + 64);
    let source = Memory::new(bytes.clone());
    for form in &FORMS {
        for sparse in [Sparse::Auto, Sparse::Search(65_536), Sparse::Never] {
            let mut first: Option<Vec<u8>> = None;
            for mut options in ways() {
                options.sparse = sparse;
                let file = converted(&source, &path, form, &options);
                let first = first.get_or_insert_with(|| file.clone());
                let same = *first == file;
                assert!(same, "{} {}: {options:?} writes something else", form.format, form.settings);
            }
        }
        if form.format == "raw" {
            assert!(std::fs::read(&path).unwrap() == bytes);
        } else {
            let there = Opener::new().open(&path).unwrap();
            let read = common::read_all(&there).unwrap();
            assert!(read[..bytes.len()] == bytes[..], "{}", form.settings);
        }
    }
}

#[test]
fn converted_stream_does_not_depend_on_threads() {
    let bytes = disk(5_000_001);
    let source = Memory::new(bytes.clone());
    for options in ways() {
        let (file, raw) = (tempfile::NamedTempFile::new().unwrap(), driver("raw").unwrap().format);
        let target = Target::stream(file.reopen().unwrap(), raw);
        let sink = target.create(Some(source.size())).unwrap();
        convert(&source, sink, &options, &()).unwrap();
        assert!(std::fs::read(file.path()).unwrap() == bytes, "{options:?}");
    }
}

#[test]
fn image_reads_the_same_with_any_number_of_threads() {
    let scratch = tempfile::tempdir().unwrap();
    let (image, copy) = (scratch.path().join("image.qcow2"), scratch.path().join("copy"));
    let bytes = disk(6 << 20);
    for form in FORMS.iter().filter(|form| form.format == "qcow2") {
        converted(&Memory::new(bytes.clone()), &image, form, &ConvertOptions::default());
        let disk = Opener::new().open(&image).unwrap();
        for options in ways() {
            let file = converted(&disk, &copy, &FORMS[0], &options);
            assert!(file == bytes, "{}: {options:?}", form.settings);
        }
    }
}
