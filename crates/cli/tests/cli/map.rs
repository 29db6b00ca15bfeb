//! `diskimg map`: the rows of `qemu-img map`.

use serde_json::Value;

use crate::tools::{ScratchDir, mixed_disk};

#[track_caller]
fn agree(dir: &ScratchDir, more: &[&str], image: &str) {
    dir.settle();
    let theirs = dir.img(&[&["map", "--output=json"], more, &[image]].concat());
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    let ours = dir.ok(&[&["map", "--output=json", "--follow"], more, &[image]].concat()).json();
    assert_eq!(ours, theirs, "{image} {more:?}");
}

#[track_caller]
fn agree_in_text(dir: &ScratchDir, image: &str) {
    dir.settle();
    assert_eq!(dir.ok(&["map", "--follow", image]).text(), dir.img(&["map", image]));
}

const WRITES: [&str; 4] = ["write -P 1 1M 256k", "write -P 2 3M 64k", "write -z 2M 128k", "write -P 3 7M 1M"];

#[test]
fn rows_of_qcow2_equal_those_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for options in ["compat=v3", "compat=v2", "cluster_size=4k", "extended_l2=on,cluster_size=64k"] {
        dir.img(&["create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", "8M"]);
        dir.io("disk.qcow2", &WRITES);
        agree(&dir, &[], "disk.qcow2");
        agree(&dir, &["--start-offset=1M", "--max-length=3M"], "disk.qcow2");
        agree(&dir, &["--start-offset=1234944"], "disk.qcow2");
        agree_in_text(&dir, "disk.qcow2");
    }
}

/// Writes zeros over all or part of clusters that stay allocated, and data to part of clusters. All writes are
/// multiples of 64 KiB, because file systems may turn stored zeros into holes.
const PREALLOCATED_ZEROS: [&str; 5] = [
    "write -P 1 1M 512k",
    "write -z 1M 128k",
    "write -z 1216k 64k",
    "write -z 1344k 64k",
    "write -P 2 6M 64k",
];

#[test]
fn zeros_with_reserved_space_report_its_offset() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for options in [
        "compat=v3",
        "compat=v2",
        "cluster_size=512",
        "extended_l2=on,cluster_size=16k",
        "extended_l2=on,cluster_size=128k",
        "extended_l2=on,cluster_size=2M",
        "preallocation=metadata",
        "preallocation=metadata,extended_l2=on",
        "data_file=data.raw",
        "data_file=data.raw,data_file_raw=on",
        "data_file=data.raw,data_file_raw=on,preallocation=metadata",
        "data_file=data.raw,extended_l2=on",
    ] {
        dir.img(&["create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", "8M"]);
        dir.io("disk.qcow2", &PREALLOCATED_ZEROS);
        dir.io("disk.qcow2", &["write -z 0 64k"]);
        agree(&dir, &[], "disk.qcow2");
        agree(&dir, &["--start-offset=1060864", "--max-length=300k"], "disk.qcow2");
        agree_in_text(&dir, "disk.qcow2");
        for name in ["disk.qcow2", "data.raw"] {
            std::fs::remove_file(dir.path(name)).or_else(ignore_absent).unwrap();
        }
    }
}

fn ignore_absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[test]
fn reserved_space_of_a_layer_below_has_the_depth_of_that_layer() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for options in ["cluster_size=64k", "extended_l2=on"] {
        dir.img(&["create", "-q", "-f", "qcow2", "-o", options, "base.qcow2", "8M"]);
        dir.io("base.qcow2", &PREALLOCATED_ZEROS);
        let top = ["-q", "-f", "qcow2", "-o", options, "-b", "base.qcow2", "-F", "qcow2", "top.qcow2", "9M"];
        dir.img(&[&["create"], &top[..]].concat());
        dir.io("top.qcow2", &["write -P 3 1M 64k", "write -z 1M 64k", "write -P 4 3M 64k"]);
        agree(&dir, &[], "top.qcow2");
    }
}

#[test]
fn rows_of_vmdk_and_vdi_equal_those_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    dir.io("disk.qcow2", &WRITES);
    for (format, options) in [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vmdk", "subformat=twoGbMaxExtentFlat"),
        ("vmdk", "subformat=twoGbMaxExtentSparse,zeroed_grain=on"),
        ("vmdk", "subformat=streamOptimized"),
        ("vdi", "static=on"),
    ] {
        dir.img(&["convert", "-O", format, "-o", options, "disk.qcow2", "disk.image"]);
        agree(&dir, &[], "disk.image");
    }
}

#[test]
fn holes_below_allocated_grains_and_blocks_are_ignored() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    dir.io("disk.qcow2", &WRITES);
    for (format, options) in [("vmdk", "subformat=monolithicSparse"), ("vdi", "static=off")] {
        dir.img(&["convert", "-O", format, "-o", options, "disk.qcow2", "whole"]);
        // Keeps most of the file: QEMU detects preallocation by comparing the two sizes.
        let bytes = dir.read("whole");
        dir.write("sparse", &[]);
        let file = std::fs::File::options().write(true).open(dir.path("sparse")).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for (index, block) in bytes.chunks(4096).enumerate().filter(|(_, block)| block.iter().any(|b| *b > 3))
        {
            std::os::unix::fs::FileExt::write_all_at(&file, block, index as u64 * 4096).unwrap();
        }
        drop(file);
        dir.settle();
        let whole = dir.ok(&["map", "--json", "whole"]).json();
        assert_eq!(dir.ok(&["map", "--json", "sparse"]).json(), whole, "{format}");
        if format == "vmdk" {
            agree(&dir, &[], "sparse");
        }
    }
}

#[test]
fn preallocated_clusters_are_data_that_reads_as_zeros() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "disk.qcow2", "32M"]);
    dir.io("disk.qcow2", &["write -P 1 1M 192k", "write -z 2M 64k", "discard 4M 1M"]);
    agree(&dir, &[], "disk.qcow2");
    agree_in_text(&dir, "disk.qcow2");
    let rows = dir.ok(&["map", "--json", "disk.qcow2"]).json();
    assert_eq!((&rows[0]["zero"], &rows[0]["data"]), (&true.into(), &true.into()));
    assert!(rows[0]["offset"].is_u64());
}

#[test]
fn rows_of_raw_equal_those_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    dir.io("disk.qcow2", &WRITES);
    dir.img(&["convert", "-O", "raw", "disk.qcow2", "disk.raw"]);
    dir.settle();
    let theirs: Value =
        serde_json::from_str(&dir.img(&["map", "-f", "raw", "--output=json", "disk.raw"])).unwrap();
    assert_eq!(dir.ok(&["map", "-f", "raw", "--json", "disk.raw"]).json(), theirs);
    assert_eq!(dir.ok(&["map", "-f", "raw", "disk.raw"]).text(), dir.img(&["map", "-f", "raw", "disk.raw"]));
}

#[test]
fn rows_of_a_chain_equal_those_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    std::fs::create_dir(dir.path("sub")).unwrap();
    dir.write("sub/base.raw", &mixed_disk(3 << 20));
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "sub/middle.qcow2", "6M"]);
    dir.io("sub/middle.qcow2", &["write -P 1 1M 256k", "write -P 2 5M 64k"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "sub/top.qcow2", "8M"]);
    dir.io("sub/top.qcow2", &["write -P 3 2M 64k", "write -z 1M 64k"]);
    agree(&dir, &[], "sub/middle.qcow2");
    agree(&dir, &[], "sub/top.qcow2");
    agree_in_text(&dir, "sub/top.qcow2");
}

#[test]
fn data_is_located_in_the_data_file() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "disk.qcow2", "8M"]);
    dir.io("disk.qcow2", &WRITES);
    agree(&dir, &[], "disk.qcow2");
    agree_in_text(&dir, "disk.qcow2");
}

#[test]
fn compressed_clusters_have_no_offset() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(2 << 20));
    for method in ["zlib", "zstd"] {
        let option = format!("compression_type={method}");
        dir.img(&["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", &option, "disk.raw", "disk.qcow2"]);
        agree(&dir, &[], "disk.qcow2");
        let run = dir.ok(&["map", "disk.qcow2"]);
        assert!(run.text().contains("encoded"), "{run:?}");
    }
}

#[test]
fn empty_range_gives_an_empty_list() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let rows = dir.ok(&["map", "--json", "--start-offset", "1M", "disk.raw"]).json();
    assert_eq!(rows, Value::Array(Vec::new()));
}

#[test]
fn totals_add_up_to_the_disk() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let totals = dir.ok(&["map", "--totals", "--json", "disk.qcow2"]).json();
    let bytes: u64 = totals.as_object().unwrap().values().map(|sum| sum["bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, 1 << 20);
    assert!(totals["compressed"]["bytes"].as_u64().unwrap() >= 1 << 16, "{totals}");
    let text = dir.ok(&["map", "--totals", "disk.qcow2"]);
    assert_eq!(text.text().lines().count(), totals.as_object().unwrap().len());
}

/// A VDI of `blocks` blocks of 512 bytes, all of which have the same place in the file.
fn vdi_with_many_rows(blocks: u32) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..40].copy_from_slice(b"<<< Oracle VM VirtualBox Disk Image >>>\n");
    let data = (1_u64 << 20) + 4 * u64::from(blocks);
    let data = u32::try_from(data.next_multiple_of(512)).unwrap();
    for (at, value) in [
        (64, 0xBEDA_107F),
        (68, 0x0001_0001),
        (72, 400),
        (76, 1),
        (340, 1 << 20),
        (344, data),
        (360, 512),
        (376, 512),
        (384, blocks),
        (388, blocks),
    ] {
        header[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
    }
    header[368..376].copy_from_slice(&(u64::from(blocks) * 512).to_le_bytes());
    header
}

#[cfg(target_os = "linux")]
#[test]
fn rows_of_a_hostile_image_are_printed_one_by_one_until_a_signal() {
    use std::io::Read;
    let dir = ScratchDir::new();
    dir.write("disk.vdi", &vdi_with_many_rows(500_000_000));
    let file = std::fs::OpenOptions::new().write(true).open(dir.path("disk.vdi")).unwrap();
    file.set_len(2_010_000_000).unwrap();
    for options in [&["--output=json"][..], &[]] {
        let mut child = dir.command(&[&["map", "disk.vdi"], options].concat()).spawn().unwrap();
        let mut rows = vec![0; 4 << 20];
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut rows).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kilobytes < 64 << 10, "{kilobytes} KiB");
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{options:?}");
    }
}
