//! Preallocation, external data files, snapshots, backing chains and odd sizes.

use std::sync::Arc;

use diskimg_core::conformance::source;
use diskimg_core::{Chain, Image as _, ReferenceRole, SnapshotSelector};

use crate::tools::Workshop;

#[test]
fn preallocated_images_read_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    for mode in ["metadata", "falloc", "full"] {
        for more in ["", ",extended_l2=on", ",cluster_size=512"] {
            let options = format!("preallocation={mode}{more}");
            shop.img(&["create", "-f", "qcow2", "-o", &options, "pre.qcow2", "3147264"]);
            shop.io("pre.qcow2", &["write -P 0x11 5120 70000", "write -z 1M 64k"]);
            shop.compare("pre.qcow2");
        }
    }
}

#[test]
fn external_data_files_read_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    for options in ["", ",data_file_raw=on", ",extended_l2=on", ",preallocation=metadata", ",cluster_size=4k"]
    {
        let options = format!("data_file=disk.data{options}");
        shop.img(&["create", "-f", "qcow2", "-o", &options, "disk.qcow2", "3147264"]);
        shop.io("disk.qcow2", &["write -P 0x11 0 70000", "write -z 1M 64k", "write -P 0x12 3140000 7264"]);
        shop.compare("disk.qcow2");
        std::fs::remove_file(shop.path("disk.data")).unwrap();
    }
}

#[test]
fn snapshots_read_and_are_listed_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("mixed.raw", 3 << 20);
    for options in ["compat=0.10", "compat=1.1", "extended_l2=on"] {
        shop.img(&["convert", "-c", "-O", "qcow2", "-o", options, "mixed.raw", "snap.qcow2"]);
        shop.img(&["snapshot", "-c", "one", "snap.qcow2"]);
        shop.io("snap.qcow2", &["write -P 0x21 100000 300000", "write -z 1M 256k"]);
        shop.img(&["snapshot", "-c", "two and a half", "snap.qcow2"]);
        if options != "compat=0.10" {
            shop.img(&["resize", "-q", "snap.qcow2", "5M"]);
        }
        shop.io("snap.qcow2", &["write -P 0x22 0 200000"]);
        shop.compare("snap.qcow2");
        let active = shop.open_image("snap.qcow2", None);
        let names: Vec<_> =
            active.info().snapshots.iter().map(|s| (s.id.as_str(), s.name.as_str())).collect();
        assert_eq!(names, [("1", "one"), ("2", "two and a half")]);
        assert!(active.info().findings.is_empty());
        for (name, selector) in [
            ("one", SnapshotSelector::IdOrName("1".to_owned())),
            ("two and a half", SnapshotSelector::Name("two and a half".to_owned())),
        ] {
            let expected = shop.guest_bytes("snap.qcow2", &["-l", &format!("snapshot.name={name}")]);
            let snapshot = shop.open_image("snap.qcow2", Some(selector));
            source(&snapshot, &expected[..3 << 20]);
        }
    }
}

#[test]
fn backing_chain_reads_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("base.raw", (2 << 20) + 512);
    for options in ["cluster_size=64k", "cluster_size=512,compat=0.10", "extended_l2=on"] {
        let backed = |name: &str, by: &str, format: &str, size: &str| {
            shop.img(&["create", "-f", "qcow2", "-o", options, "-b", by, "-F", format, name, size]);
        };
        backed("middle.qcow2", "base.raw", "raw", "3M");
        shop.io("middle.qcow2", &["write -P 0x31 70000 100000", "write -z 1M 65536"]);
        backed("top.qcow2", "middle.qcow2", "qcow2", "4M");
        shop.io("top.qcow2", &["write -P 0x32 5000 512", "write -P 0x33 3500000 4096"]);
        let (top, middle) = (shop.open_image("top.qcow2", None), shop.open_image("middle.qcow2", None));
        let reference = &middle.info().references[0];
        assert_eq!(reference.role, ReferenceRole::Backing);
        assert_eq!((reference.name.as_slice(), reference.format.as_deref()), (&b"base.raw"[..], Some("raw")));
        let base = diskimg_core::Resolver::resolve(&shop, reference).unwrap();
        let expected = shop.guest_bytes("top.qcow2", &[]);
        source(&Chain::new(vec![Arc::new(top), Arc::new(middle), base]).unwrap(), &expected);
    }
}

#[test]
fn refcounts_of_every_width_do_not_affect_reading() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("mixed.raw", 1 << 20);
    for options in ["refcount_bits=1", "refcount_bits=2", "refcount_bits=64", "lazy_refcounts=on"] {
        shop.img(&["convert", "-O", "qcow2", "-o", options, "mixed.raw", "disk.qcow2"]);
        shop.compare("disk.qcow2");
    }
}

#[test]
fn tiny_and_empty_disks_read_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    for size in ["0", "512", "1000", "65536", "66048"] {
        shop.img(&["create", "-f", "qcow2", "tiny.qcow2", size]);
        if size != "0" {
            shop.io("tiny.qcow2", &["write -P 0x41 0 512"]);
        }
        shop.compare("tiny.qcow2");
    }
}

#[test]
fn large_sparse_disk_maps_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    shop.img(&["create", "-f", "qcow2", "large.qcow2", "8T"]);
    shop.io(
        "large.qcow2",
        &["write -P 1 0 1M", "write -P 2 4398046511104 65536", "write -z 8796093018112 4096"],
    );
    let disk = shop.open_image("large.qcow2", None);
    crate::map::compare(&disk, &shop.img(&["map", "--output=json", "large.qcow2"]));
}
