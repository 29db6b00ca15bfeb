//! Images whose file is shorter than their tables say.

use crate::tools::{ScratchDir, mixed_disk};

/// A disk that ends with data.
fn disk() -> Vec<u8> {
    let mut disk = mixed_disk(5 << 20);
    let end = disk.len() - (1 << 20);
    disk.truncate(end);
    disk.extend((0..1_u32 << 20).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()));
    disk
}

/// Converts the disk with `qemu-img` and removes the last `missing` bytes of `file`.
fn truncated(dir: &ScratchDir, options: &[&str], image: &str, file: &str, missing: usize) {
    dir.write("disk.raw", &disk());
    dir.img(&[&["convert", "-f", "raw"], options, &["disk.raw", image]].concat());
    let bytes = dir.read(file);
    dir.write(file, &bytes[..bytes.len() - missing.min(bytes.len() / 2)]);
}

#[test]
fn qcow2_that_ends_inside_a_data_cluster_reads_as_in_qemu_img_and_is_not_safe() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for (options, missing) in [
        (&["-O", "qcow2", "-o", "cluster_size=2M"][..], 1_500_000),
        (&["-O", "qcow2"], 65_000),
        (&["-O", "qcow2", "-o", "extended_l2=on"], 5),
        (&["-O", "qcow2", "-o", "compat=v2,cluster_size=4k"], 1),
    ] {
        truncated(&dir, options, "disk.qcow2", "disk.qcow2", missing);
        let inspected = dir.run(&["inspect", "--output=json", "disk.qcow2"]);
        assert_eq!(inspected.code, 2, "{options:?}");
        let finding = &inspected.json()["findings"][0];
        assert_eq!(finding["check"], "truncated_cluster", "{options:?}");
        assert_eq!(finding["offset"], dir.read("disk.qcow2").len(), "{options:?}");
        assert_eq!(dir.run(&["convert", "--force", "-O", "raw", "disk.qcow2", "ours.raw"]).code, 0);
        dir.img(&["convert", "-O", "raw", "disk.qcow2", "theirs.raw"]);
        assert!(dir.read("ours.raw") == dir.read("theirs.raw"), "{options:?}");
    }
}

#[test]
fn whole_images_of_qemu_img_are_safe() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let images = [
        &["-O", "qcow2", "-o", "cluster_size=2M"][..],
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-c", "-o", "cluster_size=2M"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
        &["-O", "qcow2", "-o", "extended_l2=on"],
        &["-O", "qcow2", "-o", "preallocation=metadata"],
        &["-O", "vdi"],
        &["-O", "vdi", "-o", "static=on"],
        &["-O", "vmdk"],
        &["-O", "vmdk", "-o", "subformat=streamOptimized"],
    ];
    for size in [5 << 20, 3_000_320] {
        dir.write("disk.raw", &disk()[..size]);
        for options in images {
            dir.img(&[&["convert", "-f", "raw"], options, &["disk.raw", "disk.img"]].concat());
            let inspected = dir.run(&["inspect", "disk.img"]);
            assert_eq!(inspected.code, 0, "{size} {options:?}: {inspected:?}");
        }
    }
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", "disk.img", "65000k"]);
    dir.io("disk.img", &["write 0 512", "write 64999k 1k", "write -z 10M 1M", "write -c 20M 2M"]);
    assert_eq!(dir.run(&["inspect", "disk.img"]).code, 0);
}

#[test]
fn truncated_image_of_another_format_is_refused() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for (options, file, words) in [
        (&["-O", "vdi"][..], "disk.img", "vdi: block at byte"),
        (&["-O", "vdi", "-o", "static=on"], "disk.img", "vdi: block at byte"),
        (&["-O", "vmdk"], "disk.img", "vmdk: grain at byte"),
        (&["-O", "vmdk", "-o", "subformat=monolithicFlat"], "disk-flat.img", "expected 5242880 bytes"),
        (&["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"], "disk-s001.img", "vmdk: grain of"),
        (&["-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"], "disk-f001.img", "expected 5242880 bytes"),
    ] {
        for missing in [1, 5000] {
            truncated(&dir, options, "disk.img", file, missing);
            let ran = dir.run(&["convert", "--follow", "-O", "raw", "disk.img", "ours.raw"]);
            assert_eq!(ran.code, 1, "{options:?} {missing}");
            ran.fails_with(1, &[words]);
            assert!(!dir.exists("ours.raw"), "{options:?}");
        }
    }
}

#[test]
fn truncated_stream_optimized_image_is_refused_unless_only_padding_is_missing() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let mut refused = 0;
    for missing in [1, 100, 512, 600, 1024, 1100, 5000, 100_000] {
        truncated(&dir, &["-O", "vmdk", "-o", "subformat=streamOptimized"], "disk.img", "disk.img", missing);
        match dir.run(&["convert", "--force", "-O", "raw", "disk.img", "ours.raw"]).code {
            0 => assert!(dir.read("ours.raw") == disk(), "{missing}"),
            _ => refused += 1,
        }
    }
    assert!((1..8).contains(&refused), "{refused}");
}

#[test]
fn partly_downloaded_image_is_not_safe() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for options in [
        &["-O", "qcow2"][..],
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-o", "cluster_size=512"],
        &["-O", "vdi"],
        &["-O", "vmdk"],
        &["-O", "vmdk", "-o", "subformat=streamOptimized"],
    ] {
        for missing in [70_000, 2_500_000] {
            truncated(&dir, options, "disk.img", "disk.img", missing);
            let inspected = dir.run(&["inspect", "disk.img"]);
            assert_eq!(inspected.code, 2, "{options:?}");
            assert!(inspected.text().contains("warning truncated"), "{options:?}: {inspected:?}");
        }
    }
}

#[test]
fn short_cluster_is_a_warning_of_each_command_that_reads_and_an_error_if_strict() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    truncated(&dir, &["-O", "qcow2", "-o", "cluster_size=2M"], "disk.qcow2", "disk.qcow2", 1_500_000);
    let warns = |stderr: &str| {
        assert!(stderr.starts_with("diskimg: warning: the file ends at byte "), "{stderr}");
        assert!(stderr.contains("inside its last cluster at guest offset "), "{stderr}");
        assert!(stderr.ends_with(" bytes read as zeros\n"), "{stderr}");
    };
    let converted = dir.run(&["convert", "-O", "raw", "disk.qcow2", "file.raw"]);
    warns(&converted.stderr);
    let piped = dir.run_fed(&["convert", "-O", "raw", "-", "pipe.raw"], &dir.read("disk.qcow2"));
    warns(&piped.stderr);
    assert!(dir.read("file.raw") == dir.read("pipe.raw"));
    let checked = dir.run(&["check", "--output=json", "disk.qcow2"]);
    assert_eq!(checked.code, 0);
    warns(&checked.stderr);
    assert_eq!(checked.json()["diskimg"]["findings"][0]["check"], "truncated_cluster");
    for strict in [
        &["convert", "--strict", "-O", "raw", "disk.qcow2", "strict.raw"][..],
        &["check", "--strict", "disk.qcow2"],
    ] {
        dir.run(strict).fails_with(1, &["qcow2: truncated_cluster", "inside its last cluster"]);
    }
    let piped = ["convert", "--strict", "-O", "raw", "-", "strict.raw"];
    dir.run_fed(&piped, &dir.read("disk.qcow2")).fails_with(1, &["truncated_cluster"]);
    assert!(!dir.exists("strict.raw"));
}

#[test]
fn data_file_that_ends_inside_a_cluster_is_a_warning() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "data_file=disk.data", "disk.qcow2", "1M"]);
    dir.io("disk.qcow2", &["write -P 7 0 1M"]);
    assert_eq!(dir.run(&["convert", "--follow", "-O", "raw", "disk.qcow2", "whole.raw"]).stderr, "");
    let data = dir.read("disk.data");
    dir.write("disk.data", &data[..data.len() - 100]);
    for args in [
        &["convert", "--follow", "-O", "raw", "disk.qcow2", "short.raw"][..],
        &["check", "--follow", "disk.qcow2"],
    ] {
        let ran = dir.run(args);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("guest offset 1048476; the missing 100 bytes read as zeros"), "{ran:?}");
    }
}

#[test]
fn partly_downloaded_raw_disk_is_not_safe() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(4 << 20);
    dir.write("disk.raw", &disk);
    assert_eq!(dir.run(&["inspect", "disk.raw"]).code, 0);
    dir.write("part.raw", &disk[..3 << 20]);
    for run in [dir.run(&["inspect", "part.raw"]), dir.run_fed(&["inspect", "-"], &disk[..3 << 20])] {
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.text().contains("warning partition_table at byte 3145728"), "{run:?}");
    }
    let converted = dir.run(&["convert", "-O", "raw", "part.raw", "target"]);
    assert_eq!(converted.code, 0);
    assert!(converted.stderr.contains("describes a disk of 4194304 bytes"), "{converted:?}");
    dir.run(&["convert", "--strict", "-O", "raw", "part.raw", "strict"]).fails_with(1, &["partition_table"]);
    assert!(!dir.exists("strict"));
}
