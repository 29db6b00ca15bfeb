//! A format of the caller's own takes part wherever an image is read, and a caller can leave formats out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;
#[path = "../../../examples/custom_format/qed.rs"]
mod qed;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{convert_stream, have_qemu, qemu, qemu_io, read_all, tar_member};
use diskimg::{
    BlockSource, ConvertOptions, Driver, ErrorKind, ExtentKind, Extents, Image, Memory, MemorySink, Opener,
    Prober, Result, StreamConvert, Target, WithinDirectory, driver, drivers, raw,
};
use diskimg_core::conformance;

const CLUSTER: usize = 4096;

/// A cluster of a QED image: data of one byte, zeros, or nothing.
#[derive(Clone, Copy)]
enum Stored {
    Data(u8),
    Zero,
    Nothing,
}

const DISK: [Stored; 5] = [Stored::Data(7), Stored::Nothing, Stored::Zero, Stored::Data(9), Stored::Data(11)];

/// A QED image with tables of one cluster: header, L1, L2, data.
fn qed_image(disk: &[Stored], backing: Option<(&str, u64)>) -> Vec<u8> {
    let (name, features) = backing.unwrap_or_default();
    let mut file = vec![0; 3 * CLUSTER];
    file[..4].copy_from_slice(b"QED\0");
    for (at, value) in [(4, CLUSTER), (8, 1), (12, 1), (56, 64), (60, name.len())] {
        file[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
    }
    let size = (disk.len() * CLUSTER) as u64;
    for (at, value) in [(16, features), (40, CLUSTER as u64), (48, size), (CLUSTER, 2 * CLUSTER as u64)] {
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    file[64..64 + name.len()].copy_from_slice(name.as_bytes());
    for (index, stored) in disk.iter().enumerate() {
        let entry = match stored {
            Stored::Nothing => 0,
            Stored::Zero => 1,
            Stored::Data(byte) => {
                file.extend([*byte; CLUSTER]);
                file.len() - CLUSTER
            }
        };
        let at = 2 * CLUSTER + index * 8;
        file[at..at + 8].copy_from_slice(&(entry as u64).to_le_bytes());
    }
    file
}

/// The guest bytes of [`DISK`].
fn guest_bytes() -> Vec<u8> {
    [7, 0, 0, 9, 11].map(|byte| [byte; CLUSTER]).concat()
}

/// An opener that also reads QED.
fn with_qed() -> Opener {
    Opener::new().with_drivers(drivers().iter().copied().chain([&qed::DRIVER]))
}

fn open(opener: &Opener, file: Vec<u8>) -> Result<diskimg::Disk> {
    opener.open_source(Arc::new(Memory::new(file)))
}

fn refused(opener: &Opener, file: Vec<u8>) -> ErrorKind {
    open(opener, file).err().expect("the format is left out").kind()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The bytes compressed by a command-line tool; `None` if it is not installed.
fn packed_by(tool: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let spawned = Command::new(tool).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut running) = spawned else {
        assert!(std::env::var_os("CI").is_none(), "{tool} is not installed, and CI must not skip");
        eprintln!("skipped: {tool} is not installed");
        return None;
    };
    running.stdin.take().unwrap().write_all(bytes).unwrap();
    Some(running.wait_with_output().unwrap().stdout)
}

fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    [tar_member(&(name, bytes)), vec![0; 1024]].concat()
}

#[test]
fn own_format_is_read_like_a_format_of_the_build() {
    let file = qed_image(&DISK, None);
    let disk = open(&with_qed(), file.clone()).unwrap();
    assert_eq!(disk.info().format.name(), "qed");
    conformance::source(&disk, &guest_bytes());
    let kinds: Vec<ExtentKind> =
        Extents::new(&disk, 0..disk.size()).map(|extent| extent.unwrap().kind).collect();
    let [data, nothing, zero] = [ExtentKind::Data, ExtentKind::Unallocated, ExtentKind::Zero];
    assert_eq!(kinds, [data, nothing, zero, data, data]);
    assert_eq!(refused(&Opener::new(), file), ErrorKind::Unsupported);
}

#[test]
fn own_format_is_described_by_file_and_by_pushed_probe() {
    let file = qed_image(&DISK, None);
    let described = with_qed().inspect_source(&Memory::new(file.clone())).unwrap().info;
    assert_eq!((described.virtual_size, described.allocation_unit), (5 * 4096, Some(4096)));
    for chunk in [1, 511, 100_000] {
        let mut prober = Prober::with(&with_qed());
        file.chunks(chunk).for_each(|bytes| {
            prober.push(bytes);
        });
        let report = prober.finish();
        assert_eq!(report.formats, [qed::DRIVER.format]);
        assert_eq!(report.image.unwrap(), described);
    }
}

#[test]
fn own_format_is_converted_from_a_stream() {
    let sink = MemorySink::new(1 << 20);
    let mut conversion = StreamConvert::new(&with_qed(), Box::new(sink.clone()));
    qed_image(&DISK, None).chunks(1000).for_each(|bytes| conversion.push(bytes).unwrap());
    conversion.finish(&()).unwrap();
    assert_eq!(sink.bytes(), guest_bytes());

    let sink = MemorySink::new(1 << 20);
    let input = with_qed().stream(std::io::Cursor::new(qed_image(&DISK, None))).unwrap();
    convert_stream(input, Box::new(sink.clone()), &ConvertOptions::default(), &()).unwrap();
    assert_eq!(sink.bytes(), guest_bytes());
}

#[test]
fn own_format_is_read_in_compressed_files_and_archives() {
    let file = qed_image(&DISK, None);
    let mut forms =
        vec![gz(&file), tar("disk.qed", &file), tar("disk.bin", &gz(&file)), gz(&tar("d", &file))];
    forms.extend(["xz", "zstd"].iter().filter_map(|tool| packed_by(tool, &file)));
    for form in forms {
        assert_eq!(read_all(&open(&with_qed(), form.clone()).unwrap()).unwrap(), guest_bytes());
        let inspection = with_qed().inspect_source(&Memory::new(form.clone())).unwrap();
        assert_eq!(inspection.info.format.name(), "qed");
        assert!(open(&Opener::new(), form).is_err());
    }
}

#[test]
fn own_format_is_a_backing_file_and_has_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    std::fs::write(file("base.raw"), [5; 5 * CLUSTER]).unwrap();
    std::fs::write(file("base.qed"), qed_image(&DISK, Some(("base.raw", 1 | 4)))).unwrap();
    let mut top = Target::file(file("top.qcow2"), driver("qcow2").unwrap().format);
    top.settings = diskimg::Setting::parse_list("backing_file=base.qed,backing_fmt=qed").unwrap();
    top.create(Some(5 * CLUSTER as u64)).unwrap().finish().unwrap();

    let mut opener = with_qed();
    opener.resolver = Arc::new(WithinDirectory::new(dir.path()).unwrap());
    let disk = opener.open(file("top.qcow2")).unwrap();
    let formats: Vec<&str> = disk.layers().iter().map(|layer| layer.info().format.name()).collect();
    assert_eq!(formats, ["qcow2", "qed", "raw"]);
    assert_eq!(read_all(&disk).unwrap(), [7, 5, 0, 9, 11].map(|byte| [byte; CLUSTER]).concat());

    let mut without = Opener::new();
    without.resolver = Arc::clone(&opener.resolver);
    assert_eq!(without.open(file("top.qcow2")).err().unwrap().kind(), ErrorKind::Unsupported);
}

#[test]
fn own_check_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.qed");
    let mut file = qed_image(&DISK, None);
    std::fs::write(&path, &file).unwrap();
    let checked = with_qed().check(&path).unwrap();
    assert!(checked.report.is_clean());
    assert_eq!((checked.report.total_units, checked.report.allocated_units), (Some(5), Some(3)));

    file[2 * CLUSTER..2 * CLUSTER + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    std::fs::write(&path, &file).unwrap();
    let checked = with_qed().check(&path).unwrap();
    assert_eq!((checked.report.corruptions, checked.report.problems[0].offset), (1, Some(8192)));
}

#[test]
fn format_that_is_left_out_is_refused_and_never_raw() {
    let mut two = Opener::new().with_drivers([driver("qcow2").unwrap(), driver("raw").unwrap()]);
    let names: Vec<&str> = two.drivers().iter().map(|driver| driver.format.name()).collect();
    assert_eq!(names, ["qcow2", "raw"]);
    for allow_raw in [false, true] {
        two.allow_raw = allow_raw;
        for name in ["vdi", "vmdk"] {
            let sink = MemorySink::new(16 << 20);
            let target = Target::sink(Box::new(sink.clone()), driver(name).unwrap().format);
            target.create(Some(1 << 16)).unwrap().finish().unwrap();
            let file = sink.bytes();
            assert_eq!(refused(&two, file.clone()), ErrorKind::Unsupported, "{name}");
            assert_eq!(refused(&two, gz(&file)), ErrorKind::Unsupported, "{name}");
            assert_eq!(refused(&two, tar(name, &file)), ErrorKind::Unsupported, "{name}");
            let stream = two.stream(std::io::Cursor::new(file.clone()));
            assert_eq!(stream.err().unwrap().kind(), ErrorKind::Unsupported, "{name}");
            let mut prober = Prober::with(&two);
            prober.push(&file);
            assert_eq!(prober.finish().image.unwrap_err().kind(), ErrorKind::Unsupported, "{name}");
        }
    }
    two.format = Some(driver("vdi").unwrap().format);
    assert_eq!(refused(&two, vec![0; 512]), ErrorKind::Unsupported);
}

#[test]
fn raw_disk_is_refused_without_the_raw_driver() {
    let mut only = Opener::new().with_drivers([driver("qcow2").unwrap()]);
    assert_eq!(refused(&only, vec![0; 1 << 20]), ErrorKind::Unsupported);
    only.allow_raw = true;
    assert_eq!(refused(&only, vec![1; 1 << 20]), ErrorKind::Unsupported);
}

#[test]
fn first_driver_of_a_name_counts() {
    static OWN_RAW: Driver = raw::DRIVER.with_description("our own");
    let opener = Opener::new().with_drivers([&OWN_RAW].into_iter().chain(drivers().iter().copied()));
    assert_eq!(opener.drivers().len(), drivers().len());
    assert_eq!(opener.drivers()[0].description, "our own");
}

#[test]
fn damaged_image_of_an_own_format_is_no_panic() {
    conformance::damaged(&qed_image(&DISK, Some(("base", 1))), 3 * CLUSTER, &|bytes| {
        let mut opener = with_qed();
        opener.format = Some(qed::DRIVER.format);
        if let Ok(disk) = open(&opener, bytes) {
            conformance::exercise(&disk, 1 << 20);
        }
    });
}

#[test]
fn own_format_reads_what_qemu_writes() {
    if !have_qemu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    // QEMU cannot open its own images with tables of one cluster.
    for options in ["cluster_size=4096,table_size=2", "cluster_size=65536"] {
        qemu(path, "qemu-img", &["create", "-q", "-f", "qed", "-o", options, "disk.qed", "20M"]);
        let commands = ["write -P 1 0 70k", "write -P 2 5M 3M", "write -z 6M 64k", "write -P 3 20400k 80k"];
        qemu_io(path, "qed", "disk.qed", &commands);
        agrees_with_qemu(path, &with_qed());
    }
    std::fs::write(path.join("base.raw"), [9; 1 << 20]).unwrap();
    qemu(path, "qemu-img", &["create", "-q", "-f", "qed", "-b", "base.raw", "-F", "raw", "disk.qed", "2M"]);
    qemu_io(path, "qed", "disk.qed", &["write -P 1 64k 64k"]);
    let mut opener = with_qed();
    opener.resolver = Arc::new(WithinDirectory::new(path).unwrap());
    agrees_with_qemu(path, &opener);
}

fn agrees_with_qemu(path: &Path, opener: &Opener) {
    let _ = std::fs::remove_file(path.join("ours.raw"));
    let target = Target::file(path.join("ours.raw"), driver("raw").unwrap().format);
    let input = opener.input(path.join("disk.qed")).unwrap();
    input.convert_to(&target, &ConvertOptions::default(), &()).unwrap();
    qemu(path, "qemu-img", &["convert", "-f", "qed", "-O", "raw", "disk.qed", "theirs.raw"]);
    let read = |name: &str| std::fs::read(path.join(name)).unwrap();
    assert!(read("ours.raw") == read("theirs.raw"), "the bytes are those of qemu-img");
    assert!(opener.check(path.join("disk.qed")).unwrap().report.is_clean());
}
