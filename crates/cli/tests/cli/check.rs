//! `diskimg check`: what `qemu-img check` says, and where.

use serde_json::Value;

use crate::tools::{Workshop, mixed_disk};

/// The exit code and the JSON of both, ours without what is ours alone.
fn both(shop: &Workshop, file: &str) -> ((i32, Value), (i32, Value)) {
    let ours = shop.run(&["check", "--output=json", file]);
    let mut json: Value = serde_json::from_slice(&ours.stdout).unwrap();
    json.as_object_mut().unwrap().remove("diskimg").unwrap();
    let (code, theirs) = shop.img_may_fail(&["check", "--output=json", file]);
    ((ours.code, json), (code, serde_json::from_slice(&theirs).unwrap()))
}

#[test]
fn images_of_qemu_img_are_found_as_clean_and_counted_alike() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("disk.raw", &mixed_disk(6 << 20));
    for options in [
        &["-o", "compat=v2"][..],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=4k,refcount_bits=1"],
        &["-o", "refcount_bits=64"],
        &["-o", "extended_l2=on"],
        &["-o", "preallocation=metadata"],
        &["-c"],
        &["-c", "-o", "compression_type=zstd,cluster_size=8k"],
        &["-W", "-m", "8"],
    ] {
        let made = [&["convert", "-f", "raw", "-O", "qcow2"], options, &["disk.raw", "disk.qcow2"]].concat();
        shop.img(&made);
        let (ours, theirs) = both(&shop, "disk.qcow2");
        assert_eq!((ours.0, &ours.1), (0, &theirs.1), "{options:?}");
    }
}

#[test]
fn snapshots_bitmaps_and_guest_writes_are_counted_alike() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "disk.qcow2", "8M"]);
    shop.io("disk.qcow2", &["write -P 1 0 1M", "write -c -P 2 1M 64k"]);
    shop.img(&["snapshot", "-c", "first", "disk.qcow2"]);
    shop.io("disk.qcow2", &["write -P 3 4k 12k", "write -z 64k 8k", "discard 100k 40k"]);
    shop.img(&["snapshot", "-c", "second", "disk.qcow2"]);
    shop.img(&["bitmap", "--add", "--enable", "disk.qcow2", "b0"]);
    shop.io("disk.qcow2", &["write -P 4 2M 100k"]);
    let (ours, theirs) = both(&shop, "disk.qcow2");
    assert_eq!(ours, theirs);
    assert_eq!(ours.0, 0);
}

#[test]
fn damage_is_counted_as_qemu_img_counts_it_and_its_place_is_told() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "disk.qcow2", "1M"]);
    shop.io("disk.qcow2", &["write -P 1 0 64k"]);
    let good = shop.read("disk.qcow2");
    let word = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
    let place = |entry: u64| usize::try_from(entry & 0x00FF_FFFF_FFFF_FE00).unwrap();
    let l2 = place(word(place(word(40))));
    let block = place(word(place(word(48))));
    let data = place(word(l2)) / 4096;
    for (what, at, bytes, code) in [
        ("a count too low", block + 2 * data, &[0, 0][..], 2),
        ("a count too high", block + 2 * data, &[0, 2], 2),
        ("an entry lost", l2, &[0; 8], 3),
        ("an entry not aligned", l2 + 6, &[0x12, 0], 2),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        shop.write("bad.qcow2", &bad);
        let (ours, theirs) = both(&shop, "bad.qcow2");
        assert_eq!(ours.0, code, "{what}: {}", ours.1);
        assert_eq!(ours.0, theirs.0, "{what}");
        assert_eq!(ours.1["leaks"], theirs.1["leaks"], "{what}");
    }
    let told = shop.run(&["check", "bad.qcow2"]);
    assert_eq!(told.code, 2);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains(&format!("corruption at byte {l2}: ")), "{text}");
}

#[test]
fn what_cannot_be_checked_says_so() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.run(&["check", "-f", "raw", "disk.raw"]).fails_with(63, &["no structure to check"]);
    shop.run(&["check", "missing.qcow2"]).fails_with(1, &["missing.qcow2"]);
    shop.write("version.qcow2", b"QFI\xfb\0\0\0\x09");
    shop.run(&["check", "version.qcow2"]).fails_with(1, &["qcow2"]);
}
