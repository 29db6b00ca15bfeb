//! A target written in place is never one of the files that the disk is read from.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg::{Disk, ErrorKind, FileSource, Opener, Setting, Target, WithinDirectory, convert, driver};

fn in_place(path: &Path) -> Target {
    let mut target = Target::file(path, driver("raw").unwrap().format);
    target.in_place = true;
    target
}

fn refused(disk: &Disk, path: &Path) -> bool {
    let before = fs::read(path).unwrap();
    let outcome = in_place(path).ensure_not_source(disk);
    assert!(fs::read(path).unwrap() == before);
    outcome.is_err_and(|error| error.kind() == ErrorKind::InvalidInput)
}

/// A disk of `subformat` in `path`, holding `byte` everywhere.
fn written(path: &Path, subformat: &str, byte: u8) {
    let mut target = Target::file(path, driver("vmdk").unwrap().format);
    target.settings = Setting::parse_list(&format!("subformat={subformat}")).unwrap();
    let source = diskimg::Memory::new(vec![byte; 1 << 20]);
    let sink = target.create(Some(1 << 20)).unwrap();
    convert(&source, sink, &diskimg::ConvertOptions::default(), &()).unwrap();
}

#[test]
fn extents_and_the_descriptor_are_spared() {
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
    let renamed_over = Target::file(dir.path().join("disk-flat.vmdk"), driver("raw").unwrap().format);
    assert!(
        renamed_over.ensure_not_source(&disk).is_ok(),
        "its bytes stay until the new file takes the name"
    );
}

/// The good image `top` with the files it needs, in a directory of its own.
fn copied(dir: &Path, top: &str, needs: &[&str]) -> PathBuf {
    for name in needs.iter().chain([&top]) {
        fs::copy(common::images("good").join(name), dir.join(name)).unwrap();
    }
    dir.join(top)
}

#[test]
fn backing_files_and_data_files_are_spared() {
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
fn a_parent_that_was_given_is_spared() {
    let dir = tempfile::tempdir().unwrap();
    let top = copied(dir.path(), "top-on-raw.qcow2", &["base.raw"]);
    let base = dir.path().join("base.raw");
    let mut opener = Opener::new();
    opener.parents.push(Arc::new(FileSource::open(&base).unwrap()));
    assert!(refused(&opener.open(&top).unwrap(), &base));
}
