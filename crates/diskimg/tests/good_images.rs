//! Every image of `tests/images/good` is recognised, described and read as its table says, and can be converted.
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

/// The largest disk that runs the whole conformance suite.
const SMALL: u64 = 1 << 20;

fn open(image: &Good) -> Disk {
    image.opener().open(image.path()).unwrap_or_else(|error| panic!("{}: {error}", image.file))
}

#[test]
fn good_image_reads_as_the_table_says() {
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
fn small_disk_passes_the_conformance_suite() {
    for image in good().iter().filter(|image| image.size <= SMALL) {
        let disk = open(image);
        let bytes = read_all(&disk).unwrap();
        println!("{} ({})", image.file, image.how);
        conformance::source(&disk, &bytes);
    }
}

#[test]
fn disk_is_read_by_many_threads() {
    for image in good() {
        let disk = open(&image);
        let bytes = read_all(&disk).unwrap();
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (disk, bytes, file) = (&disk, &bytes, &image.file);
                scope.spawn(move || read_random_ranges(disk, bytes, seed, file));
            }
        });
    }
}

/// Reads and maps random ranges of a disk with these bytes.
fn read_random_ranges(disk: &Disk, bytes: &[u8], seed: u64, file: &str) {
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
fn image_in_memory_is_the_same_disk() {
    for image in good().iter().filter(|image| image.wrapper.is_none()) {
        let source = Arc::new(Memory::new(std::fs::read(image.path()).unwrap()));
        let disk = image.opener().open_source(source).unwrap_or_else(|e| panic!("{}: {e}", image.file));
        assert_eq!(sha256(&read_all(&disk).unwrap()), image.sha256, "{} ({})", image.file, image.how);
    }
}

#[test]
fn sniff_recognises_format_content_and_compression() {
    for image in good() {
        let found = sniff(&Memory::new(std::fs::read(image.path()).unwrap()));
        match (&image.wrapper, &image.content, image.format.as_str(), image.how.as_str()) {
            (Some(wrapper), ..) => {
                assert!(matches!(found, Ok(Sniffed::Wrapped(w)) if w.name() == wrapper), "{}", image.file);
            }
            // The content of an archive is not inspected.
            _ if image.file.ends_with(".ova") => {
                assert!(matches!(found, Ok(Sniffed::Known(f)) if f.name() == "tar"), "{}", image.file);
            }
            (_, _, "raw", "raw") => {
                assert_eq!(found.unwrap_err().kind(), ErrorKind::UnknownFormat, "{}", image.file);
            }
            (_, Some(content), "raw", _) => {
                let described = matches!(found, Ok(Sniffed::Raw(c)) if c.name() == content);
                assert!(described, "{}: {found:?}, expected {content}", image.file);
            }
            (_, _, format, _) => {
                assert!(matches!(found, Ok(Sniffed::Image(f)) if f.name() == format), "{}", image.file);
            }
        }
    }
}

#[test]
fn inspect_describes_like_open_and_opens_nothing() {
    for image in good() {
        if image.how.starts_with("snapshot=") {
            continue;
        }
        let mut opener = image.opener();
        opener.resolver = Arc::new(Nobody);
        let described =
            opener.inspect(image.path()).unwrap_or_else(|error| panic!("{}: {error}", image.file));
        assert_eq!(described.info.virtual_size, image.size, "{}", image.file);
        assert_eq!(described.info.format.name(), image.format, "{}", image.file);
        assert_eq!(described.wrapper.map(|w| w.name().to_owned()), image.wrapper, "{}", image.file);
        assert_eq!(described.info.content.map(str::to_owned), image.content, "{}", image.file);
        assert_eq!(
            described.file_size,
            Some(std::fs::metadata(image.path()).unwrap().len()),
            "{}",
            image.file
        );
        assert_eq!(!described.info.references.is_empty(), image.how == "files", "{}", image.file);
        let reaches_out = described.info.findings.iter().any(|finding| finding.severity == Severity::Unsafe);
        assert_eq!(reaches_out, image.how == "files", "{}: {:?}", image.file, described.info.findings);

        let stream = std::fs::File::open(image.path()).unwrap();
        let streamed =
            opener.inspect_stream(stream).unwrap_or_else(|error| panic!("{}: {error}", image.file));
        assert_eq!(streamed.info.virtual_size, image.size, "{}", image.file);
        assert_eq!(streamed.info.references, described.info.references, "{}", image.file);
        assert_eq!(streamed.info.snapshots, described.info.snapshots, "{}", image.file);
    }
}

/// Fails the test if a file is resolved.
struct Nobody;

impl Resolver for Nobody {
    fn resolve(&self, reference: &diskimg::Reference) -> diskimg::Result<Arc<dyn BlockSource>> {
        panic!("requested {:?}", reference.name_lossy());
    }
}

#[test]
fn unusual_image_has_a_finding() {
    let finding = |file: &str, check: &str| {
        let described = Opener::new().inspect(common::images("good").join(file)).unwrap();
        let found = described.info.findings.iter().any(|finding| finding.check == check);
        assert!(found, "{file}: {check} is not among {:?}", described.info.findings);
        described.info
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
    let disc = Opener::new().inspect(common::images("good").join("cut.iso")).unwrap().info;
    assert!(disc.is_optical_disc);
    assert!(disc.findings.iter().any(|finding| finding.severity == Severity::Warning), "{:?}", disc.findings);
}

#[test]
fn backing_file_is_not_opened_by_default() {
    for image in good().iter().filter(|image| image.how == "files") {
        let error = Opener::new().open(image.path()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied, "{}: {error}", image.file);
    }
}

#[test]
fn layers_of_a_chain_are_distinguished() {
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

/// The target of a conversion.
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

/// Converts an image, streamed if it is compressed.
fn convert_image(image: &Good, path: &Path, form: &Form) {
    let options = ConvertOptions::default();
    match image.opener().input(image.path()).unwrap() {
        Input::Stream(input) if form.format == "raw" && input.streams(WriteOrder::Any) => {
            let sink = target(path, form).create(None).unwrap();
            convert_stream(input, sink, &ConvertOptions::default(), &()).unwrap();
        }
        Input::Stream(input) => {
            let disk = input.into_disk(&()).unwrap();
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
fn image_converts_to_every_format_and_back() {
    let scratch = tempfile::tempdir().unwrap();
    for (number, image) in good().iter().enumerate() {
        let original = open(image);
        for (index, form) in FORMS.iter().enumerate() {
            if image.size == 0 && form.format == "vmdk" {
                // A capacity of 0 stands for a file without a disk.
                continue;
            }
            let there = scratch.path().join(format!("{number}-{index}"));
            convert_image(image, &there, form);
            if image.size == 0 && form.format == "raw" {
                // An empty raw file is not an image, even if its format is pinned.
                assert_eq!(std::fs::metadata(&there).unwrap().len(), 0);
                continue;
            }
            let mut opener = Opener::new();
            opener.format = Some(driver(form.format).unwrap().format);
            let disk = opener.open(&there).unwrap();
            let context = format!("{} ({}) as {} {}", image.file, image.how, form.format, form.settings);
            // The size of an image is in sectors; a raw disk may end inside one.
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
fn converted_raw_disk_is_not_probed_again() {
    // A guest may write an image header to its disk. The raw copy then begins like an image.
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
fn table_lists_every_image() {
    let named: Vec<String> = good().into_iter().map(|image| image.file).collect();
    for entry in std::fs::read_dir(common::images("good")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let part = [".data", "-flat.vmdk", "-f001.vmdk"].iter().any(|end| file.ends_with(end));
        let known = part || named.contains(&file) || file == "IMAGES.tsv";
        assert!(known, "{file} has no row in IMAGES.tsv");
    }
}
