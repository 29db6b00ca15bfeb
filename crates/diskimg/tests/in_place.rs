//! Targets that exist: an image is rewritten if it is empty, a raw one keeps its length.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::{convert_stream, have_qemu, images, qemu, read_all};
use diskimg::core::Detail;
use diskimg::{
    BlockSource, ConvertOptions, ErrorKind, Input, Memory, Opener, Result, Setting, StreamInput, Target,
    WithinDirectory, convert, driver, inspect,
};
use diskimg_core::conformance::painted;

const SIZE: usize = 4 << 20;

fn target(path: &Path, format: &str) -> Target {
    let mut target = Target::file(path, driver(format).unwrap().format);
    target.in_place = true;
    target
}

/// Creates an empty image of [`SIZE`] bytes.
fn created(path: &Path, format: &str, settings: &str) {
    let mut target = Target::file(path, driver(format).unwrap().format);
    target.settings = Setting::parse_list(settings).unwrap();
    target.create(Some(SIZE as u64)).unwrap().finish().unwrap();
}

fn written(bytes: &[u8], target: &Target) -> Result<()> {
    let source = Memory::new(bytes.to_vec());
    let sink = target.create(Some(source.size()))?;
    convert(&source, sink, &ConvertOptions::default(), &()).map(drop)
}

fn disk(path: &Path) -> Vec<u8> {
    let mut opener = Opener::new();
    opener.allow_raw = true;
    opener.resolver = Arc::new(WithinDirectory::of_image(path).unwrap());
    read_all(&opener.open(path).unwrap()).unwrap()
}

/// The parts of a description that a conversion in place keeps.
fn layout(path: &Path) -> String {
    let info = inspect(path).unwrap().info;
    let details: Vec<&(String, Detail)> = info
        .details
        .iter()
        .filter(|(name, _)| !["cid", "modification-uuid", "allocated-blocks"].contains(&name.as_str()))
        .collect();
    let (unit, version) = (info.allocation_unit, info.version);
    format!("{:?} {} {unit:?} {version:?} {details:?}", info.subformat, info.virtual_size)
}

/// The bytes of all files in a directory, by name.
fn all_files(directory: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// Checks that nothing is written, and returns the error.
#[track_caller]
fn refused(path: &Path, format: &str, bytes: &[u8]) -> diskimg::Error {
    let before = all_files(path.parent().unwrap());
    let error = written(bytes, &target(path, format)).unwrap_err();
    assert!(all_files(path.parent().unwrap()) == before, "{error}");
    error
}

const IMAGES: [(&str, &str); 22] = [
    ("qcow2", ""),
    ("qcow2", "cluster_size=4k,refcount_bits=8"),
    ("qcow2", "cluster_size=2M,extended_l2=on,lazy_refcounts=on,compression_type=zstd"),
    ("qcow2", "compat=0.10,cluster_size=512"),
    ("qcow2", "preallocation=metadata"),
    ("qcow2", "preallocation=metadata,extended_l2=on"),
    ("vdi", ""),
    ("vdi", "static=on"),
    ("vdi", "block_size=64k,uuid=01234567-89ab-cdef-0123-456789abcdef"),
    ("vmdk", ""),
    ("vmdk", "grain_size=4k,zeroed_grain=on,adapter_type=lsilogic,hwversion=13,toolsversion=7"),
    ("vmdk", "subformat=streamOptimized,grain_size=8k"),
    ("vmdk", "subformat=monolithicFlat,adapter_type=pvscsi"),
    ("vmdk", "subformat=twoGbMaxExtentSparse,grain_size=16k"),
    ("vmdk", "subformat=twoGbMaxExtentFlat"),
    ("vmdk", "subformat=vmfs"),
    ("qcow2", "refcount_bits=64"),
    ("qcow2", "refcount_bits=1"),
    ("qcow2", "extended_l2=on,cluster_size=16k"),
    ("qcow2", "compat=v2"),
    ("vdi", "subformat=dynamic,block_size=512"),
    ("vmdk", "adapter_type=legacyESX,compat6=on"),
];

#[test]
fn empty_image_is_written_again_with_its_own_size_and_settings() {
    let bytes = painted(3, (1 << 20) + 512);
    let expected = [bytes.clone(), vec![0; SIZE - bytes.len()]].concat();
    for (format, settings) in IMAGES {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        created(&path, format, settings);
        let (before, names) = (layout(&path), all_files(dir.path()).len());
        written(&bytes, &target(&path, format)).unwrap_or_else(|e| panic!("{format} {settings}: {e}"));
        assert_eq!(layout(&path), before, "{format} {settings}");
        assert!(disk(&path) == expected, "{format} {settings}");
        assert_eq!(all_files(dir.path()).len(), names, "{format} {settings}");
        let stores = refused(&path, format, &bytes).to_string();
        assert!(stores.contains("stores data"), "{format} {settings}: {stores}");
    }
}

#[test]
fn allocated_image_stays_allocated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    created(&path, "qcow2", "preallocation=metadata");
    let len = path.metadata().unwrap().len();
    written(&painted(3, 1 << 20), &target(&path, "qcow2")).unwrap();
    assert!(path.metadata().unwrap().len() >= len);
    let map = Opener::new().open(&path).unwrap();
    let extents = diskimg::Extents::new(&map, 0..SIZE as u64);
    for extent in extents {
        let extent = extent.unwrap();
        assert!(extent.location.host.is_some() || extent.reserved.is_some(), "{extent:?}");
    }
}

#[test]
fn image_that_is_too_small_is_refused_with_both_sizes() {
    for (format, settings) in IMAGES {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        created(&path, format, settings);
        let error = refused(&path, format, &vec![0; SIZE + 512]);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let error = error.to_string();
        assert!(error.contains("4194304") && error.contains("4194816"), "{format} {settings}: {error}");
        let checked = target(&path, format).check(Some(SIZE as u64 + 512)).unwrap_err();
        assert_eq!(checked.to_string(), error);
    }
}

#[test]
fn image_with_more_than_a_disk_is_refused() {
    let cases: [(&str, &[&str], &str); 5] = [
        ("top-on-raw.qcow2", &["base.raw"], "base.raw"),
        ("data-file.qcow2", &["data-file.data"], "data-file.data"),
        ("snapshots.qcow2", &[], "snapshots"),
        ("bitmaps.qcow2", &[], "bitmaps"),
        ("corrupt-bit.qcow2", &[], "corrupt"),
    ];
    for (name, needs, reason) in cases {
        let dir = tempfile::tempdir().unwrap();
        for file in needs.iter().chain([&name]) {
            fs::copy(images("good").join(file), dir.path().join(file)).unwrap();
        }
        let error = refused(&dir.path().join(name), "qcow2", &[1; 512]);
        assert!(error.to_string().contains(reason), "{name}: {error}");
        assert!(target(&dir.path().join(name), "qcow2").check(None).is_err(), "{name}");
    }
}

#[test]
fn file_that_is_not_an_image_of_the_format_is_refused() {
    for format in ["qcow2", "vdi", "vmdk"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        fs::write(&path, b"").unwrap();
        refused(&path, format, &[1; 512]);
        fs::write(&path, [0; 1 << 16]).unwrap();
        refused(&path, format, &[1; 512]);
        let other = if format == "qcow2" { "vdi" } else { "qcow2" };
        fs::remove_file(&path).unwrap();
        created(&path, other, "");
        refused(&path, format, &[1; 512]);
        assert!(target(&path, format).check(None).is_err());
        assert!(target(&dir.path().join("none"), format).check(None).is_err());
    }
}

#[test]
fn setting_with_an_existing_image_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    created(&path, "qcow2", "");
    let mut target = target(&path, "qcow2");
    target.settings = Setting::parse_list("cluster_size=64k").unwrap();
    let error = target.check(None).unwrap_err().to_string();
    assert!(error.contains("option cluster_size") && error.contains("-o has no effect"), "{error}");
}

#[test]
fn split_image_whose_extents_have_other_names_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.vmdk");
    created(&path, "vmdk", "subformat=monolithicFlat");
    let renamed = dir.path().join("other.vmdk");
    fs::rename(&path, &renamed).unwrap();
    let error = refused(&renamed, "vmdk", &[1; 512]).to_string();
    assert!(error.contains("disk-flat.vmdk"), "{error}");
}

#[test]
fn open_file_follows_the_rules_of_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let open = |format: &str, in_place| {
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut target = Target::open_file(file, driver(format).unwrap().format);
        target.in_place = in_place;
        target
    };
    created(&path, "qcow2", "cluster_size=4k");
    let before = layout(&path);
    let bytes = painted(3, 1 << 20);
    written(&bytes, &open("qcow2", true)).unwrap();
    assert_eq!(layout(&path), before);
    assert!(disk(&path)[..bytes.len()] == bytes);
    assert!(written(&bytes, &open("qcow2", true)).is_err(), "it stores data");
    written(&bytes, &open("raw", true)).unwrap();
    assert!(fs::read(&path).unwrap()[..bytes.len()] == bytes);
    assert!(path.metadata().unwrap().len() > bytes.len() as u64);
    let same = Opener::new().open(images("good").join("v3.qcow2")).unwrap();
    same.convert_to(&open("raw", true), &ConvertOptions::default(), &()).unwrap();
    written(&bytes, &open("qcow2", false)).unwrap();
    assert_eq!(inspect(&path).unwrap().info.virtual_size, bytes.len() as u64);
    let own = Opener::new().open(&path).unwrap();
    assert!(own.convert_to(&open("raw", true), &ConvertOptions::default(), &()).is_err());
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A disk as a stream, by each way in which one comes.
fn streams(dir: &Path, bytes: &[u8]) -> Vec<StreamInput> {
    let opener = {
        let mut opener = Opener::new();
        opener.allow_raw = true;
        opener
    };
    let compressed = dir.join("source.raw.gz");
    fs::write(&compressed, gz(bytes)).unwrap();
    let image = dir.join("source.qcow2");
    let mut target = Target::file(&image, driver("qcow2").unwrap().format);
    target.overwrite = true;
    written(bytes, &target).unwrap();
    let Input::Stream(from_file) = opener.input(&compressed).unwrap() else { panic!("not a stream") };
    let pipe = std::io::Cursor::new(bytes.to_vec());
    vec![
        from_file,
        opener.stream(pipe).unwrap(),
        opener.stream(std::io::Cursor::new(fs::read(&image).unwrap())).unwrap(),
        opener.stream(std::io::Cursor::new(gz(&fs::read(&image).unwrap()))).unwrap(),
    ]
}

#[test]
fn raw_target_keeps_its_length_and_the_bytes_past_a_streamed_disk() {
    let (dir, sources) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("disk");
    for len in [1 << 20, (1 << 20) - 700, SIZE] {
        let mut bytes = painted(3, len);
        // Zeros at the end, in the middle, and less than a block of them.
        bytes[len - 300_000..].fill(0);
        bytes[100_000..300_000].fill(0);
        for (way, stream) in streams(sources.path(), &bytes).into_iter().enumerate() {
            fs::write(&path, vec![7; SIZE]).unwrap();
            assert!(stream.streams(diskimg::core::WriteOrder::Any), "{way}");
            stream.convert_to(&target(&path, "raw"), &ConvertOptions::default(), &()).unwrap();
            // A qcow2 counts sectors.
            let disk_len = if way < 2 { len } else { len.next_multiple_of(512) };
            let mut expected = vec![7; SIZE];
            expected[..disk_len].fill(0);
            expected[..len].copy_from_slice(&bytes);
            assert!(fs::read(&path).unwrap() == expected, "{way} {len}");
        }
    }
}

#[test]
fn raw_target_shorter_than_a_streamed_disk_is_never_resized() {
    let (dir, sources) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("disk");
    for bytes in [painted(3, 1 << 20), vec![0; 1 << 20]] {
        for (way, stream) in streams(sources.path(), &bytes).into_iter().enumerate() {
            fs::write(&path, vec![7; (1 << 20) - 512]).unwrap();
            let target = target(&path, "raw");
            let error = stream.convert_to(&target, &ConvertOptions::default(), &()).unwrap_err();
            // The head of an image records the size of the disk.
            if way >= 2 {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{way}: {error}");
                let error = error.to_string();
                assert!(error.contains("1048064") && error.contains("1048576"), "{error}");
                assert!(fs::read(&path).unwrap() == vec![7; (1 << 20) - 512]);
            } else {
                assert_eq!(error.kind(), ErrorKind::OutOfBounds, "{way}: {error}");
            }
            assert_eq!(path.metadata().unwrap().len(), (1 << 20) - 512, "{way}");
        }
        for (way, stream) in streams(sources.path(), &bytes).into_iter().enumerate() {
            fs::write(&path, vec![7; (1 << 20) - 512]).unwrap();
            let sink = target(&path, "raw").create(None).unwrap();
            let error = convert_stream(stream, sink, &ConvertOptions::default(), &()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfBounds, "{way}: {error}");
            assert_eq!(path.metadata().unwrap().len(), (1 << 20) - 512, "{way}");
        }
    }
}

#[test]
fn raw_target_is_written_over_any_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    for name in ["snapshots.qcow2", "flat.vmdk", "iso9660.iso", "stream.vmdk.gz", "corrupt-bit.qcow2"] {
        fs::copy(images("good").join(name), &path).unwrap();
        let before = fs::read(&path).unwrap();
        let target = target(&path, "raw");
        target.check(None).unwrap();
        written(&[9; 300], &target).unwrap();
        assert!(fs::read(&path).unwrap() == [&[9; 300][..], &before[300..]].concat(), "{name}");
    }
}

#[test]
fn image_made_by_qemu_is_written_again_and_sound() {
    if !have_qemu() {
        return;
    }
    let bytes = painted(3, 1 << 20);
    let expected = [bytes.clone(), vec![0; SIZE - bytes.len()]].concat();
    let images = [
        ("qcow2", "preallocation=off"),
        ("qcow2", "preallocation=metadata"),
        ("qcow2", "preallocation=falloc"),
        ("qcow2", "preallocation=full,cluster_size=4k"),
        ("qcow2", "compat=0.10"),
        ("qcow2", "extended_l2=on,cluster_size=128k,lazy_refcounts=on,refcount_bits=32"),
        ("vdi", "static=on"),
        ("vdi", "static=off"),
        ("vmdk", "subformat=monolithicSparse,adapter_type=lsilogic,hwversion=13"),
        ("vmdk", "subformat=monolithicSparse,zeroed_grain=on"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vmdk", "subformat=streamOptimized"),
        ("vmdk", "subformat=twoGbMaxExtentSparse"),
        ("vmdk", "subformat=twoGbMaxExtentFlat"),
    ];
    for (format, settings) in images {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.vmdk");
        let name = path.to_str().unwrap();
        qemu(dir.path(), "qemu-img", &["create", "-q", "-f", format, "-o", settings, name, "4M"]);
        let (before, blocks) = (layout(&path), allocated(&path));
        written(&bytes, &target(&path, format)).unwrap_or_else(|e| panic!("{format} {settings}: {e}"));
        assert_eq!(layout(&path), before, "{format} {settings}");
        if settings.contains("=falloc") || settings.contains("=full") {
            assert!(allocated(&path) >= blocks, "{format} {settings}: {} of {blocks}", allocated(&path));
        }
        assert!(disk(&path) == expected, "{format} {settings}");
        let raw = dir.path().join("raw");
        qemu(dir.path(), "qemu-img", &["convert", "-f", format, "-O", "raw", name, raw.to_str().unwrap()]);
        assert!(fs::read(&raw).unwrap() == expected, "{format} {settings}");
        if format != "vmdk" {
            qemu(dir.path(), "qemu-img", &["check", "-q", "-f", format, name]);
        }
    }
}

fn allocated(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.metadata().unwrap().blocks() * 512
}
