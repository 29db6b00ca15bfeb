//! Targets that exist: what they are and how large they are is known before the first byte is written.
#![cfg(unix)]

use std::process::Command;

use crate::tools::{RunResult, ScratchDir, mixed_disk};
use crate::whole_or_nothing::LoopDevice;

/// The size of the disk: whole sectors, and not whole blocks or clusters.
const SIZE: usize = (2 << 20) + 1536;

/// The sources: an image of each format and layout, as a file, compressed, and as both in a pipe.
const SOURCES: [&str; 7] =
    ["disk.raw", "disk.qcow2", "c.qcow2", "disk.vdi", "static.vdi", "disk.vmdk", "so.vmdk"];

/// The ways in which a source is read.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Way {
    File,
    Compressed,
    Pipe,
    CompressedPipe,
}

const WAYS: [Way; 4] = [Way::File, Way::Compressed, Way::Pipe, Way::CompressedPipe];

fn with_sources() -> (ScratchDir, Vec<u8>) {
    let (dir, disk) = (ScratchDir::new(), mixed_disk(SIZE));
    dir.write("disk.raw", &disk);
    let options: [(&str, &[&str]); 6] = [
        ("disk.qcow2", &["-O", "qcow2"]),
        ("c.qcow2", &["-c", "-O", "qcow2"]),
        ("disk.vdi", &["-O", "vdi"]),
        ("static.vdi", &["-O", "vdi", "-o", "static=on"]),
        ("disk.vmdk", &["-O", "vmdk"]),
        ("so.vmdk", &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
    ];
    for (name, options) in options {
        dir.ok(&[&["convert"], options, &["disk.raw", name]].concat());
    }
    for name in SOURCES {
        assert!(Command::new("gzip").arg("-k").arg(dir.path(name)).status().unwrap().success());
    }
    (dir, disk)
}

/// Converts a source to a target.
fn convert(dir: &ScratchDir, options: &[&str], (source, way): (&str, Way), target: &str) -> RunResult {
    let packed = format!("{source}.gz");
    let (name, is_piped) = match way {
        Way::File => (source, false),
        Way::Compressed => (packed.as_str(), false),
        Way::Pipe => (source, true),
        Way::CompressedPipe => (packed.as_str(), true),
    };
    let args = [&["convert"], options, &[if is_piped { "-" } else { name }, target]].concat();
    if is_piped { dir.run_fed(&args, &dir.read(name)) } else { dir.run(&args) }
}

/// Returns true if the size of the disk is known before the first byte is written: not for a stream of raw bytes.
fn is_size_known(source: &str, way: Way) -> bool {
    source != "disk.raw" || way == Way::File
}

/// Checks a run for a target that is too small by one sector.
#[track_caller]
fn refuses(run: &RunResult, sizes: [usize; 2], is_known: bool) {
    let [room, disk] = sizes.map(|size| size.to_string());
    if is_known {
        run.fails_with(1, &[&room, &disk]);
    } else {
        run.fails_with(1, &[&room, "the disk is larger", "bytes of the target were overwritten"]);
    }
}

#[test]
fn raw_file_keeps_its_size_and_the_rest_of_it() {
    let (dir, disk) = with_sources();
    for source in SOURCES {
        for way in WAYS {
            for room in [SIZE - 512, SIZE, SIZE + 70_000] {
                let old = vec![0xEE; room];
                dir.write("target", &old);
                let run = convert(&dir, &["-n", "-O", "raw"], (source, way), "target");
                let new = dir.read("target");
                assert_eq!(new.len(), room, "{source} {way:?}");
                if room < SIZE {
                    refuses(&run, [room, SIZE], is_size_known(source, way));
                    assert!(new == old || !is_size_known(source, way), "{source} {way:?}");
                } else {
                    assert_eq!(run.code, 0, "{source} {way:?}: {run:?}");
                    assert!(new[..SIZE] == disk && new[SIZE..] == old[SIZE..], "{source} {way:?} {room}");
                }
            }
        }
    }
}

#[test]
fn size_in_the_head_of_a_zstd_file_is_compared_with_the_target() {
    let (dir, disk) = (ScratchDir::new(), mixed_disk(SIZE));
    dir.write("disk.raw", &disk);
    match Command::new("zstd").args(["-q", "-k"]).arg(dir.path("disk.raw")).status() {
        Ok(packed) => assert!(packed.success()),
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "zstd is not installed, and CI must not skip");
            eprintln!("skipped: zstd is not installed");
            return;
        }
    }
    let two = dir.read("disk.raw.zst").repeat(2);
    dir.write("two.raw.zst", &two);
    let old = vec![0xEE; SIZE - 512];
    dir.write("target", &old);
    for (source, is_piped) in [("disk.raw.zst", false), ("disk.raw.zst", true), ("two.raw.zst", false)] {
        let args = ["convert", "-n", "-O", "raw", if is_piped { "-" } else { source }, "target"];
        let run = if is_piped { dir.run_fed(&args, &dir.read(source)) } else { dir.run(&args) };
        refuses(&run, [SIZE - 512, SIZE], true);
        assert!(dir.read("target") == old, "{source}");
    }
    // The first frame fits, and the second one does not.
    dir.write("target", &vec![0xEE; SIZE + 512]);
    dir.run(&["convert", "-n", "-O", "raw", "two.raw.zst", "target"]).fails_with(1, &["the disk is larger"]);
    dir.write("target", &vec![0xEE; 2 * SIZE]);
    dir.ok(&["convert", "-n", "-O", "raw", "two.raw.zst", "target"]);
    assert!(dir.read("target") == disk.repeat(2));
}

#[test]
fn image_that_is_too_small_is_unchanged() {
    let (dir, disk) = with_sources();
    for (format, options) in [("qcow2", ""), ("vdi", ""), ("vmdk", ""), ("vmdk", "subformat=monolithicFlat")]
    {
        for source in SOURCES {
            for way in WAYS {
                for room in [SIZE - 512, SIZE, SIZE + 70_144] {
                    let _ = std::fs::remove_file(dir.path("target"));
                    let size = room.to_string();
                    let options = if options.is_empty() { vec![] } else { vec!["-o", options] };
                    let create =
                        [&["create", "--force", "-f", format], &options[..], &["target", &size]].concat();
                    dir.ok(&create);
                    let old: Vec<_> = dir.names().iter().map(|name| dir.read(name)).collect();
                    let run = convert(&dir, &["-n", "-O", format], (source, way), "target");
                    if room < SIZE {
                        // A raw stream is stored in a temporary file first.
                        refuses(&run, [room, SIZE], true);
                        let new: Vec<_> = dir.names().iter().map(|name| dir.read(name)).collect();
                        assert!(new == old, "{format} {source} {way:?}");
                    } else {
                        assert_eq!(run.code, 0, "{format} {source} {way:?}: {run:?}");
                        let written = dir.ok(&["cat", "--follow", "target"]).stdout;
                        assert!(written[..SIZE] == disk, "{format} {source} {way:?}");
                        assert_eq!(written.len(), room);
                        assert!(written[SIZE..].iter().all(|byte| *byte == 0));
                    }
                }
            }
        }
    }
}

#[test]
fn device_keeps_the_bytes_past_the_disk() {
    let (dir, disk) = with_sources();
    for room in [SIZE - 512, SIZE, SIZE + 70_144] {
        dir.write("device", &vec![0xEE; room]);
        let Some(device) = LoopDevice::over(&dir, "device") else { return };
        for source in SOURCES {
            for way in WAYS {
                for options in [&["-O", "raw"][..], &["-n", "-O", "raw"]] {
                    let old = device.read(room);
                    let run = convert(&dir, options, (source, way), device.name());
                    let new = device.read(room);
                    if room < SIZE {
                        refuses(&run, [room, SIZE], is_size_known(source, way));
                        assert!(new == old || !is_size_known(source, way), "{source} {way:?} {options:?}");
                    } else {
                        assert_eq!(run.code, 0, "{source} {way:?} {options:?}: {run:?}");
                        assert!(new[..SIZE] == disk, "{source} {way:?} {options:?}");
                        assert!(new[SIZE..].iter().all(|byte| *byte == 0xEE), "{source} {way:?} {options:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn image_is_created_on_a_device_that_holds_none() {
    let dir = ScratchDir::new();
    for format in ["qcow2", "vdi", "vmdk"] {
        dir.write("device", &vec![0; 8 << 20]);
        let Some(device) = LoopDevice::over(&dir, "device") else { return };
        dir.run(&["create", "-f", "raw", device.name(), "1M"]).fails_with(1, &["--force"]);
        dir.ok(&["create", "-f", format, device.name(), "1M"]);
        assert!(dir.ok(&["cat", "-f", format, device.name()]).stdout == vec![0; 1 << 20], "{format}");
        dir.run(&["create", "-f", format, device.name(), "1M"]).fails_with(1, &["--force"]);
    }
}

#[test]
fn image_on_a_device_is_replaced_by_an_image_only_with_force() {
    let (dir, disk) = with_sources();
    for there in ["qcow2", "vdi", "vmdk"] {
        dir.write("device", &vec![0; 8 << 20]);
        let Some(device) = LoopDevice::over(&dir, "device") else { return };
        dir.ok(&["convert", "-O", there, "disk.raw", device.name()]);
        let old = device.read(8 << 20);
        for format in ["qcow2", "vdi", "vmdk"] {
            for source in ["disk.raw", "disk.qcow2"] {
                for way in WAYS {
                    let run = convert(&dir, &["-O", format], (source, way), device.name());
                    run.fails_with(1, &[there, "holds an image already", "hint: use --force"]);
                    assert!(device.read(8 << 20) == old, "{there} {format} {source} {way:?}");
                }
            }
            // In place it is not empty, or of another format.
            convert(&dir, &["-n", "-O", format], ("disk.raw", Way::File), device.name()).fails_with(1, &[]);
            assert!(device.read(8 << 20) == old, "{there} {format}");
            dir.run(&["create", "-f", format, device.name(), "1M"]).fails_with(1, &["--force"]);
        }
        let other = if there == "vdi" { "qcow2" } else { "vdi" };
        dir.ok(&["convert", "--force", "-O", other, "disk.raw", device.name()]);
        assert!(dir.ok(&["cat", "-f", other, device.name()]).stdout == disk);
        // A raw disk replaces it without.
        dir.ok(&["convert", "-O", "raw", "disk.raw", device.name()]);
        assert!(device.read(SIZE) == disk);
        dir.ok(&["convert", "-O", there, "disk.raw", device.name()]);
    }
}

#[test]
fn device_that_is_too_small_for_an_image_is_unchanged() {
    let dir = ScratchDir::new();
    dir.write("device", &vec![0xEE; 1 << 20]);
    std::fs::File::create(dir.path("large.raw")).unwrap().set_len(1 << 40).unwrap();
    let Some(device) = LoopDevice::over(&dir, "device") else { return };
    for (format, options) in
        [("qcow2", "cluster_size=4k"), ("vdi", "block_size=64k"), ("vmdk", "grain_size=4k")]
    {
        let args = ["convert", "-f", "raw", "-O", format, "-o", options, "large.raw", device.name()];
        dir.run(&args).fails_with(1, &[device.name(), "1048576 bytes long", "1099511627776"]);
        let create = ["create", "--force", "-f", format, "-o", options, device.name(), "1T"];
        dir.run(&create).fails_with(1, &[device.name(), "1048576 bytes long", "1099511627776"]);
        assert!(device.read(1 << 20) == vec![0xEE; 1 << 20], "{format}");
    }
}

#[test]
fn mounted_device_is_not_written() {
    let (dir, disk) = with_sources();
    dir.write("device", &vec![0; 4 << 20]);
    let Some(device) = LoopDevice::over(&dir, "device") else { return };
    let run = |tool: &str, args: &[&str]| Command::new(tool).args(args).status().is_ok_and(|s| s.success());
    std::fs::create_dir(dir.path("mounted")).unwrap();
    let mounted = dir.path("mounted").to_str().unwrap().to_owned();
    if !run("mkfs.ext4", &["-q", device.name()]) || !run("mount", &[device.name(), &mounted]) {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    let runs = [
        &["-O", "raw"][..],
        &["-n", "-O", "raw"],
        &["-O", "qcow2"],
        &["--force", "-O", "vdi"],
        &["-t", "none", "-O", "raw"],
    ]
    .map(|options| WAYS.map(|way| convert(&dir, options, ("disk.qcow2", way), device.name())));
    let created = dir.run(&["create", "--force", "-f", "qcow2", device.name(), "1M"]);
    // A mounted source is read.
    let read = dir.run(&["convert", "-O", "raw", device.name(), "copy"]);
    assert!(run("umount", &[&mounted]));
    for run in runs.as_flattened().iter().chain([&created]) {
        run.fails_with(1, &[device.name(), "the block device is busy"]);
    }
    assert_eq!(read.code, 0, "{read:?}");
    assert!(run("e2fsck", &["-fn", device.name()]), "the file system is whole");
    dir.ok(&["convert", "-O", "raw", "disk.raw", device.name()]);
    assert!(device.read(SIZE) == disk);
}

/// A disk of `size` bytes with a GPT.
fn gpt_disk(size: usize) -> Vec<u8> {
    let mut disk = mixed_disk(size);
    disk[446..510].fill(0);
    disk[450] = 0xEE;
    disk[454..458].copy_from_slice(&1_u32.to_le_bytes());
    disk[458..462].copy_from_slice(&u32::MAX.to_le_bytes());
    let last = size as u64 / 512 - 1;
    let header = &mut disk[512..604];
    header.fill(0);
    header[..8].copy_from_slice(b"EFI PART");
    header[12] = 92;
    header[24] = 1;
    header[32..40].copy_from_slice(&last.to_le_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(header);
    header[16..20].copy_from_slice(&crc.sum().to_le_bytes());
    disk
}

#[test]
fn raw_stream_whose_gpt_ends_past_the_target_is_refused_before_the_first_byte() {
    let (dir, size) = (ScratchDir::new(), 2 << 20);
    let disk = gpt_disk(size);
    dir.write("disk.raw", &disk);
    dir.write("disk.raw.gz", &crate::tools::gz(&disk));
    dir.write("backing", &vec![0xEE; size - 512]);
    let device = LoopDevice::over(&dir, "backing");
    for way in [Way::Compressed, Way::Pipe, Way::CompressedPipe] {
        for room in [size - 512, size, size + 512] {
            let old = vec![0xEE; room];
            dir.write("target", &old);
            let run = convert(&dir, &["-n", "-O", "raw"], ("disk.raw", way), "target");
            if room < size {
                refuses(&run, [room, size], true);
                assert!(dir.read("target") == old, "{way:?}");
            } else {
                assert_eq!(run.code, 0, "{way:?}: {run:?}");
                assert!(dir.read("target")[..size] == disk, "{way:?}");
            }
        }
        if let Some(device) = &device {
            let run = convert(&dir, &["-O", "raw"], ("disk.raw", way), device.name());
            refuses(&run, [size - 512, size], true);
            assert!(device.read(size - 512) == vec![0xEE; size - 512], "{way:?}");
        }
        // A new file and a table with a wrong checksum decide nothing.
        let run = convert(&dir, &["--force", "-O", "raw"], ("disk.raw", way), "new");
        assert_eq!(run.code, 0, "{run:?}");
    }
    let mut damaged = disk.clone();
    damaged[512 + 17] ^= 1;
    dir.write("target", &vec![0xEE; size - 512]);
    let run = dir.run_fed(&["convert", "-n", "-O", "raw", "-", "target"], &damaged);
    refuses(&run, [size - 512, size], false);
}

#[test]
fn raw_disk_over_an_image_in_a_file_is_written_with_a_warning() {
    let (dir, disk) = with_sources();
    for format in ["qcow2", "vdi", "vmdk", "raw"] {
        let size = (4 << 20).to_string();
        dir.ok(&["create", "--force", "-f", format, "-o", &format!("size={size}"), "target"]);
        std::fs::OpenOptions::new().write(true).open(dir.path("target")).unwrap().set_len(8 << 20).unwrap();
        let quiet = dir.run(&["convert", "-q", "-n", "-O", "raw", "disk.raw", "target"]);
        assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{format}");
        dir.ok(&["create", "--force", "-f", format, "-o", &format!("size={size}"), "target"]);
        std::fs::OpenOptions::new().write(true).open(dir.path("target")).unwrap().set_len(8 << 20).unwrap();
        let run = dir.run(&["convert", "-n", "-O", "raw", "disk.raw", "target"]);
        assert_eq!(run.code, 0, "{format}: {run:?}");
        let warning = format!(
            "diskimg: warning: target held an image ({format}), which the raw disk has overwritten\n"
        );
        assert_eq!(run.stderr, if format == "raw" { String::new() } else { warning }, "{format}");
        assert!(dir.read("target")[..SIZE] == disk, "{format}");
    }
    // Devices of virtual machines often hold an old header.
    dir.write("backing", &vec![0; 8 << 20]);
    let Some(device) = LoopDevice::over(&dir, "backing") else { return };
    dir.ok(&["convert", "--force", "-O", "qcow2", "disk.raw", device.name()]);
    dir.ok(&["convert", "-n", "-O", "raw", "disk.raw", device.name()]);
}
