//! `diskimg measure`: the sizes of `qemu-img`, and of the files that a conversion writes.

use serde_json::{Value, json};

use crate::tools::{ScratchDir, file_len, mixed_disk};

#[track_caller]
fn agree(dir: &ScratchDir, args: &[&str]) {
    let theirs = dir.img(&[&["measure", "--output=json"], args].concat());
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    assert_eq!(dir.ok(&[&["measure", "--output=json"], args].concat()).json(), theirs, "{args:?}");
    let theirs = dir.img(&[&["measure"], args].concat());
    assert_eq!(dir.ok(&[&["measure"], args].concat()).text(), theirs, "{args:?}");
}

#[test]
fn raw_and_qcow2_have_the_sizes_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(4 << 20));
    dir.img(&["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    dir.img(&["convert", "-f", "raw", "-O", "vmdk", "disk.raw", "disk.vmdk"]);
    dir.settle();
    for options in [
        &["-O", "raw"][..],
        &["-O", "qcow2"],
        &["-O", "qcow2", "-o", "cluster_size=4k,refcount_bits=64"],
        &["-O", "qcow2", "-o", "cluster_size=2M", "-o", "extended_l2=on"],
        &["-O", "qcow2", "-o", "compat=0.10"],
        &["-O", "qcow2", "-o", "backing_file=base,backing_fmt=raw"],
    ] {
        for image in ["disk.qcow2", "disk.vmdk"] {
            agree(&dir, &[options, &[image]].concat());
        }
        agree(&dir, &[options, &["-f", "raw", "disk.raw"]].concat());
        for size in ["0", "512", "10G", "1T"] {
            agree(&dir, &[options, &["--size", size]].concat());
        }
    }
}

#[test]
fn holes_of_preallocated_images_are_measured_as_by_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let commands = ["write -P 3 1M 700k", "write -z 10M 3M", "write 30M 512", "discard 1200k 64k"];
    let mut images: Vec<String> = Vec::new();
    for preallocation in ["off", "metadata", "falloc", "full"] {
        for (name, units) in [("64k", "cluster_size=64k"), ("2M", "cluster_size=2M,extended_l2=on")] {
            let image = format!("{preallocation}-{name}.qcow2");
            let options = format!("preallocation={preallocation},{units}");
            dir.img(&["create", "-q", "-f", "qcow2", "-o", &options, &image, "65000k"]);
            dir.io(&image, &commands);
            images.push(image);
        }
    }
    dir.img(&["convert", "-O", "vdi", "-o", "static=on", "off-64k.qcow2", "fixed.vdi"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "metadata-64k.qcow2", "-F", "qcow2", "top.qcow2"]);
    dir.io("top.qcow2", &["write 5M 1M"]);
    images.push("fixed.vdi".into());
    dir.settle();
    for options in [
        &["-O", "raw"][..],
        &["-O", "qcow2"],
        &["-O", "qcow2", "-o", "cluster_size=512"],
        &["-O", "qcow2", "-o", "cluster_size=2M"],
    ] {
        for image in &images {
            agree(&dir, &[options, &[image]].concat());
        }
        let json = ["measure", "--output=json"];
        let ours = dir.ok(&[&json[..], &["--follow"], options, &["top.qcow2"]].concat()).json();
        let theirs = dir.img(&[&json[..], options, &["top.qcow2"]].concat());
        assert_eq!(ours, serde_json::from_str::<Value>(&theirs).unwrap(), "{options:?}");
    }
}

#[test]
fn snapshot_is_measured_instead_of_the_active_state() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "4M"]);
    dir.io("disk.qcow2", &["write -P 1 0 1M"]);
    dir.img(&["snapshot", "-c", "before", "disk.qcow2"]);
    dir.io("disk.qcow2", &["write -P 2 1M 2M"]);
    for how in ["before", "snapshot.id=1", "snapshot.name=before"] {
        agree(&dir, &["-O", "qcow2", "-l", how, "disk.qcow2"]);
    }
    agree(&dir, &["-O", "qcow2", "disk.qcow2"]);
}

#[test]
fn bitmaps_are_measured_if_both_formats_support_them() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "40G"]);
    dir.img(&["bitmap", "--add", "disk.qcow2", "daily"]);
    dir.img(&["bitmap", "--add", "-g", "512", "disk.qcow2", "a-name-of-some-length"]);
    for options in ["cluster_size=64k", "cluster_size=512", "cluster_size=2M"] {
        agree(&dir, &["-O", "qcow2", "-o", options, "disk.qcow2"]);
    }
    for options in [&["-O", "qcow2", "-o", "compat=0.10"][..], &["-O", "raw"]] {
        agree(&dir, &[options, &["disk.qcow2"]].concat());
    }
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old.qcow2", "1M"]);
    agree(&dir, &["-O", "qcow2", "old.qcow2"]);
}

#[test]
fn layers_below_are_measured_on_request() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &mixed_disk(2 << 20));
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2"]);
    dir.io("top.qcow2", &["write -P 1 128k 256k"]);
    dir.settle();
    dir.run(&["measure", "-O", "qcow2", "top.qcow2"]).fails_with(1, &["base.raw", "--follow"]);
    let ours = dir.ok(&["measure", "--json", "-O", "qcow2", "--follow", "top.qcow2"]).json();
    let theirs: Value =
        serde_json::from_str(&dir.img(&["measure", "--output=json", "-O", "qcow2", "top.qcow2"])).unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn measured_size_of_vmdk_and_vdi_equals_that_of_convert() {
    let dir = ScratchDir::new();
    // Each grain and block has a byte that is not zero, so all are stored.
    dir.write("disk.raw", &vec![7; (5 << 20) + 512]);
    for (format, options) in [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=twoGbMaxExtentSparse,grain_size=4k"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vdi", "subformat=dynamic"),
        ("vdi", "static=on"),
    ] {
        let measured =
            dir.ok(&["measure", "--json", "-f", "raw", "-O", format, "-o", options, "disk.raw"]).json();
        // Measuring assumes `disk` as the name in the descriptor.
        std::fs::create_dir(dir.path("out")).unwrap();
        dir.ok(&["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", "out/disk.vmdk"]);
        let files = std::fs::read_dir(dir.path("out")).unwrap();
        let taken: u64 = files.map(|file| file_len(&file.unwrap().path())).sum();
        assert_eq!(measured, json!({"required": taken, "fully-allocated": taken}), "{format} {options}");
        std::fs::remove_dir_all(dir.path("out")).unwrap();
    }
    let compressed = dir.ok(&["measure", "--json", "-f", "raw", "-O", "vmdk", "-c", "disk.raw"]).json();
    dir.ok(&["convert", "-f", "raw", "-O", "vmdk", "-c", "disk.raw", "disk.vmdk"]);
    assert!(file_len(&dir.path("disk.vmdk")) <= compressed["required"].as_u64().unwrap());
}

#[test]
fn measure_requires_one_disk_and_valid_options() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for args in [&["-O", "qcow2"][..], &["-O", "qcow2", "--size", "1G", "disk.raw"], &["--size", "much"]] {
        let run = dir.run(&[&["measure"], args].concat());
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.starts_with("error: "), "{run:?}");
    }
    for args in [
        &["-O", "nonsense", "--size", "1G"][..],
        &["-O", "raw", "-c", "--size", "1G"],
        &["-O", "vdi", "-c", "--size", "1G"],
        &["-O", "vmdk", "-o", "cluster_size=4k", "--size", "1G"],
        &["-O", "vmdk", "--size", "0"],
        &["-O", "qcow2", "-"],
        &["-O", "qcow2", "absent"],
    ] {
        dir.run(&[&["measure"], args].concat()).fails_with(1, &[]);
    }
    let run = dir.run(&["measure", "--output=json", "-O", "vmdk", "--size", "0"]);
    assert_eq!((run.code, run.stdout.len()), (1, 0), "{run:?}");
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(error["error"]["status"], "invalid-input");
}
