//! Every image of `tests/images/good` is recognised, described and read as its table says, and survives being
//! converted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Good, convert_stream, good, read_all, sha256};
use diskimg::core::WriteOrder;
use diskimg::{
    BlockSource, CompareOptions, ConvertOptions, Disk, ErrorKind, Extents, Image, Input, Memory, Opener,
    Resolver, Setting, Severity, Sniffed, Target, WithinDirectory, compare, convert, driver, sniff,
};
use diskimg_core::conformance;

/// Largest disk that is compared byte by byte in every way the conformance suite knows.
const SMALL: u64 = 1 << 20;

fn open(image: &Good) -> Disk {
    image.opener().open(image.path()).unwrap_or_else(|error| panic!("{}: {error}", image.file))
}

#[test]
fn the_guest_sees_the_bytes_that_the_table_names() {
    for image in good() {
        let disk = open(&image);
        assert_eq!(disk.size(), image.size, "{}", image.file);
        let bytes = read_all(&disk).unwrap_or_else(|error| panic!("{}: {error}", image.file));
        assert_eq!(sha256(&bytes), image.sha256, "{} ({})", image.file, image.how);
        assert_eq!(disk.info().format.name(), image.format, "{}", image.file);
        assert_eq!(disk.wrapper().map(|wrapper| wrapper.name().to_owned()), image.wrapper, "{}", image.file);
    }
}

#[test]
fn every_small_disk_keeps_the_rules_of_a_source() {
    for image in good().iter().filter(|image| image.size <= SMALL) {
        let disk = open(image);
        let bytes = read_all(&disk).unwrap();
        println!("{} ({})", image.file, image.how);
        conformance::source(&disk, &bytes);
    }
}

#[test]
fn x06_many_threads_may_read_one_disk() {
    for image in good() {
        let disk = open(&image);
        let bytes = read_all(&disk).unwrap();
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (disk, bytes, file) = (&disk, &bytes, &image.file);
                scope.spawn(move || read_here_and_there(disk, bytes, seed, file));
            }
        });
    }
}

/// Reads and maps ranges anywhere in a disk of these bytes.
fn read_here_and_there(disk: &Disk, bytes: &[u8], seed: u64, file: &str) {
    let mut numbers = conformance::Numbers::new(seed);
    for _ in 0..40 {
        let at = numbers.below(disk.size() + 1);
        let len = numbers.below((disk.size() - at).min(200_000) + 1);
        let start = usize::try_from(at).unwrap();
        let mut buf = vec![0xA5; usize::try_from(len).unwrap()];
        disk.read_at(at, &mut buf).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(buf == bytes[start..start + buf.len()], "{file}: {len} bytes at {at}");
        if len > 0 {
            assert!(disk.extent_at(at..at + len).is_ok_and(|extent| extent.len > 0), "{file}: at {at}");
        }
    }
}

#[test]
fn an_image_in_memory_is_the_same_disk() {
    for image in good().iter().filter(|image| image.wrapper.is_none()) {
        let source = Arc::new(Memory::new(std::fs::read(image.path()).unwrap()));
        let disk = image.opener().open_source(source).unwrap_or_else(|e| panic!("{}: {e}", image.file));
        assert_eq!(sha256(&read_all(&disk).unwrap()), image.sha256, "{} ({})", image.file, image.how);
    }
}

#[test]
fn sniffing_tells_format_content_and_wrapper() {
    for image in good() {
        let found = sniff(&Memory::new(std::fs::read(image.path()).unwrap()));
        match (&image.wrapper, &image.content, image.format.as_str(), image.how.as_str()) {
            (Some(wrapper), ..) => {
                assert!(matches!(found, Ok(Sniffed::Wrapped(w)) if w.name() == wrapper), "{}", image.file);
            }
            // What is in an archive is not looked at.
            _ if image.file.ends_with(".ova") => {
                assert!(matches!(found, Ok(Sniffed::Known(f)) if f.name() == "tar"), "{}", image.file);
            }
            (_, _, "raw", "raw") => {
                assert_eq!(found.unwrap_err().kind(), ErrorKind::UnknownFormat, "{}", image.file);
            }
            (_, Some(content), "raw", _) => {
                let told = matches!(found, Ok(Sniffed::Raw(c)) if c.name() == content);
                assert!(told, "{}: {found:?}, expected {content}", image.file);
            }
            (_, _, format, _) => {
                assert!(matches!(found, Ok(Sniffed::Image(f)) if f.name() == format), "{}", image.file);
            }
        }
    }
}

#[test]
fn inspecting_tells_the_same_as_opening_and_opens_nothing() {
    for image in good() {
        if image.how.starts_with("snapshot=") {
            continue;
        }
        let mut opener = image.opener();
        opener.resolver = Arc::new(Nobody);
        let told = opener.inspect(image.path()).unwrap_or_else(|error| panic!("{}: {error}", image.file));
        assert_eq!(told.info.virtual_size, image.size, "{}", image.file);
        assert_eq!(told.info.format.name(), image.format, "{}", image.file);
        assert_eq!(told.wrapper.map(|w| w.name().to_owned()), image.wrapper, "{}", image.file);
        assert_eq!(told.info.content.map(str::to_owned), image.content, "{}", image.file);
        assert_eq!(told.file_size, Some(std::fs::metadata(image.path()).unwrap().len()), "{}", image.file);
        assert_eq!(!told.info.references.is_empty(), image.how == "files", "{}", image.file);
        let reaches_out = told.info.findings.iter().any(|finding| finding.severity == Severity::Unsafe);
        assert_eq!(reaches_out, image.how == "files", "{}: {:?}", image.file, told.info.findings);

        let stream = std::fs::File::open(image.path()).unwrap();
        let streamed =
            opener.inspect_stream(stream).unwrap_or_else(|error| panic!("{}: {error}", image.file));
        assert_eq!(streamed.info.virtual_size, image.size, "{}", image.file);
        assert_eq!(streamed.info.references, told.info.references, "{}", image.file);
        assert_eq!(streamed.info.snapshots, told.info.snapshots, "{}", image.file);
    }
}

/// Fails the test when anybody wants a file.
struct Nobody;

impl Resolver for Nobody {
    fn resolve(&self, reference: &diskimg::Reference) -> diskimg::Result<Arc<dyn BlockSource>> {
        panic!("somebody wants {:?}", reference.name_lossy());
    }
}

#[test]
fn what_is_odd_about_an_image_is_told() {
    let finding = |file: &str, check: &str| {
        let told = Opener::new().inspect(common::images("good").join(file)).unwrap();
        let found = told.info.findings.iter().any(|finding| finding.check == check);
        assert!(found, "{file}: {check} is not among {:?}", told.info.findings);
        told.info
    };
    finding("size-1000.qcow2", "size_rounded");
    finding("bitmaps-wrong-length.qcow2", "bitmaps");
    finding("data-file-name-unused.qcow2", "data_file_ignored");
    finding("top-on-raw.qcow2", "backing_file");
    finding("data-file.qcow2", "data_file");
    assert!(finding("corrupt-bit.qcow2", "corrupt").corrupt);
    assert!(finding("dirty.qcow2", "dirty").dirty);
    let names: Vec<String> = Opener::new()
        .inspect(common::images("good").join("snapshots.qcow2"))
        .unwrap()
        .info
        .snapshots
        .into_iter()
        .map(|snapshot| snapshot.name)
        .collect();
    assert_eq!(names, ["first", "second"]);
    let cut = Opener::new().inspect(common::images("good").join("cut.iso")).unwrap().info;
    assert!(cut.is_optical_disc);
    assert!(cut.findings.iter().any(|finding| finding.severity == Severity::Warning), "{:?}", cut.findings);
}

#[test]
fn nothing_below_an_image_is_opened_by_default() {
    for image in good().iter().filter(|image| image.how == "files") {
        let error = Opener::new().open(image.path()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied, "{}: {error}", image.file);
    }
}

#[test]
fn the_layers_of_a_chain_can_be_told_apart() {
    let path = common::images("good").join("chain-top.qcow2");
    let mut opener = Opener::new();
    opener.resolver = Arc::new(WithinDirectory::of_image(&path).unwrap());
    let disk = opener.open(&path).unwrap();
    assert_eq!(disk.layers().len(), 3);
    let mut depths: Vec<u32> =
        Extents::new(&disk, 0..disk.size()).map(|extent| extent.unwrap().depth).collect();
    depths.sort_unstable();
    depths.dedup();
    assert_eq!(depths, [0, 1, 2]);
}

/// What an image is converted to.
struct Form {
    format: &'static str,
    compress: bool,
    settings: &'static str,
}

const FORMS: [Form; 9] = [
    Form { format: "raw", compress: false, settings: "" },
    Form { format: "qcow2", compress: false, settings: "" },
    Form { format: "qcow2", compress: true, settings: "cluster_size=4k" },
    Form { format: "qcow2", compress: true, settings: "compression_type=zstd" },
    Form { format: "qcow2", compress: false, settings: "extended_l2=on,cluster_size=16k" },
    Form { format: "vmdk", compress: false, settings: "subformat=monolithicSparse" },
    Form { format: "vmdk", compress: false, settings: "subformat=streamOptimized" },
    Form { format: "vdi", compress: false, settings: "" },
    Form { format: "vdi", compress: false, settings: "static=on" },
];

fn target(path: &Path, form: &Form) -> Target {
    let mut target = Target::file(path, driver(form.format).unwrap().format);
    target.compress = form.compress;
    target.settings = Setting::parse_list(form.settings).unwrap();
    target.durable = false;
    target
}

/// Converts an image as its place and wrapper allow.
fn convert_image(image: &Good, path: &Path, form: &Form) {
    let options = ConvertOptions::default();
    match image.opener().input(image.path()).unwrap() {
        Input::Stream(arriving) if form.format == "raw" && arriving.streams(WriteOrder::Any) => {
            let sink = target(path, form).create(None).unwrap();
            convert_stream(arriving, sink, &ConvertOptions::default(), &()).unwrap();
        }
        Input::Stream(arriving) => {
            let disk = arriving.into_disk(&()).unwrap();
            let sink = target(path, form).create(Some(disk.size())).unwrap();
            convert(&disk, sink, &options, &()).unwrap();
        }
        Input::Disk(disk) => {
            let sink = target(path, form).create(Some(disk.size())).unwrap();
            convert(&disk, sink, &options, &()).unwrap();
        }
    }
}

#[test]
fn an_image_is_the_same_disk_in_every_format_and_back() {
    let scratch = tempfile::tempdir().unwrap();
    for (number, image) in good().iter().enumerate() {
        let original = open(image);
        for (index, form) in FORMS.iter().enumerate() {
            if image.size == 0 && form.format == "vmdk" {
                // Its header says 0 for "no disk here".
                continue;
            }
            let there = scratch.path().join(format!("{number}-{index}"));
            convert_image(image, &there, form);
            if image.size == 0 && form.format == "raw" {
                // A raw file without a byte is no image, not even when it is pinned.
                assert_eq!(std::fs::metadata(&there).unwrap().len(), 0);
                continue;
            }
            let mut opener = Opener::new();
            opener.format = Some(driver(form.format).unwrap().format);
            let disk = opener.open(&there).unwrap();
            let context = format!("{} ({}) as {} {}", image.file, image.how, form.format, form.settings);
            // Images count in sectors; a raw disk may end inside one.
            let size = if form.format == "raw" { image.size } else { image.size.next_multiple_of(512) };
            assert_eq!(disk.size(), size, "{context}");
            let mut one_thread = CompareOptions::default();
            one_thread.threads = 1;
            let difference = compare(&original, &disk, &one_thread, &()).unwrap().difference;
            assert_eq!(difference, None, "{context}");
            let bytes = read_all(&disk).unwrap();
            let (guest, padding) = bytes.split_at(usize::try_from(image.size).unwrap());
            assert_eq!(sha256(guest), image.sha256, "{context}");
            assert!(padding.iter().all(|byte| *byte == 0), "{context}");

            let back = scratch.path().join(format!("{number}-{index}-back"));
            let sink = target(&back, &FORMS[0]).create(Some(disk.size())).unwrap();
            convert(&disk, sink, &ConvertOptions::default(), &()).unwrap();
            assert_eq!(std::fs::read(&back).unwrap(), bytes, "{context}, and back");
            std::fs::remove_file(back).unwrap();
            std::fs::remove_file(there).unwrap();
        }
    }
}

#[test]
fn what_the_converter_writes_is_not_probed_again() {
    // A guest may put an image's header on its disk; the raw copy of it begins like an image.
    let image = common::images("good").join("qcow2-inside.qcow2");
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("disk.raw");
    let disk = Opener::new().open(&image).unwrap();
    let sink = target(&path, &FORMS[0]).create(Some(disk.size())).unwrap();
    convert(&disk, sink, &ConvertOptions::default(), &()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 8192);
    let pinned = common::opener_for("raw", &path).open(&path).unwrap();
    assert_eq!(pinned.size(), 8192);
    assert_eq!(Opener::new().inspect(&path).unwrap().info.virtual_size, 1 << 40);
}

#[test]
fn the_table_names_every_image() {
    let named: Vec<String> = good().into_iter().map(|image| image.file).collect();
    for entry in std::fs::read_dir(common::images("good")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let part = [".data", "-flat.vmdk", "-f001.vmdk"].iter().any(|end| file.ends_with(end));
        let known = part || named.contains(&file) || file == "IMAGES.tsv";
        assert!(known, "{file} stands in no row of IMAGES.tsv");
    }
}
