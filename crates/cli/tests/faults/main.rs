//! Each system call of a conversion fails, or is the point of a SIGKILL. Afterwards the old image is whole, or nothing
//! opens under the name of the target; after success the target is complete.
//!
//! `strace` injects the faults. A sample of the calls runs by default; `DISKIMG_FAULTS=all` runs every call. The
//! scratch directories are in `TMPDIR`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]

mod content;
mod rule;
mod scenario;
mod strace;

use content::DiskContent;
use scenario::{Scenario, Target};

/// A disk of 1 MiB with zeros and data.
fn disk() -> Vec<u8> {
    content::noise(1 << 20, 1)
}

const SPLIT: &str = "subformat=twoGbMaxExtentSparse";
const FLAT: &str = "subformat=monolithicFlat";
const SPLIT_FLAT: &str = "subformat=twoGbMaxExtentFlat";

#[test]
fn new_file_is_whole_or_absent() {
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        let mut scenario = Scenario::new(&format!("new {format}"), Target::File(format));
        scenario.source(&disk());
        scenario.convert(&["-O", format, "disk.raw", "target"]);
        scenario.run();
    }
}

#[test]
fn file_of_several_threads_is_whole_or_absent() {
    let mut scenario = Scenario::new("compressed by 4 threads", Target::File("qcow2"));
    scenario.source(&disk());
    scenario.convert_with_threads("4", &["-c", "-O", "qcow2", "disk.raw", "target"]);
    scenario.run();
}

#[test]
fn replaced_file_is_whole() {
    for format in ["raw", "qcow2"] {
        let mut scenario = Scenario::new(&format!("replaced {format}"), Target::File(format));
        scenario.old_image(format, &[], 1 << 20);
        scenario.source(&disk());
        scenario.convert(&["--force", "-O", format, "disk.raw", "target"]);
        scenario.run();
    }
}

#[test]
fn new_image_of_several_files_is_whole_or_absent() {
    for subformat in [SPLIT, FLAT] {
        let mut scenario = Scenario::new(&format!("new {subformat}"), Target::File("vmdk"));
        scenario.large_source(5 << 30);
        scenario.convert(&["-O", "vmdk", "-o", subformat, "disk.raw", "target"]);
        scenario.run();
    }
}

#[test]
fn replaced_image_of_several_files_is_whole_or_opens_nowhere() {
    for (old, new) in [(SPLIT, SPLIT), (SPLIT_FLAT, SPLIT_FLAT), (FLAT, FLAT), (SPLIT, FLAT)] {
        let mut scenario = Scenario::new(&format!("{old} by {new}"), Target::File("vmdk"));
        scenario.old_image("vmdk", &["-o", old], 5 << 30);
        scenario.large_source(3 << 30);
        scenario.convert(&["--force", "-O", "vmdk", "-o", new, "disk.raw", "target"]);
        scenario.run();
    }
}

#[test]
fn image_that_replaces_one_of_another_number_of_files_is_whole() {
    let mut scenario = Scenario::new("split by one file", Target::File("vmdk"));
    scenario.old_image("vmdk", &["-o", SPLIT], 5 << 30);
    scenario.source(&disk());
    scenario.convert(&["--force", "-O", "vmdk", "disk.raw", "target"]);
    scenario.run();
    let mut scenario = Scenario::new("one file by split", Target::File("vmdk"));
    scenario.old_image("vmdk", &[], 1 << 20);
    scenario.large_source(3 << 30);
    scenario.convert(&["--force", "-O", "vmdk", "-o", SPLIT, "disk.raw", "target"]);
    scenario.run();
}

#[test]
fn target_is_whole_where_every_file_has_a_name() {
    let mut scenario = Scenario::new("replaced qcow2, named", Target::File("qcow2"));
    scenario.old_image("qcow2", &[], 1 << 20);
    scenario.source(&disk());
    scenario.convert(&["--force", "-O", "qcow2", "disk.raw", "target"]);
    scenario.without_nameless_files();
    scenario.run();
    let mut scenario = Scenario::new("split by split, named", Target::File("vmdk"));
    scenario.old_image("vmdk", &["-o", SPLIT], 5 << 30);
    scenario.large_source(3 << 30);
    scenario.convert(&["--force", "-O", "vmdk", "-o", SPLIT, "disk.raw", "target"]);
    scenario.without_nameless_files();
    scenario.run();
}

#[test]
fn target_is_whole_where_files_cannot_be_exchanged() {
    let mut scenario = Scenario::new("replaced qcow2, no exchange", Target::File("qcow2"));
    scenario.old_image("qcow2", &[], 1 << 20);
    scenario.source(&disk());
    scenario.convert(&["--force", "-O", "qcow2", "disk.raw", "target"]);
    scenario.without_rename_flags();
    scenario.run();
    let mut scenario = Scenario::new("split by split, no exchange", Target::File("vmdk"));
    scenario.old_image("vmdk", &["-o", SPLIT], 5 << 30);
    scenario.large_source(3 << 30);
    scenario.convert(&["--force", "-O", "vmdk", "-o", SPLIT, "disk.raw", "target"]);
    scenario.without_rename_flags();
    scenario.run();
}

#[test]
fn directory_that_may_not_be_opened_is_synced_with_its_file_system() {
    for force in [&[][..], &["--force"]] {
        let mut scenario = Scenario::new("unreadable directory", Target::File("qcow2"));
        if !force.is_empty() {
            scenario.old_image("qcow2", &[], 1 << 20);
        }
        scenario.source(&disk());
        scenario.convert(&[force, &["-O", "qcow2", "disk.raw", "target"]].concat());
        scenario.run_without_last("openat", "EACCES");
    }
}

#[test]
fn raw_file_written_in_place_is_whole_or_has_no_head() {
    for size in [2 << 20, 3 << 20] {
        let mut scenario = Scenario::new(&format!("raw in place of {size}"), Target::InPlace);
        scenario.old_bytes(&vec![0xEE; size]);
        scenario.source(&content::noise(2 << 20, 1));
        scenario.convert(&["-n", "-O", "raw", "disk.raw", "target"]);
        scenario.run();
    }
}

#[test]
fn image_written_in_place_is_whole_or_opens_nowhere() {
    for (format, options) in [("qcow2", &[][..]), ("vdi", &[]), ("vmdk", &[]), ("vmdk", &["-o", FLAT])] {
        let mut scenario = Scenario::new(&format!("{format} {options:?} in place"), Target::File(format));
        scenario.empty_image(format, options, 1 << 20);
        scenario.source(&disk());
        scenario.convert(&["-n", "-O", format, "disk.raw", "target"]);
        scenario.run();
    }
}

#[test]
fn device_has_the_whole_disk_or_no_head() {
    let Some(device) = scenario::LoopDevice::new(4 << 20) else { return };
    for (format, force) in [("raw", &[][..]), ("raw", &["-n"]), ("qcow2", &["--force"])] {
        let target =
            if format == "raw" { Target::RawDevice(&device) } else { Target::Device(format, &device) };
        let mut scenario = Scenario::new(&format!("{format} {force:?} on a device"), target);
        scenario.old_bytes(&content::noise(4 << 20, 9));
        scenario.source(&content::noise(2 << 20, 1));
        scenario.convert(&[force, &["-O", format, "disk.raw", device.name()]].concat());
        scenario.run();
    }
}

#[test]
fn stream_becomes_a_whole_file_or_none() {
    for format in ["raw", "qcow2"] {
        let mut scenario = Scenario::new(&format!("stream to {format}"), Target::File(format));
        scenario.source(&disk());
        scenario.compress_source();
        scenario.convert(&["-f", "raw", "-O", format, "-", "target"]);
        scenario.run();
    }
    let mut scenario = Scenario::new("stream in place", Target::InPlace);
    scenario.old_bytes(&[0xEE; 3 << 20]);
    scenario.source(&content::noise(2 << 20, 1));
    scenario.compress_source();
    scenario.convert(&["-n", "-f", "raw", "-O", "raw", "-", "target"]);
    scenario.run();
}

#[test]
fn pipe_receives_the_whole_disk_or_the_command_fails() {
    let mut scenario = Scenario::new("pipe", Target::Stdout);
    scenario.source(&disk());
    scenario.convert(&["-O", "raw", "disk.raw", "-"]);
    scenario.run();
}

#[test]
fn disk_content_distinguishes_disks() {
    let (one, other) = (content::noise(1 << 20, 1), content::noise(1 << 20, 2));
    assert_eq!(DiskContent::of_bytes(&one), DiskContent::of_bytes(&one));
    assert_ne!(DiskContent::of_bytes(&one), DiskContent::of_bytes(&other));
}
