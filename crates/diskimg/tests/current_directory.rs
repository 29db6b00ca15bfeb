//! Paths relative to the current directory. One test, because the current directory is that of the whole process.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use diskimg::{
    BlockSource, ErrorKind, Memory, Opener, SearchPath, Setting, Spool, Target, WithinDirectory, driver,
};

/// Creates an image of 1 MiB, over a backing file if `backing` names one.
fn create(name: &str, backing: &str) {
    let mut target = Target::file(name, driver("qcow2").unwrap().format);
    if !backing.is_empty() {
        let settings = format!("backing_file={backing},backing_fmt=qcow2");
        target.settings = Setting::parse_list(&settings).unwrap();
    }
    target.create(Some(1 << 20)).unwrap().finish().unwrap();
}

#[test]
fn empty_path_of_a_directory_is_the_current_one() {
    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    create("base.qcow2", "");
    create("top.qcow2", "base.qcow2");
    let absent = dir.path().canonicalize().unwrap().join("absent.qcow2");
    create("lost.qcow2", absent.to_str().unwrap());
    create("inside.qcow2", dir.path().canonicalize().unwrap().join("base.qcow2").to_str().unwrap());
    let empty = Path::new("");
    assert_eq!(Path::new("top.qcow2").parent(), Some(empty));
    let within = [
        WithinDirectory::new(empty).unwrap(),
        WithinDirectory::of_image(Path::new("top.qcow2")).unwrap(),
        WithinDirectory::new(empty).unwrap().by_last_component(),
    ];
    for directory in within {
        let mut opener = Opener::new();
        opener.resolver = Arc::new(SearchPath::new(vec![directory]));
        for name in ["top.qcow2", "inside.qcow2"] {
            assert_eq!(opener.open(name).unwrap().size(), 1 << 20, "{name}");
        }
        let error = opener.open("lost.qcow2").err().unwrap();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(2)), "{error}");
    }
    // The target and its other files, and a temporary file.
    let mut target = Target::file("disk.vmdk", driver("vmdk").unwrap().format);
    target.settings = Setting::parse_list("subformat=twoGbMaxExtentFlat").unwrap();
    target.create(Some(1 << 20)).unwrap().finish().unwrap();
    assert!(Path::new("disk-f001.vmdk").exists());
    let mut gzip = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(&[7; 4096][..], flate2::Compression::fast());
    std::io::Read::read_to_end(&mut encoder, &mut gzip).unwrap();
    let mut opener = Opener::new();
    opener.allow_raw = true;
    opener.spool = Spool::Temporary { directory: Some(empty.to_owned()), limit: 1 << 20 };
    assert_eq!(opener.open_source(Arc::new(Memory::new(gzip))).unwrap().size(), 4096);
    assert_eq!(fs::read_dir(".").unwrap().count(), 6);
    std::env::set_current_dir("/").unwrap();
}
