//! Images of qemu-img and qemu-io.

use std::path::Path;

use diskimg::{
    BlockSource, ConvertOptions, Image, Opener, SnapshotSelector, Target, WithinDirectory, convert, driver,
};
use diskimg_core::conformance;

use crate::common::{have_qemu, qemu, read_all};
use crate::map::same_map;
use crate::patterns::{mixed, write_all, writes};
use crate::{Layout, open};

/// The disk as qemu-img reads it.
fn theirs(directory: &Path, name: &str, more: &[&str]) -> Vec<u8> {
    let mut arguments = vec!["convert", "-f", "qcow2"];
    arguments.extend(more);
    arguments.extend(["-O", "raw", name, "theirs.raw"]);
    qemu(directory, "qemu-img", &arguments);
    std::fs::read(directory.join("theirs.raw")).unwrap()
}

/// Compares bytes, map and conversion of an image with QEMU.
#[track_caller]
fn same_disk(directory: &Path, name: &str) {
    let disk = open(directory, name);
    let expected = theirs(directory, name, &[]);
    assert_eq!(disk.size(), expected.len() as u64, "{name}");
    if disk.size() <= 4 << 20 {
        conformance::source(&disk, &expected);
    } else {
        assert!(read_all(&disk).unwrap() == expected, "{name}: the bytes differ");
    }
    // After the end of a shorter layer, QEMU assigns the zeros to the layer above. Only the command does the same.
    if disk.layers().len() == 1 {
        same_map(directory, name, &disk);
    }

    let path = directory.join("ours.raw");
    let mut target = Target::file(&path, driver("raw").unwrap().format);
    (target.overwrite, target.durable) = (true, false);
    let sink = target.create(Some(disk.size())).unwrap();
    convert(&disk, sink, &ConvertOptions::default(), &()).unwrap();
    assert!(std::fs::read(path).unwrap() == expected, "{name}: the converted bytes differ");
}

fn create(directory: &Path, name: &str, layout: Layout, more: &[&str], size: u64) {
    let (options, size) = (layout.options(), size.to_string());
    let mut arguments = vec!["create", "-q", "-f", "qcow2", "-o", &options];
    arguments.extend(more);
    arguments.extend([name, &size]);
    qemu(directory, "qemu-img", &arguments);
}

#[test]
fn layout_reads_and_maps_as_in_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    for (seed, layout) in (1..).zip(Layout::all()) {
        println!("{layout:?}");
        if layout.compressed() {
            std::fs::write(directory.join("disk.raw"), mixed(seed, layout.size())).unwrap();
            let options = layout.options();
            let arguments =
                ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", &options, "disk.raw", "image.qcow2"];
            qemu(directory, "qemu-img", &arguments);
            same_disk(directory, "image.qcow2");
        } else {
            create(directory, "image.qcow2", layout, &[], layout.size());
        }
        // Also over compressed clusters, as the writes of a guest.
        write_all(directory, "image.qcow2", &writes(seed, layout.size(), layout.cluster_size, 25));
        same_disk(directory, "image.qcow2");
    }
}

#[test]
fn size_that_is_not_a_multiple_of_a_cluster_reads_as_in_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    for layout in Layout::all() {
        for size in [512, layout.cluster_size + 512, 3 * layout.cluster_size - 512] {
            let name = format!("{size}.qcow2");
            if layout.compressed() {
                std::fs::write(directory.join("disk.raw"), mixed(size, size)).unwrap();
                let options = layout.options();
                let arguments =
                    ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", &options, "disk.raw", &name];
                qemu(directory, "qemu-img", &arguments);
            } else {
                create(directory, &name, layout, &[], size);
                write_all(directory, &name, &writes(size, size, layout.cluster_size.min(size), 4));
            }
            println!("{layout:?} of {size} bytes");
            same_disk(directory, &name);
        }
    }
}

#[test]
fn snapshots_read_as_in_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    for layout in Layout::plain() {
        create(directory, "image.qcow2", layout, &[], layout.size());
        for (seed, name) in [(1, "first"), (2, "second"), (3, "third")] {
            write_all(directory, "image.qcow2", &writes(seed, layout.size(), layout.cluster_size, 8));
            qemu(directory, "qemu-img", &["snapshot", "-c", name, "image.qcow2"]);
        }
        write_all(directory, "image.qcow2", &writes(4, layout.size(), layout.cluster_size, 8));
        same_disk(directory, "image.qcow2");
        for name in ["first", "second", "third"] {
            let mut opener = Opener::new();
            opener.snapshot = Some(SnapshotSelector::Name(name.into()));
            let disk = opener.open(directory.join("image.qcow2")).unwrap();
            assert_eq!(disk.info().snapshots.len(), 3);
            let expected = theirs(directory, "image.qcow2", &["-l", &format!("snapshot.name={name}")]);
            assert!(read_all(&disk).unwrap() == expected, "{layout:?}: {name}");
        }
    }
}

#[test]
fn chains_read_as_in_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    for (seed, layout) in (1..).zip(Layout::plain()) {
        let size = layout.size();
        std::fs::write(
            directory.join("base.raw"),
            [mixed(seed, size / 2), vec![7; 1000], vec![0; 24]].concat(),
        )
        .unwrap();
        let unit = layout.cluster_size;
        create(directory, "middle.qcow2", layout, &["-b", "base.raw", "-F", "raw"], size);
        write_all(directory, "middle.qcow2", &writes(seed, size, unit, 10));
        let other = Layout { cluster_size: 65_536, ..layout };
        create(directory, "top.qcow2", other, &["-b", "middle.qcow2", "-F", "qcow2"], size + 4096);
        write_all(directory, "top.qcow2", &writes(seed + 100, size, 65_536.min(unit), 10));
        println!("{layout:?}");
        same_disk(directory, "middle.qcow2");
        same_disk(directory, "top.qcow2");
        assert_eq!(open(directory, "top.qcow2").layers().len(), 3);
    }
}

#[test]
fn external_data_files_read_and_map_as_in_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    for layout in Layout::plain().filter(|layout| layout.compat == "v3") {
        for raw in ["off", "on"] {
            let options = format!("{},data_file=disk.data,data_file_raw={raw}", layout.options());
            let size = layout.size().to_string();
            let arguments = ["create", "-q", "-f", "qcow2", "-o", &options, "image.qcow2", &size];
            qemu(directory, "qemu-img", &arguments);
            write_all(directory, "image.qcow2", &writes(5, layout.size(), layout.cluster_size, 12));
            println!("{layout:?}, raw {raw}");
            same_disk(directory, "image.qcow2");
            let denied = Opener::new().open(directory.join("image.qcow2")).err().unwrap();
            assert_eq!(denied.kind(), diskimg::ErrorKind::Denied);
            std::fs::remove_file(directory.join("disk.data")).unwrap();
        }
    }
}

#[test]
fn preallocated_images_read_and_map_as_in_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    for layout in Layout::plain() {
        for how in ["metadata", "falloc", "full"] {
            let size = (4 * layout.cluster_size + 512).min(1 << 20);
            let options = format!("{},preallocation={how}", layout.options());
            let text = size.to_string();
            let arguments = ["create", "-q", "-f", "qcow2", "-o", &options, "image.qcow2", &text];
            qemu(directory, "qemu-img", &arguments);
            println!("{layout:?}, {how}");
            same_disk(directory, "image.qcow2");
            write_all(directory, "image.qcow2", &writes(6, size, layout.cluster_size.min(size), 5));
            same_disk(directory, "image.qcow2");
        }
    }
}

#[test]
fn name_in_another_directory_is_not_followed() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let inner = scratch.path().join("images");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(scratch.path().join("secret"), vec![0x5E; 65_536]).unwrap();
    let arguments = ["create", "-q", "-f", "qcow2", "-b", "../secret", "-F", "raw", "image.qcow2"];
    qemu(&inner, "qemu-img", &arguments);
    assert!(theirs(&inner, "image.qcow2", &[]).iter().all(|byte| *byte == 0x5E));
    let mut opener = Opener::new();
    opener.resolver = std::sync::Arc::new(WithinDirectory::new(&inner).unwrap());
    let error = opener.open(inner.join("image.qcow2")).err().unwrap();
    assert_eq!(error.kind(), diskimg::ErrorKind::Denied);
}
