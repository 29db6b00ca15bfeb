//! `diskimg measure`: the numbers of `qemu-img`, and those of the files that are then written.

use serde_json::{Value, json};

use crate::tools::{Workshop, file_len, mixed_disk};

#[track_caller]
fn agree(shop: &Workshop, args: &[&str]) {
    let theirs = shop.img(&[&["measure", "--output=json"], args].concat());
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    assert_eq!(shop.ok(&[&["measure", "--output=json"], args].concat()).json(), theirs, "{args:?}");
    let theirs = shop.img(&[&["measure"], args].concat());
    assert_eq!(shop.ok(&[&["measure"], args].concat()).text(), theirs, "{args:?}");
}

#[test]
fn raw_and_qcow2_are_measured_as_qemu_img_does() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("disk.raw", &mixed_disk(4 << 20));
    shop.img(&["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    shop.img(&["convert", "-f", "raw", "-O", "vmdk", "disk.raw", "disk.vmdk"]);
    shop.settle();
    for options in [
        &["-O", "raw"][..],
        &["-O", "qcow2"],
        &["-O", "qcow2", "-o", "cluster_size=4k,refcount_bits=64"],
        &["-O", "qcow2", "-o", "cluster_size=2M", "-o", "extended_l2=on"],
        &["-O", "qcow2", "-o", "compat=0.10"],
        &["-O", "qcow2", "-o", "backing_file=base,backing_fmt=raw"],
    ] {
        for image in ["disk.qcow2", "disk.vmdk"] {
            agree(&shop, &[options, &[image]].concat());
        }
        agree(&shop, &[options, &["-f", "raw", "disk.raw"]].concat());
        for size in ["0", "512", "10G", "1T"] {
            agree(&shop, &[options, &["--size", size]].concat());
        }
    }
}

#[test]
fn a_snapshot_is_measured_for_itself() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "4M"]);
    shop.io("disk.qcow2", &["write -P 1 0 1M"]);
    shop.img(&["snapshot", "-c", "before", "disk.qcow2"]);
    shop.io("disk.qcow2", &["write -P 2 1M 2M"]);
    for how in ["before", "snapshot.id=1", "snapshot.name=before"] {
        agree(&shop, &["-O", "qcow2", "-l", how, "disk.qcow2"]);
    }
    agree(&shop, &["-O", "qcow2", "disk.qcow2"]);
}

#[test]
fn bitmaps_are_counted_where_both_images_can_have_them() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "40G"]);
    shop.img(&["bitmap", "--add", "disk.qcow2", "daily"]);
    shop.img(&["bitmap", "--add", "-g", "512", "disk.qcow2", "a-name-of-some-length"]);
    for options in ["cluster_size=64k", "cluster_size=512", "cluster_size=2M"] {
        agree(&shop, &["-O", "qcow2", "-o", options, "disk.qcow2"]);
    }
    for options in [&["-O", "qcow2", "-o", "compat=0.10"][..], &["-O", "raw"]] {
        agree(&shop, &[options, &["disk.qcow2"]].concat());
    }
    shop.img(&["create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old.qcow2", "1M"]);
    agree(&shop, &["-O", "qcow2", "old.qcow2"]);
}

#[test]
fn what_lies_below_is_measured_with_the_image_when_it_is_followed() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("base.raw", &mixed_disk(2 << 20));
    shop.img(&["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2"]);
    shop.io("top.qcow2", &["write -P 1 128k 256k"]);
    shop.settle();
    shop.run(&["measure", "-O", "qcow2", "top.qcow2"]).fails_with(1, &["base.raw", "(--follow)"]);
    let ours = shop.ok(&["measure", "--json", "-O", "qcow2", "--follow", "top.qcow2"]).json();
    let theirs: Value =
        serde_json::from_str(&shop.img(&["measure", "--output=json", "-O", "qcow2", "top.qcow2"])).unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn vmdk_and_vdi_are_measured_to_what_convert_writes() {
    let shop = Workshop::new();
    // Each grain and block has a byte that is not zero: nothing is left out.
    shop.write("disk.raw", &vec![7; (5 << 20) + 512]);
    for (format, options) in [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=twoGbMaxExtentSparse,grain_size=4k"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vdi", "subformat=dynamic"),
        ("vdi", "static=on"),
    ] {
        let measured =
            shop.ok(&["measure", "--json", "-f", "raw", "-O", format, "-o", options, "disk.raw"]).json();
        // The names of other files, in a descriptor of 5 MiB and a few hundred bytes, follow from `disk`.
        std::fs::create_dir(shop.path("out")).unwrap();
        shop.ok(&["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", "out/disk.vmdk"]);
        let files = std::fs::read_dir(shop.path("out")).unwrap();
        let taken: u64 = files.map(|file| file_len(&file.unwrap().path())).sum();
        assert_eq!(measured, json!({"required": taken, "fully-allocated": taken}), "{format} {options}");
        std::fs::remove_dir_all(shop.path("out")).unwrap();
    }
    let compressed = shop.ok(&["measure", "--json", "-f", "raw", "-O", "vmdk", "-c", "disk.raw"]).json();
    shop.ok(&["convert", "-f", "raw", "-O", "vmdk", "-c", "disk.raw", "disk.vmdk"]);
    assert!(file_len(&shop.path("disk.vmdk")) <= compressed["required"].as_u64().unwrap());
}

#[test]
fn a_measure_needs_one_disk_and_options_with_sense() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    for args in [&["-O", "qcow2"][..], &["-O", "qcow2", "--size", "1G", "disk.raw"], &["--size", "much"]] {
        let told = shop.run(&[&["measure"], args].concat());
        assert_eq!(told.code, 1, "{told:?}");
        assert!(told.stderr.starts_with("error: "), "{told:?}");
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
        shop.run(&[&["measure"], args].concat()).fails_with(1, &[]);
    }
    let told = shop.run(&["measure", "--output=json", "-O", "vmdk", "--size", "0"]);
    assert_eq!((told.code, told.stdout.len()), (1, 0), "{told:?}");
    let error: Value = serde_json::from_str(&told.stderr).unwrap();
    assert_eq!(error["error"]["status"], "invalid-input");
}
