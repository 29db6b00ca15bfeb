//! Images that other processes use. `qemu-io` is the running virtual machine: it holds the same locks.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tools::{ScratchDir, mixed_disk};
use crate::whole_or_nothing::LoopDevice;

const NOT_SHARED: &str = "Failed to get shared \"write\" lock";
const NOT_WRITTEN: &str = "Failed to get \"write\" lock";

/// The bytes that QEMU locks for reading and writing.
const READS: u64 = 100;
const WRITES: u64 = 101;

/// A process that has an image open for writing, until it is dropped.
struct Machine(Child);

impl Machine {
    fn start(dir: &ScratchDir, format: &str, image: &str) -> Self {
        let mut command = Command::new("qemu-io");
        command.current_dir(dir.path("")).args(["-f", format, image]);
        // It runs as long as its standard input is open.
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let machine = Self(child.unwrap());
        wait_for(|| is_locked(dir, image, WRITES));
        machine
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns true if a process has locked this byte of a file.
fn is_locked(dir: &ScratchDir, file: &str, byte: u64) -> bool {
    let inode = dir.path(file).metadata().unwrap().ino().to_string();
    // Each line ends with the device and inode, the first byte and the last one.
    std::fs::read_to_string("/proc/locks").unwrap().lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., id, first, last] = words.as_slice() else { return false };
        let range = first.parse().unwrap_or(u64::MAX)..=last.parse().unwrap_or(u64::MAX);
        id.rsplit(':').next() == Some(&inode) && range.contains(&byte)
    })
}

#[track_caller]
fn wait_for(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "nothing happened");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn named(image: &str) -> String {
    format!("Is another process using the image [{image}]?")
}

/// A qcow2 image with data.
fn with_disk() -> Option<ScratchDir> {
    let dir = ScratchDir::with_qemu()?;
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.img(&["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    Some(dir)
}

#[test]
fn image_of_a_running_machine_is_read_only_with_force_share() {
    let Some(dir) = with_disk() else { return };
    let machine = Machine::start(&dir, "qcow2", "disk.qcow2");
    let reading: [(&[&str], i32); 6] = [
        (&["convert", "disk.qcow2", "out.raw"], 1),
        (&["check", "disk.qcow2"], 1),
        (&["compare", "disk.qcow2", "disk.raw"], 2),
        (&["compare", "disk.raw", "disk.qcow2"], 2),
        (&["cat", "disk.qcow2"], 1),
        (&["measure", "-O", "raw", "disk.qcow2"], 1),
    ];
    for (args, code) in reading {
        let words = [NOT_SHARED, &named("disk.qcow2"), "hint: use -U"];
        let names = dir.names();
        dir.run(args).fails_with(code, &words);
        assert_eq!(dir.names(), names, "{args:?}");
        dir.ok(&[args, &["-U"]].concat());
    }
    assert!(dir.read("out.raw") == dir.read("disk.raw"));
    drop(machine);
    dir.ok(&["convert", "--force", "disk.qcow2", "out.raw"]);
}

#[test]
fn describing_an_image_of_a_running_machine_warns() {
    let Some(dir) = with_disk() else { return };
    let describing: [&[&str]; 5] = [
        &["info", "disk.qcow2"],
        &["info", "--output=json", "disk.qcow2"],
        &["probe", "disk.qcow2"],
        &["inspect", "disk.qcow2"],
        &["map", "disk.qcow2"],
    ];
    let free: Vec<_> =
        describing.iter().map(|args| String::from_utf8(dir.ok(args).stdout).unwrap()).collect();
    let _machine = Machine::start(&dir, "qcow2", "disk.qcow2");
    for (args, free) in describing.iter().zip(free) {
        let warned = dir.run(args);
        assert_eq!(warned.code, 0, "{warned:?}");
        let warning = format!("diskimg: warning: {NOT_SHARED}. {}\n", named("disk.qcow2"));
        assert_eq!(warned.stderr, warning, "{args:?}");
        if args.contains(&"--output=json") {
            assert_eq!(warned.json()["diskimg"]["in-use"], true);
        } else {
            // `info` also shows the time of the last change.
            assert_eq!(
                String::from_utf8(warned.stdout).unwrap().lines().count(),
                free.lines().count(),
                "{args:?}"
            );
        }
        for quiet in ["-U", "-q"] {
            assert_eq!(dir.run(&[args, &[quiet][..]].concat()).stderr, "", "{args:?}");
        }
    }
}

#[test]
fn compressed_image_that_a_process_writes_is_refused() {
    let Some(dir) = with_disk() else { return };
    dir.ok(&["convert", "-O", "raw", "disk.qcow2", "plain"]);
    let packed = Command::new("gzip").current_dir(dir.path("")).args(["-k", "plain"]).status();
    assert!(packed.unwrap().success());
    let _machine = Machine::start(&dir, "raw", "plain.gz");
    for args in [&["convert", "plain.gz", "out.raw"][..], &["cat", "plain.gz"], &["measure", "plain.gz"]] {
        dir.run(args).fails_with(1, &[NOT_SHARED, &named("plain.gz")]);
    }
    dir.ok(&["convert", "-U", "plain.gz", "out.raw"]);
}

#[test]
fn redirected_image_that_a_process_writes_is_refused() {
    let Some(dir) = with_disk() else { return };
    let _machine = Machine::start(&dir, "qcow2", "disk.qcow2");
    let run = |args: &[&str]| {
        let stdin = std::fs::File::open(dir.path("disk.qcow2")).unwrap();
        let output = dir.command(args).stdin(stdin).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let words = format!("{NOT_SHARED}. {}", named("standard input"));
    for args in [&["convert", "-", "out.raw"][..], &["cat", "-"]] {
        let (code, stderr) = run(args);
        assert!(code == Some(1) && stderr.contains(&words), "{args:?} {stderr}");
        assert_eq!(run(&[args, &["-U"]].concat()), (Some(0), String::new()), "{args:?}");
    }
    for args in [&["info", "-"][..], &["probe", "-"], &["inspect", "-"]] {
        assert_eq!(run(args), (Some(0), format!("diskimg: warning: {words}\n")), "{args:?}");
    }
}

#[test]
fn backing_file_of_a_running_machine_can_be_read() {
    let Some(dir) = with_disk() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "top.qcow2"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "other.qcow2"]);
    let _machine = Machine::start(&dir, "qcow2", "top.qcow2");
    dir.run(&["convert", "--follow", "top.qcow2", "out.raw"])
        .fails_with(1, &[NOT_SHARED, &named("top.qcow2")]);
    dir.ok(&["convert", "disk.qcow2", "out.raw"]);
    dir.ok(&["convert", "--force", "--follow", "other.qcow2", "out.raw"]);
    dir.ok(&["convert", "--force", "--parent", "disk.qcow2", "other.qcow2", "out.raw"]);
    dir.ok(&["check", "disk.qcow2"]);
    assert!(dir.read("out.raw") == dir.read("disk.raw"));
    // A new file in its place would be another parent for the machine when it starts again.
    let before = dir.read("disk.qcow2");
    let replacing = ["convert", "--force", "-O", "qcow2", "disk.raw", "disk.qcow2"];
    dir.run(&replacing).fails_with(1, &[NOT_WRITTEN, &named("disk.qcow2")]);
    assert!(dir.read("disk.qcow2") == before);
}

#[test]
fn every_file_of_an_image_is_checked_for_writers() {
    let Some(dir) = with_disk() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "top.qcow2"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "data.qcow2", "2M"]);
    let flat = ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat"];
    dir.img(&[&flat[..], &["disk.raw", "flat.vmdk"]].concat());
    let cases = [
        ("top.qcow2", "qcow2", "disk.qcow2"),
        ("data.qcow2", "raw", "data.raw"),
        ("flat.vmdk", "raw", "flat-flat.vmdk"),
    ];
    for (image, format, file) in cases {
        let _machine = Machine::start(&dir, format, file);
        let words = [NOT_SHARED, &named(file)];
        dir.run(&["convert", "--follow", image, "out.raw"]).fails_with(1, &words);
        assert!(!dir.exists("out.raw"));
        dir.run(&["measure", "--follow", image]).fails_with(1, &words);
        if image == "top.qcow2" {
            let chain = dir.run(&["info", "--follow", "--backing-chain", image]);
            assert!(chain.code == 0 && chain.stderr.contains(&named(file)), "{chain:?}");
        }
        let mapped = dir.run(&["map", "--follow", image]);
        assert_eq!((mapped.code, mapped.stderr.contains(&named(file))), (0, true), "{mapped:?}");
        if file == "flat-flat.vmdk" {
            dir.run(&["check", "--follow", image]).fails_with(1, &words);
        }
        if image == "top.qcow2" {
            dir.run(&["convert", "--parent", file, image, "out.raw"]).fails_with(1, &words);
        }
    }
}

#[test]
fn image_is_read_by_two_programs_at_the_same_time() {
    let Some(dir) = with_disk() else { return };
    dir.write("large.raw", &mixed_disk(8 << 20));
    // It waits, with the image open, until its output is read.
    let mut ours = dir.command(&["cat", "large.raw"]).spawn().unwrap();
    wait_for(|| is_locked(&dir, "large.raw", READS));
    dir.img(&["convert", "-f", "raw", "-O", "raw", "large.raw", "theirs.raw"]);
    dir.img(&["info", "-f", "raw", "large.raw"]);
    dir.ok(&["convert", "large.raw", "ours.raw"]);
    // A machine is not started while we read.
    let mut written = Command::new("qemu-io");
    written.current_dir(dir.path("")).args(["-f", "raw", "large.raw", "-c", "q"]);
    let written = written.output().unwrap();
    assert!(String::from_utf8_lossy(&written.stderr).contains(NOT_WRITTEN), "{written:?}");
    ours.kill().unwrap();
    ours.wait().unwrap();
    assert!(dir.read("ours.raw") == dir.read("theirs.raw"));
}

#[test]
fn image_of_a_running_machine_is_neither_written_nor_replaced() {
    let Some(dir) = with_disk() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "empty.qcow2", "1M"]);
    dir.img(&["create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "flat.vmdk", "1M"]);
    dir.write("plain.raw", &[0; 1 << 20]);
    let cases = [
        ("qcow2", "empty.qcow2", "empty.qcow2", ""),
        ("raw", "plain.raw", "plain.raw", ""),
        ("vmdk", "flat.vmdk", "flat.vmdk", "subformat=monolithicFlat"),
        // The main file of the image is free.
        ("raw", "flat-flat.vmdk", "flat.vmdk", "subformat=monolithicFlat"),
    ];
    for (format, file, target, options) in cases {
        let _machine = Machine::start(&dir, format, file);
        let before: Vec<_> = dir.names().iter().map(|name| (name.clone(), dir.read(name))).collect();
        let target_format = if options.is_empty() { format } else { "vmdk" };
        let in_place = ["convert", "-n", "-O", target_format, "disk.raw", target];
        let replace = ["convert", "--force", "-O", target_format, "disk.raw", target];
        let create = ["create", "--force", "-f", target_format, target, "1M"];
        let stream = ["convert", "--force", "-O", target_format, "-", target];
        let runs = [
            dir.run(&in_place),
            dir.run(&with_options(&replace, options)),
            dir.run(&with_options(&create, options)),
            // The target is checked before the stream is read.
            dir.run_fed(&with_options(&stream, options), &[]),
        ];
        for run in runs {
            run.fails_with(1, &[NOT_WRITTEN, "Is another process using the image [", file]);
        }
        let after: Vec<_> = dir.names().iter().map(|name| (name.clone(), dir.read(name))).collect();
        assert!(before == after, "{file} {target}");
    }
}

/// Adds `-o`, if there are options.
fn with_options<'a>(args: &[&'a str], options: &'a str) -> Vec<&'a str> {
    let (command, rest) = args.split_first().unwrap();
    let options: &[&str] = if options.is_empty() { &[] } else { &["-o", options] };
    [&[*command], options, rest].concat()
}

#[test]
fn target_is_locked_while_it_is_written_in_place() {
    let Some(dir) = with_disk() else { return };
    let disk = dir.read("disk.raw");
    dir.write("plain.raw", &[0; 1 << 20]);
    let args = ["convert", "-n", "-f", "raw", "--no-spool", "-", "plain.raw"];
    let mut ours = dir.command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = ours.stdin.take().unwrap();
    pipe.write_all(&disk[..disk.len() / 2]).unwrap();
    wait_for(|| is_locked(&dir, "plain.raw", WRITES));
    assert_eq!(dir.img_may_fail(&["convert", "-O", "raw", "plain.raw", "theirs.raw"]).0, 1);
    assert_eq!(dir.img_may_fail(&["convert", "-n", "-O", "raw", "disk.raw", "plain.raw"]).0, 1);
    dir.run(&["cat", "-f", "raw", "plain.raw"]).fails_with(1, &[NOT_SHARED]);
    dir.run(&["convert", "-n", "disk.raw", "plain.raw"]).fails_with(1, &[NOT_WRITTEN]);
    dir.run(&["convert", "--force", "disk.raw", "plain.raw"]).fails_with(1, &[NOT_WRITTEN]);
    pipe.write_all(&disk[disk.len() / 2..]).unwrap();
    drop(pipe);
    assert!(ours.wait().unwrap().success());
    assert!(!is_locked(&dir, "plain.raw", WRITES));
    assert!(dir.read("plain.raw") == disk);
}

#[test]
fn image_that_a_machine_opens_during_the_conversion_is_not_replaced() {
    let Some(dir) = with_disk() else { return };
    let disk = dir.read("disk.raw");
    dir.write("plain.raw", &[7; 1 << 20]);
    let split = ["convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"];
    dir.ok(&[&split[..], &["disk.raw", "split.vmdk"]].concat());
    for (target, format, used, options) in [
        ("plain.raw", "raw", "plain.raw", &["-O", "raw"][..]),
        // This extent is removed with the old image.
        ("split.vmdk", "raw", "split-f001.vmdk", &["-O", "vmdk"]),
    ] {
        let before = (dir.names(), dir.read(target), dir.read(used));
        let args = [&["convert", "--force", "-f", "raw"], options, &["-", target]].concat();
        let mut ours = dir.command(&args).stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = ours.stdin.take().unwrap();
        pipe.write_all(&disk[..disk.len() / 2]).unwrap();
        let machine = Machine::start(&dir, format, used);
        pipe.write_all(&disk[disk.len() / 2..]).unwrap();
        drop(pipe);
        let output = ours.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(NOT_WRITTEN) && stderr.contains(used), "{stderr}");
        assert!(before == (dir.names(), dir.read(target), dir.read(used)), "{target}");
        drop(machine);
        dir.ok(&[&["convert", "--force"], options, &["disk.raw", target]].concat());
    }
}

#[test]
fn device_of_a_running_machine_is_not_written() {
    let Some(dir) = with_disk() else { return };
    dir.write("device", &[0; 4 << 20]);
    let Some(device) = LoopDevice::over(&dir, "device") else { return };
    let _machine = Machine::start(&dir, "raw", device.name());
    for options in [&["-O", "raw"][..], &["-n", "-O", "raw"], &["-O", "qcow2"], &["--force", "-O", "vdi"]] {
        let args = [&["convert"], options, &["disk.raw", device.name()]].concat();
        dir.run(&args).fails_with(1, &[NOT_WRITTEN, &named(device.name())]);
    }
    dir.run(&["convert", "-f", "raw", device.name(), "out.raw"]).fails_with(1, &[NOT_SHARED]);
    assert!(device.read(4 << 20) == vec![0; 4 << 20]);
}

#[test]
fn check_of_an_image_over_a_base_that_a_process_writes_is_refused() {
    let Some(dir) = with_disk() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "top.qcow2"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "top.qcow2", "-F", "qcow2", "upper.qcow2"]);
    let machine = Machine::start(&dir, "qcow2", "disk.qcow2");
    for image in ["top.qcow2", "upper.qcow2"] {
        assert_eq!(dir.img_may_fail(&["check", image]).0, 1, "{image}");
        dir.run(&["check", "--follow", image])
            .fails_with(1, &[NOT_SHARED, &named("disk.qcow2"), "hint: use -U"]);
        assert_eq!(dir.run(&["check", "-U", "--follow", image]).code, 0);
        // The base is not opened.
        assert_eq!(dir.run(&["check", image]).code, 0);
    }
    dir.run(&["check", "--parent", "disk.qcow2", "top.qcow2"]).fails_with(1, &[NOT_SHARED]);
    drop(machine);
    assert_eq!(dir.run(&["check", "--follow", "upper.qcow2"]).code, 0);
    // A base that is missing does not prevent the check of the layer.
    std::fs::remove_file(dir.path("disk.qcow2")).unwrap();
    assert_eq!(dir.run(&["check", "--follow", "top.qcow2"]).code, 0);
}
