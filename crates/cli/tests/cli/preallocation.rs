//! Reserved space and stored zeros: `-o preallocation`, `-S 0`, `-o nocow`, cache modes that write through.
#![cfg(target_os = "linux")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::tools::{ScratchDir, mixed_disk};

fn allocated(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

/// Returns true if `qemu-img` finds data in the whole disk.
fn is_all_data(dir: &ScratchDir, format: &str, name: &str) -> bool {
    let map: Value = serde_json::from_str(&dir.img(&["map", "--output=json", "-f", format, name])).unwrap();
    map.as_array().unwrap().iter().all(|extent| extent["data"] == true && extent["zero"] == false)
}

#[test]
fn preallocated_qcow2_has_space_for_every_cluster() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(4 << 20));
    dir.img(&["create", "-q", "zeros.raw", "4M"]);
    for mode in ["falloc", "full"] {
        for more in ["", ",extended_l2=on", ",cluster_size=2M", ",cluster_size=512", ",compat=0.10"] {
            let options = format!("preallocation={mode}{more}");
            dir.ok(&["create", "--force", "-f", "qcow2", "-o", &options, "new.qcow2", "4M"]);
            dir.ok(&["convert", "--force", "-O", "qcow2", "-o", &options, "disk.raw", "disk.qcow2"]);
            dir.settle();
            for (image, content) in [("new.qcow2", "zeros.raw"), ("disk.qcow2", "disk.raw")] {
                let len = dir.path(image).metadata().unwrap().len();
                assert!(allocated(&dir.path(image)) >= len && len > 4 << 20, "{options} {image} {len}");
                dir.img(&["check", "-q", image]);
                dir.img(&["compare", "-q", "-F", "raw", image, content]);
                let check = dir.ok(&["check", "--json", image]).json();
                assert_eq!(check["allocated-clusters"], check["total-clusters"], "{options} {image}");
                assert!(more == ",extended_l2=on" || is_all_data(&dir, "qcow2", image), "{options} {image}");
                assert_eq!(dir.ok(&["compare", image, content, "-f", "qcow2", "-F", "raw"]).code, 0);
            }
        }
        let options = format!("preallocation={mode}");
        for source in [&["--size", "1G"][..], &["-f", "raw", "disk.raw"]] {
            let args = [&["measure", "--output=json", "-O", "qcow2", "-o", &options], source].concat();
            let theirs: Value = serde_json::from_str(&dir.img(&args)).unwrap();
            assert_eq!(dir.ok(&args).json(), theirs, "{args:?}");
        }
    }
}

#[test]
fn preallocated_overlay_with_subclusters_reads_as_its_backing_file() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &mixed_disk(3 << 20));
    for mode in ["metadata", "falloc", "full"] {
        let options = format!("extended_l2=on,cluster_size=128k,preallocation={mode}");
        let below = ["-F", "raw", "-b", "base.raw"];
        dir.ok(&[&["create", "--force", "-f", "qcow2", "-o", &options], &below[..], &["top.qcow2", "4M"]]
            .concat());
        dir.img(&["check", "-q", "top.qcow2"]);
        dir.img(&["compare", "-q", "-F", "raw", "top.qcow2", "base.raw"]);
        assert_eq!(dir.ok(&["compare", "--follow", "-F", "raw", "top.qcow2", "base.raw"]).code, 0, "{mode}");
        assert!(dir.path("top.qcow2").metadata().unwrap().len() > 4 << 20);
        assert!(mode == "metadata" || allocated(&dir.path("top.qcow2")) > 4 << 20, "{mode}");
        // Data and zeros that are written hide the backing file.
        dir.write("other.raw", &[vec![0; 1 << 20], vec![5; 100_000], vec![0; 1000]].concat());
        let backed = format!("{options},backing_file=base.raw,backing_fmt=raw");
        dir.ok(&["convert", "--force", "-f", "raw", "-O", "qcow2", "-o", &backed, "other.raw", "full.qcow2"]);
        dir.img(&["check", "-q", "full.qcow2"]);
        dir.img(&["compare", "-q", "-F", "raw", "full.qcow2", "other.raw"]);
        for args in [
            [&["create", "-f", "qcow2", "-o", &format!("preallocation={mode}")], &below[..], &["no.qcow2"]]
                .concat(),
            vec!["convert", "-c", "-O", "qcow2", "-o", &options, "base.raw", "no.qcow2"],
        ] {
            let text = if args[0] == "create" {
                "Backing file and preallocation can only be used at the same time if extended_l2 is on"
            } else {
                "Compression and preallocation not supported at the same time"
            };
            dir.run(&args).fails_with(1, &[text]);
        }
    }
    assert!(!dir.exists("no.qcow2"));
}

#[test]
fn zeros_are_stored_in_every_format_on_request() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(4 << 20));
    dir.img(&["create", "-q", "-f", "qcow2", "hole.qcow2", "4M"]);
    for source in ["disk.raw", "hole.qcow2"] {
        for (format, options) in [
            ("raw", &[][..]),
            ("qcow2", &[]),
            ("qcow2", &["-o", "extended_l2=on"]),
            ("qcow2", &["-o", "compat=0.10,cluster_size=4k"]),
            ("vdi", &[]),
            ("vmdk", &[]),
            ("vmdk", &["-o", "subformat=monolithicFlat"]),
            ("vmdk", &["-o", "subformat=twoGbMaxExtentSparse"]),
        ] {
            let target = format!("out.{format}");
            dir.ok(&[&["convert", "--force", "-S", "0", "-O", format], options, &[source, &target]].concat());
            dir.settle();
            let what = format!("{source} {format} {options:?}");
            // The blocks of a raw file may be unwritten, which QEMU reports as zeros.
            assert!(format == "raw" || is_all_data(&dir, format, &target), "{what}");
            dir.img(&["compare", "-q", "-F", format, source, &target]);
            let stored: u64 = dir
                .names()
                .iter()
                .filter(|name| name.starts_with("out"))
                .map(|name| allocated(&dir.path(name)))
                .sum();
            assert!(stored >= 4 << 20, "{what}: {stored}");
            for name in dir.names().iter().filter(|name| name.starts_with("out")) {
                std::fs::remove_file(dir.path(name)).unwrap();
            }
        }
    }
    dir.ok(&["convert", "-S", "0", "-c", "-O", "qcow2", "hole.qcow2", "small.qcow2"]);
    assert!(is_all_data(&dir, "qcow2", "small.qcow2"));
    dir.ok(&[
        "convert",
        "-S",
        "0",
        "-O",
        "vmdk",
        "-o",
        "subformat=streamOptimized",
        "hole.qcow2",
        "small.vmdk",
    ]);
    assert!(is_all_data(&dir, "vmdk", "small.vmdk"));
    dir.img(&["compare", "-q", "small.vmdk", "hole.qcow2"]);
}

#[test]
fn streamed_source_stores_zeros_on_request() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(4 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = dir.read("disk.qcow2");
    for more in [&["-S", "0"][..], &["-S", "0", "--no-spool"], &["-S", "0", "-o", "preallocation=full"]] {
        let run = dir.run_fed(&[&["convert", "--force"], more, &["-", "out.raw"]].concat(), &image);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{more:?}");
        dir.settle();
        assert!(dir.read("out.raw") == disk, "{more:?}");
        assert!(allocated(&dir.path("out.raw")) >= 4 << 20, "{more:?}");
    }
}

#[test]
fn space_cannot_be_reserved_in_a_stream() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for mode in ["falloc", "full"] {
        let option = format!("preallocation={mode}");
        let text = format!("Unsupported preallocation mode '{mode}'");
        dir.run(&["convert", "-o", &option, "disk.raw", "-"]).fails_with(1, &[&text]);
        dir.run_fed(&["convert", "-f", "raw", "-o", &option, "-", "-"], b"any").fails_with(1, &[&text]);
        dir.run(&["create", "-o", &option, "-", "1M"]).fails_with(1, &[&text]);
    }
    assert_eq!(dir.ok(&["convert", "-o", "preallocation=off", "disk.raw", "-"]).stdout.len(), 1 << 20);
}

#[test]
fn cache_mode_that_writes_through_waits_after_each_write() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    for mode in ["writeback", "writethrough", "directsync", "none", "off", "unsafe"] {
        for format in ["raw", "qcow2"] {
            let target = format!("{mode}.{format}");
            dir.ok(&["convert", "-t", mode, "-T", mode, "-O", format, "disk.raw", &target]);
            assert_eq!(
                dir.ok(&["compare", "-f", "raw", "-F", format, "disk.raw", &target]).code,
                0,
                "{target}"
            );
        }
        let traced = Command::new("strace")
            .args(["-f", "-y", "-e", "trace=write,pwrite64,pwritev2,fdatasync", "-o", "trace"])
            .arg(assert_cmd::cargo::cargo_bin!("diskimg"))
            .args(["convert", "--force", "-t", mode, "disk.raw", "traced.raw"])
            .current_dir(dir.path(""))
            .status();
        if !traced.is_ok_and(|status| status.success()) {
            eprintln!("skipped: strace cannot trace the command here");
            continue;
        }
        let trace = String::from_utf8(dir.read("trace")).unwrap();
        let count = |call: &str| trace.lines().filter(|line| line.contains(call)).count();
        let waits = count("RWF_DSYNC");
        assert_eq!(waits > 0, ["writethrough", "directsync"].contains(&mode), "{mode}: {waits}");
        assert!(waits == 0 || count("pwrite64(") == 0, "{mode}: {trace}");
    }
    assert_eq!(dir.run(&["convert", "-t", "sometimes", "disk.raw", "no.raw"]).code, 1);
}

/// A loop device over a file of 8 MiB.
struct LoopDevice {
    name: String,
    file: PathBuf,
}

impl LoopDevice {
    fn new(dir: &ScratchDir) -> Option<Self> {
        let file = dir.path("device");
        std::fs::File::create(&file).unwrap().set_len(8 << 20).unwrap();
        match Command::new("losetup").args(["--find", "--show"]).arg(&file).output() {
            Ok(made) if made.status.success() => {
                Some(Self { name: String::from_utf8(made.stdout).unwrap().trim().to_owned(), file })
            }
            _ => {
                eprintln!("skipped: no loop device can be set up here");
                None
            }
        }
    }

    /// Makes the device one hole that reads as zeros.
    fn discard(&self) {
        let punched = Command::new("fallocate").args(["-p", "-l", "8M"]).arg(&self.file).status().unwrap();
        assert!(punched.success());
        assert!(allocated(&self.file) < 1 << 20);
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.name).status();
    }
}

#[test]
fn device_has_all_blocks_of_the_disk_if_zeros_are_stored_or_space_is_reserved() {
    let dir = ScratchDir::new();
    let Some(device) = LoopDevice::new(&dir) else { return };
    let disk = mixed_disk(4 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["create", "-f", "qcow2", "hole.qcow2", "4M"]);
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let (image, zeros) = (dir.read("disk.qcow2"), vec![0; 4 << 20]);
    for options in [
        &["-S", "0"][..],
        &["-n", "-S", "0"],
        &["-n", "--target-is-zero", "-S", "0"],
        &["-S", "0", "-t", "directsync"],
        &["-o", "preallocation=falloc"],
        &["-o", "preallocation=full"],
    ] {
        for source in ["hole.qcow2", "disk.raw", "disk.qcow2", "-"] {
            device.discard();
            let args = [&["convert"], options, &[source, &device.name]].concat();
            let run = if source == "-" { dir.run_fed(&args, &image) } else { dir.run(&args) };
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
            dir.settle();
            let expected = if source == "hole.qcow2" { &zeros } else { &disk };
            assert!(dir.read("device")[..4 << 20] == expected[..], "{args:?}");
            let blocks = allocated(&device.file);
            assert!((4 << 20..8 << 20).contains(&blocks), "{args:?}: {blocks}");
        }
    }
    for options in [&["-S", "0"][..], &["-o", "preallocation=falloc"], &["-o", "preallocation=full"]] {
        device.discard();
        dir.ok(&[&["convert", "-O", "qcow2"], options, &["hole.qcow2", &device.name]].concat());
        dir.settle();
        assert!(allocated(&device.file) > 4 << 20, "{options:?}");
    }
    device.discard();
    dir.ok(&["convert", "hole.qcow2", &device.name]);
    assert!(allocated(&device.file) < 1 << 20, "zeros are holes by default");
}

#[test]
fn old_bytes_of_a_device_are_never_part_of_the_disk() {
    let dir = ScratchDir::new();
    let Some(device) = LoopDevice::new(&dir) else { return };
    let disk = mixed_disk(4 << 20);
    dir.write("disk.raw", &disk);
    for format in ["qcow2", "vmdk", "vdi"] {
        dir.ok(&["convert", "-O", format, "disk.raw", &format!("disk.{format}")]);
    }
    let image = dir.read("disk.qcow2");
    for source in ["disk.raw", "disk.qcow2", "disk.vmdk", "disk.vdi", "-"] {
        for (format, options) in
            [("raw", &[][..]), ("raw", &["-n"]), ("qcow2", &[]), ("qcow2", &["-o", "preallocation=metadata"])]
        {
            std::fs::write(&device.name, vec![0xee; 8 << 20]).unwrap();
            let args = [&["convert", "-O", format], options, &[source, &device.name]].concat();
            let run = if source == "-" { dir.run_fed(&args, &image) } else { dir.run(&args) };
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
            let read = dir.ok(&["cat", "-f", format, "--length", "4M", &device.name]).stdout;
            assert!(read == disk, "{args:?}");
        }
    }
}

#[test]
fn copy_on_write_is_turned_off_on_btrfs_and_accepted_elsewhere() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        dir.ok(&["create", "-f", format, "-o", "nocow=on", &format!("new.{format}"), "1M"]);
        dir.ok(&["convert", "-O", format, "-o", "nocow=off", "disk.raw", &format!("off.{format}")]);
        dir.run(&["create", "-f", format, "-o", "nocow=maybe", "no", "1M"])
            .fails_with(1, &["nocow", "on or off"]);
    }
    dir.write("btrfs", b"");
    std::fs::File::options().write(true).open(dir.path("btrfs")).unwrap().set_len(128 << 20).unwrap();
    std::fs::create_dir(dir.path("mounted")).unwrap();
    let did = |program: &str, args: &[&str]| {
        Command::new(program)
            .args(args)
            .current_dir(dir.path(""))
            .output()
            .is_ok_and(|it| it.status.success())
    };
    if !did("mkfs.btrfs", &["-q", "btrfs"]) || !did("mount", &["-o", "loop", "btrfs", "mounted"]) {
        eprintln!("skipped: no btrfs can be made and mounted here");
        return;
    }
    let mut flags = Vec::new();
    for option in ["nocow=on", "nocow=off"] {
        for format in ["raw", "qcow2"] {
            let target = format!("mounted/{option}.{format}");
            dir.run(&["convert", "-O", format, "-o", option, "disk.raw", &target]);
            let listed = Command::new("lsattr")
                .arg(dir.path(&target))
                .output()
                .map(|it| it.stdout)
                .unwrap_or_default();
            let listed = String::from_utf8(listed).unwrap();
            flags.push((target, listed.split(' ').next().unwrap_or_default().contains('C')));
        }
    }
    assert!(did("umount", &["mounted"]));
    for (target, is_set) in flags {
        assert_eq!(is_set, target.contains("nocow=on"), "{target}");
    }
}
