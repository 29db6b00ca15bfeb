//! `diskimg check`: the report of `qemu-img check`, with offsets.

use serde_json::Value;

use crate::tools::{ScratchDir, mixed_disk};

/// Returns exit code and JSON of both commands, without our additional keys.
fn both(dir: &ScratchDir, file: &str) -> ((i32, Value), (i32, Value)) {
    let ours = dir.run(&["check", "--output=json", file]);
    let mut json: Value = serde_json::from_slice(&ours.stdout).unwrap();
    json.as_object_mut().unwrap().remove("diskimg").unwrap();
    let (code, theirs) = dir.img_may_fail(&["check", "--output=json", file]);
    ((ours.code, json), (code, serde_json::from_slice(&theirs).unwrap()))
}

#[test]
fn clean_images_of_qemu_img_have_the_same_report() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(6 << 20));
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
        dir.img(&made);
        let (ours, theirs) = both(&dir, "disk.qcow2");
        assert_eq!((ours.0, &ours.1), (0, &theirs.1), "{options:?}");
    }
}

#[test]
fn snapshots_bitmaps_and_guest_writes_have_the_same_report() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "disk.qcow2", "8M"]);
    dir.io("disk.qcow2", &["write -P 1 0 1M", "write -c -P 2 1M 64k"]);
    dir.img(&["snapshot", "-c", "first", "disk.qcow2"]);
    dir.io("disk.qcow2", &["write -P 3 4k 12k", "write -z 64k 8k", "discard 100k 40k"]);
    dir.img(&["snapshot", "-c", "second", "disk.qcow2"]);
    dir.img(&["bitmap", "--add", "--enable", "disk.qcow2", "b0"]);
    dir.io("disk.qcow2", &["write -P 4 2M 100k"]);
    let (ours, theirs) = both(&dir, "disk.qcow2");
    assert_eq!(ours, theirs);
    assert_eq!(ours.0, 0);
}

#[test]
fn damage_has_the_counts_of_qemu_img_and_an_offset() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "disk.qcow2", "1M"]);
    dir.io("disk.qcow2", &["write -P 1 0 64k"]);
    let good = dir.read("disk.qcow2");
    let word = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
    let place = |entry: u64| usize::try_from(entry & 0x00FF_FFFF_FFFF_FE00).unwrap();
    let l2 = place(word(place(word(40))));
    let block = place(word(place(word(48))));
    let data = place(word(l2)) / 4096;
    for (what, at, bytes, code) in [
        ("refcount too low", block + 2 * data, &[0, 0][..], 2),
        ("refcount too high", block + 2 * data, &[0, 2], 2),
        ("L2 entry lost", l2, &[0; 8], 3),
        ("L2 entry not aligned", l2 + 6, &[0x12, 0], 2),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        dir.write("bad.qcow2", &bad);
        let (ours, theirs) = both(&dir, "bad.qcow2");
        assert_eq!(ours.0, code, "{what}: {}", ours.1);
        assert_eq!(ours.0, theirs.0, "{what}");
        assert_eq!(ours.1["leaks"], theirs.1["leaks"], "{what}");
    }
    let run = dir.run(&["check", "bad.qcow2"]);
    assert_eq!(run.code, 2);
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.contains(&format!("corruption at byte {l2}: ")), "{text}");
}

#[test]
fn unsupported_check_has_its_own_exit_code() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.run(&["check", "-f", "raw", "disk.raw"]).fails_with(63, &["no structure to check"]);
    dir.run(&["check", "missing.qcow2"]).fails_with(1, &["missing.qcow2"]);
    dir.write("version.qcow2", b"QFI\xfb\0\0\0\x09");
    dir.run(&["check", "version.qcow2"]).fails_with(1, &["qcow2"]);
}
