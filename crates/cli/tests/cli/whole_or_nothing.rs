//! A target that is not finished: no image opens under its name, or the old one is whole.
#![cfg(unix)]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tools::{ScratchDir, mixed_disk};

/// A loop device over a file of the directory.
pub(crate) struct LoopDevice(PathBuf);

impl LoopDevice {
    /// `None` if the system allows no loop device: most containers forbid it.
    pub(crate) fn over(dir: &ScratchDir, name: &str) -> Option<Self> {
        let made = Command::new("losetup").args(["--find", "--show"]).arg(dir.path(name)).output();
        match made {
            Ok(output) if output.status.success() => {
                Some(Self(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())))
            }
            _ => {
                eprintln!("skipped: no loop device can be set up here");
                None
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub(crate) fn read(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        File::open(&self.0).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

const HEAD: usize = 1 << 20;
const TAIL: usize = 64 << 10;

/// Starts a conversion of a raw disk whose stream stalls, and waits until it has begun to write `target`.
fn stalled_over(dir: &ScratchDir, target: &str, read: &dyn Fn() -> Vec<u8>) -> (Child, ChildStdin) {
    let args = ["convert", "-f", "raw", "-O", "raw", "-n", "-", target];
    let mut child = dir.command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&mixed_disk(3 << 20)).unwrap();
    let started = Instant::now();
    while read()[HEAD] == 0xEE {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing is written");
        std::thread::sleep(Duration::from_millis(10));
    }
    (child, stdin)
}

fn assert_nothing_opens(left: &[u8]) {
    assert!(left[..HEAD].iter().all(|byte| *byte == 0), "a head is left");
    assert!(left[left.len() - TAIL..].iter().all(|byte| *byte == 0), "a tail is left");
}

#[test]
fn killed_conversion_in_place_leaves_neither_head_nor_tail() {
    let dir = ScratchDir::new();
    dir.write("target", &[0xEE; 4 << 20]);
    let (mut child, _open) = stalled_over(&dir, "target", &|| dir.read("target"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(dir.read("target").len(), 4 << 20);
    assert_nothing_opens(&dir.read("target"));
}

#[test]
fn failed_conversion_in_place_leaves_neither_head_nor_tail() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(3 << 20));
    dir.write("target", &[0xEE; 4 << 20]);
    let compressed = Command::new("gzip").arg("-c").arg(dir.path("disk.raw")).output().unwrap().stdout;
    // The checksum at the end is wrong.
    let truncated = [&compressed[..compressed.len() - 8], &[0; 8][..]].concat();
    let args = ["convert", "-f", "raw", "-O", "raw", "-n", "-", "target"];
    assert_eq!(dir.run_fed(&args, &truncated).code, 1);
    assert_nothing_opens(&dir.read("target"));
    assert_eq!(dir.run_fed(&args, &compressed).code, 0);
    let written = dir.read("target");
    assert!(written[..3 << 20] == dir.read("disk.raw"));
    assert!(written[3 << 20..].iter().all(|byte| *byte == 0xEE) || written[(4 << 20) - TAIL..] == [0; TAIL]);
}

#[test]
fn killed_conversion_onto_a_device_leaves_neither_head_nor_tail() {
    let dir = ScratchDir::new();
    dir.write("medium", &[0xEE; 4 << 20]);
    let Some(device) = LoopDevice::over(&dir, "medium") else { return };
    let (mut child, _open) = stalled_over(&dir, device.name(), &|| device.read(4 << 20));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_nothing_opens(&device.read(4 << 20));
}

#[test]
fn device_has_the_whole_image_after_success() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(3 << 20);
    dir.write("disk.raw", &disk);
    dir.write("medium", &[0xEE; 8 << 20]);
    let Some(device) = LoopDevice::over(&dir, "medium") else { return };
    dir.ok(&["convert", "-O", "raw", "disk.raw", device.name()]);
    let written = device.read(8 << 20);
    assert!(written[..3 << 20] == disk);
    assert!(written[3 << 20..].iter().all(|byte| *byte == 0xEE), "the rest of the device is as before");
    for format in ["qcow2", "vdi", "vmdk"] {
        dir.ok(&["convert", "--force", "-O", format, "disk.raw", device.name()]);
        let out = dir.ok(&["cat", "-f", format, device.name()]);
        assert!(out.stdout == disk, "{format}");
    }
}

/// Creates a split image of `size` with this data at its beginning.
fn split_image(dir: &ScratchDir, name: &str, size: u64, data: &[u8]) {
    let raw = File::create(dir.path("source.raw")).unwrap();
    raw.set_len(size).unwrap();
    raw.write_all_at(data, 0).unwrap();
    let options = ["-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"];
    dir.ok(&[&["convert", "--force"], &options[..], &["source.raw", name]].concat());
    std::fs::remove_file(dir.path("source.raw")).unwrap();
}

fn first_megabyte(dir: &ScratchDir, name: &str) -> Vec<u8> {
    dir.ok(&["cat", "--follow", "--length", "1M", name]).stdout
}

#[test]
fn replaced_split_image_loses_its_extents_and_no_other_file() {
    let dir = ScratchDir::new();
    split_image(&dir, "disk.vmdk", 5 << 30, &[1; 1 << 20]);
    for other in ["disk-s004.vmdk", "disk-flat.vmdk", "disk-data.vmdk", "other-s001.vmdk"] {
        dir.write(other, b"kept");
    }
    split_image(&dir, "disk.vmdk", 3 << 30, &[2; 1 << 20]);
    let others = ["disk-data.vmdk", "disk-flat.vmdk"];
    let rest = ["disk-s004.vmdk", "disk.vmdk", "other-s001.vmdk"];
    assert_eq!(dir.names(), [&others[..], &["disk-s001.vmdk", "disk-s002.vmdk"], &rest].concat());
    assert!(first_megabyte(&dir, "disk.vmdk") == [2; 1 << 20]);

    dir.write("one.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "--force", "-O", "vmdk", "one.raw", "disk.vmdk"]);
    assert_eq!(dir.names(), [&others[..], &rest[..2], &["one.raw"], &rest[2..]].concat());
    assert!(first_megabyte(&dir, "disk.vmdk") == mixed_disk(1 << 20));

    split_image(&dir, "disk.vmdk", 3 << 30, &[3; 1 << 20]);
    assert!(first_megabyte(&dir, "disk.vmdk") == [3; 1 << 20]);
    dir.ok(&["convert", "--force", "-O", "qcow2", "one.raw", "disk.vmdk"]);
    assert_eq!(dir.names(), [&others[..], &rest[..2], &["one.raw"], &rest[2..]].concat());
}

#[test]
fn old_descriptor_removes_no_file_that_is_not_named_after_it() {
    let dir = ScratchDir::new();
    std::fs::create_dir(dir.path("inner")).unwrap();
    let victims = ["important.raw", "disk-data.vmdk", "other-s001.vmdk", "inner/disk-s001.vmdk"];
    let mut descriptor = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
                          createType=\"twoGbMaxExtentFlat\"\n"
        .to_owned();
    for name in victims {
        dir.write(name, &[7; 4096]);
        descriptor.push_str(&format!("RW 8 FLAT \"{name}\" 0\n"));
    }
    std::os::unix::fs::symlink(dir.path("important.raw"), dir.path("disk-f001.vmdk")).unwrap();
    descriptor.push_str("RW 8 FLAT \"disk-f001.vmdk\" 0\n");
    dir.write("disk.vmdk", descriptor.as_bytes());
    dir.write("one.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "--force", "-O", "vmdk", "one.raw", "disk.vmdk"]);
    assert!(victims.iter().all(|name| dir.read(name) == [7; 4096]));
    assert!(dir.exists("disk-f001.vmdk"));
}

#[test]
fn extent_of_the_replaced_image_is_not_the_source() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("one.raw", &disk);
    dir.ok(&["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "one.raw", "disk.vmdk"]);
    let args = ["convert", "--force", "-f", "raw", "-O", "vmdk", "disk-flat.vmdk", "disk.vmdk"];
    dir.run(&args).fails_with(1, &["disk-flat.vmdk'", "its own source"]);
    assert!(dir.read("disk-flat.vmdk") == disk);
}

#[test]
fn split_image_at_the_end_of_a_link_has_its_extents_beside_it() {
    let dir = ScratchDir::new();
    std::fs::create_dir(dir.path("store")).unwrap();
    dir.write("store/disk.vmdk", b"old");
    std::os::unix::fs::symlink(dir.path("store/disk.vmdk"), dir.path("link.vmdk")).unwrap();
    split_image(&dir, "link.vmdk", 1 << 20, &[4; 1 << 20]);
    assert_eq!(dir.names(), ["link.vmdk", "store"]);
    assert!(first_megabyte(&dir, "store/disk.vmdk") == [4; 1 << 20]);
    assert!(dir.exists("store/disk-s001.vmdk"));
}

#[test]
fn image_with_a_file_that_cannot_be_replaced_stays_whole() {
    let dir = ScratchDir::new();
    split_image(&dir, "disk.vmdk", 3 << 30, &[1; 1 << 20]);
    let attribute = |how: &str, name: &str| {
        let done = Command::new("chattr").arg(how).arg(dir.path(name)).output();
        done.is_ok_and(|output| output.status.success())
    };
    dir.write("one.raw", &mixed_disk(1 << 20));
    for name in ["disk.vmdk", "disk-s001.vmdk", "disk-s002.vmdk"] {
        if !attribute("+i", name) {
            eprintln!("skipped: no file can be made immutable here");
            return;
        }
        for subformat in ["twoGbMaxExtentSparse", "monolithicSparse", "monolithicFlat"] {
            let option = format!("subformat={subformat}");
            let run = dir.run(&["convert", "--force", "-O", "vmdk", "-o", &option, "one.raw", "disk.vmdk"]);
            let names = dir.names();
            assert_eq!(run.code, 1, "{name} {subformat}: {run:?}");
            assert!(first_megabyte(&dir, "disk.vmdk") == [1; 1 << 20], "{name} {subformat}");
            assert_eq!(names, ["disk-s001.vmdk", "disk-s002.vmdk", "disk.vmdk", "one.raw"], "{subformat}");
        }
        assert!(attribute("-i", name));
    }
}
