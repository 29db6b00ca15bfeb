//! A target is never one of the files that the disk is read from.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg::{
    ConvertOptions, Converted, Disk, ErrorKind, FileSource, Input, Opener, Result, Setting, StreamInput,
    Target, WithinDirectory, convert, driver,
};

fn in_place(path: &Path) -> Target {
    let mut target = Target::file(path, driver("raw").unwrap().format);
    target.in_place = true;
    target
}

fn convert_to(disk: &Disk, target: &Target) -> Result<Converted> {
    disk.convert_to(target, &ConvertOptions::default(), &())
}

fn refused(disk: &Disk, path: &Path) -> bool {
    let before = fs::read(path).unwrap();
    let Err(error) = convert_to(disk, &in_place(path)) else { return false };
    assert!(fs::read(path).unwrap() == before);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.to_string().contains("it is the source")
}

/// A disk of `subformat` in `path`, holding `byte` everywhere.
fn written(path: &Path, subformat: &str, byte: u8) {
    let mut target = Target::file(path, driver("vmdk").unwrap().format);
    target.settings = Setting::parse_list(&format!("subformat={subformat}")).unwrap();
    let source = diskimg::Memory::new(vec![byte; 1 << 20]);
    let sink = target.create(Some(1 << 20)).unwrap();
    convert(&source, sink, &ConvertOptions::default(), &()).unwrap();
}

#[test]
fn extents_and_the_descriptor_are_never_a_target() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.vmdk");
    written(&path, "monolithicFlat", 0x55);
    let mut opener = Opener::new();
    opener.resolver = Arc::new(WithinDirectory::of_image(&path).unwrap());
    let disk = opener.open(&path).unwrap();
    assert!(refused(&disk, &path));
    assert!(refused(&disk, &dir.path().join("disk-flat.vmdk")));
    let linked = dir.path().join("linked");
    fs::hard_link(dir.path().join("disk-flat.vmdk"), &linked).unwrap();
    assert!(refused(&disk, &linked));

    let other = dir.path().join("other");
    fs::write(&other, vec![7; 1 << 20]).unwrap();
    assert!(!refused(&disk, &other));
    let mut replacing = Target::file(dir.path().join("disk-flat.vmdk"), driver("raw").unwrap().format);
    replacing.overwrite = true;
    assert!(convert_to(&disk, &replacing).is_err(), "the image would lose its extent");
}

/// The good image `top` with the files it needs, in a directory of its own.
fn copied(dir: &Path, top: &str, needs: &[&str]) -> PathBuf {
    for name in needs.iter().chain([&top]) {
        fs::copy(common::images("good").join(name), dir.join(name)).unwrap();
    }
    dir.join(top)
}

#[test]
fn backing_file_and_data_file_are_never_a_target() {
    let cases: [(&str, &[&str]); 3] = [
        ("top-on-raw.qcow2", &["base.raw"]),
        ("chain-top.qcow2", &["chain-middle.qcow2", "chain-base.qcow2"]),
        ("data-file.qcow2", &["data-file.data"]),
    ];
    for (top, needs) in cases {
        let dir = tempfile::tempdir().unwrap();
        let top = copied(dir.path(), top, needs);
        let mut opener = Opener::new();
        opener.resolver = Arc::new(WithinDirectory::of_image(&top).unwrap());
        let disk = opener.open(&top).unwrap();
        assert!(refused(&disk, &top));
        for name in needs {
            assert!(refused(&disk, &dir.path().join(name)), "{name}");
        }
    }
}

#[test]
fn given_parent_is_never_a_target() {
    let dir = tempfile::tempdir().unwrap();
    let top = copied(dir.path(), "top-on-raw.qcow2", &["base.raw"]);
    let base = dir.path().join("base.raw");
    let mut opener = Opener::new();
    opener.parents.push(diskimg::ParentFile::open(&base).unwrap());
    assert!(refused(&opener.open(&top).unwrap(), &base));
}

#[test]
fn target_whose_other_files_are_read_from_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-s001.vmdk");
    written(&path, "monolithicSparse", 0x55);
    let named = dir.path().join("y-flat.vmdk");
    std::os::unix::fs::symlink(&path, &named).unwrap();
    let linked = dir.path().join("z-f001.vmdk");
    fs::hard_link(&path, &linked).unwrap();
    let before = fs::read(&path).unwrap();
    let disk = Opener::new().open(&path).unwrap();
    for (name, subformat) in
        [("x.vmdk", "twoGbMaxExtentSparse"), ("y.vmdk", "monolithicFlat"), ("z.vmdk", "twoGbMaxExtentFlat")]
    {
        let mut target = Target::file(dir.path().join(name), driver("vmdk").unwrap().format);
        target.overwrite = true;
        target.settings = Setting::parse_list(&format!("subformat={subformat}")).unwrap();
        let error = convert_to(&disk, &target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        target.settings = Setting::parse_list("subformat=monolithicSparse").unwrap();
        assert!(convert_to(&disk, &target).is_ok(), "{name}");
    }
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn compressed_file_that_a_disk_came_from_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v3.qcow2.gz");
    fs::copy(common::images("good").join("v3.qcow2.gz"), &path).unwrap();
    let mut target = Target::file(&path, driver("qcow2").unwrap().format);
    target.overwrite = true;
    let opener = Opener::new();
    assert!(convert_to(&opener.open(&path).unwrap(), &target).is_err());
    let source = Arc::new(FileSource::open(&path).unwrap());
    assert!(convert_to(&opener.open_source(source).unwrap(), &target).is_err());
    let Input::Stream(stream) = opener.input(&path).unwrap() else { panic!("not a stream") };
    let raw = in_place(&path);
    let before = fs::read(&path).unwrap();
    let convert = |input: StreamInput| input.convert_to(&raw, &ConvertOptions::default(), &()).unwrap_err();
    assert_eq!(convert(stream).kind(), ErrorKind::InvalidInput);
    let Input::Stream(stream) = opener.input(&path).unwrap() else { panic!("not a stream") };
    let disk = stream.into_disk(&()).unwrap();
    assert!(convert_to(&disk, &target).is_err());
    let stdin = opener.stream(fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(convert(stdin.read_from(&path.metadata().unwrap())).kind(), ErrorKind::InvalidInput);
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn failed_conversion_leaves_the_files_that_it_would_replace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.vmdk");
    for subformat in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "monolithicFlat"] {
        let force = |bytes| {
            let mut target = Target::file(&path, driver("vmdk").unwrap().format);
            target.overwrite = true;
            target.settings = Setting::parse_list(&format!("subformat={subformat}")).unwrap();
            target.create(Some(bytes)).unwrap()
        };
        let sink = force(1 << 20);
        sink.write_at(0, &[0x55; 4096]).unwrap();
        sink.finish().unwrap();
        let files = || {
            let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
            let mut files: Vec<_> = names.map(|name| (name.clone(), fs::read(name).unwrap())).collect();
            files.sort();
            files
        };
        let before = files();
        let source = diskimg::Memory::new(vec![0xAA; 1 << 20]);
        let cancel = diskimg::Cancel::default();
        cancel.trigger();
        convert(&source, force(1 << 20), &ConvertOptions::default(), &cancel).unwrap_err();
        assert!(files() == before, "{subformat}");
    }
}
