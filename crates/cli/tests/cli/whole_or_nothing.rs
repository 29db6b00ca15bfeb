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
struct LoopDevice(PathBuf);

impl LoopDevice {
    /// `None` if the system allows no loop device: most containers forbid it.
    fn over(dir: &ScratchDir, name: &str) -> Option<Self> {
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

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn read(&self, len: usize) -> Vec<u8> {
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
