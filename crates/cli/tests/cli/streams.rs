//! Images on standard input: described and converted like files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tools::{ScratchDir, mixed_disk};

/// Returns the images of the repository whose format is detected without an option.
fn images() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/images/good");
    let mut images: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let extensions = ["qcow2", "iso", "ova", "gz", "xz", "zst"];
    images.retain(|path| path.extension().is_some_and(|end| extensions.iter().any(|known| end == *known)));
    images.sort();
    assert!(images.len() > 40);
    images
}

/// Removes the keys that only a file has from the output of `info`.
fn of_a_stream(mut info: Value) -> Value {
    let own = info["filename"].clone();
    let extents = info.pointer_mut("/format-specific/data/extents").and_then(Value::as_array_mut);
    for extent in extents.into_iter().flatten().filter(|extent| extent["filename"] == own) {
        extent.as_object_mut().unwrap().remove("filename");
    }
    let object = info.as_object_mut().unwrap();
    for key in ["filename", "actual-size", "children"] {
        object.remove(key);
    }
    let additions = object["diskimg"].as_object_mut().unwrap();
    assert!(additions.remove("file-size").is_some());
    // The tables show it, and only those of a file are read.
    let findings = additions["findings"].as_array_mut().unwrap();
    findings.retain(|finding| finding["check"] != "truncated_cluster");
    info
}

#[test]
fn stream_has_the_description_of_its_file() {
    let dir = ScratchDir::new();
    for image in images() {
        let bytes = std::fs::read(&image).unwrap();
        dir.write("image", &bytes);
        let mut expected = of_a_stream(dir.ok(&["info", "--output=json", "image"]).json());
        // A description of a stream reads no tables, so it does not show where they end.
        let findings = expected.pointer_mut("/diskimg/findings").and_then(Value::as_array_mut).unwrap();
        findings.retain(|finding| finding["check"] != "truncated_cluster");
        for command in ["info", "probe"] {
            let run = dir.run_fed(&[command, "--output=json", "-"], &bytes);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", image.display());
            assert_eq!(of_a_stream(run.json()), expected, "{command} {}", image.display());
        }
        let mut probed = of_a_stream(dir.ok(&["probe", "--json", "image"]).json());
        let findings = probed.pointer_mut("/diskimg/findings").and_then(Value::as_array_mut).unwrap();
        findings.retain(|finding| finding["check"] != "truncated_cluster");
        assert_eq!(probed, expected);
    }
    assert_eq!(dir.names(), ["image"], "no temporary file is left");
}

#[test]
fn compressed_image_converts_to_raw_without_a_temporary_file() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(5 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "plain.qcow2"]);
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "packed.qcow2"]);
    for (tool, name) in
        [("gzip", "plain.qcow2"), ("xz", "packed.qcow2"), ("xz", "disk.raw"), ("cat", "packed.qcow2")]
    {
        let arguments: &[&str] = if tool == "cat" { &[] } else { &["-c"] };
        let Ok(packed) = Command::new(tool).args(arguments).arg(dir.path(name)).output() else {
            eprintln!("skipped: {tool} is not installed");
            continue;
        };
        let run = dir.run_fed(&["convert", "--no-spool", "-", "target.raw"], &packed.stdout);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{tool} {name}");
        assert!(dir.read("target.raw") == disk, "{tool} {name}");
        std::fs::remove_file(dir.path("target.raw")).unwrap();
    }
}

#[test]
fn probe_stops_reading_once_the_format_is_certain() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let mut head = dir.read("disk.qcow2");
    head.resize(1 << 20, 0);
    let mut child = dir.command(&["probe", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The command may end before it has read all of this.
    let _ = stdin.write_all(&head[..300 << 10]);
    // The pipe stays open: waiting for its end would never return.
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "qcow2 1048576\n");
    drop(stdin);
}

#[test]
fn ambiguous_and_unknown_streams_are_reported() {
    let dir = ScratchDir::new();
    let mut disc = vec![0; 100_000];
    disc[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    disc[32_769..32_774].copy_from_slice(b"CD001");
    dir.run_fed(&["probe", "-"], &disc).fails_with(1, &["qcow2 and as iso9660", "hint: "]);
    dir.run_fed(&["probe", "-"], b"some text").fails_with(2, &["no image format"]);
    dir.run_fed(&["probe", "-"], b"vhdxfile").fails_with(1, &["vhdx"]);
    dir.run_fed(&["probe", "-"], b"").fails_with(2, &["empty"]);
}

#[test]
fn stream_optimised_image_at_the_start_of_a_device_is_read() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(3 << 20));
    dir.ok(&["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "disk.vmdk"]);
    let mut device = dir.read("disk.vmdk");
    let len = device.len();
    for size in [len + 512, len + (200 << 10), 32 << 20, (32 << 20) + 100] {
        device.resize(size, 0);
        dir.write("device", &device);
        dir.ok(&["convert", "-q", "--force", "-O", "raw", "device", "out.raw"]);
        assert_eq!(dir.read("out.raw"), dir.read("disk.raw"), "{size}");
        let piped = dir.run_fed(&["convert", "--force", "-O", "raw", "-", "piped.raw"], &device);
        assert_eq!((piped.code, dir.read("piped.raw")), (0, dir.read("disk.raw")), "{size}: {piped:?}");
        let far = size - len > 128 << 10;
        let inspected = dir.run(&["inspect", "device"]);
        assert_eq!(inspected.code, if far { 2 } else { 0 }, "{inspected:?}");
        assert_eq!(dir.run_fed(&["inspect", "-"], &device).stdout, inspected.stdout);
    }
    device[20 << 20] = 7;
    dir.write("device", &device);
    dir.run(&["convert", "-O", "raw", "device", "bad.raw"]).fails_with(1, &["vmdk", "footer"]);
    dir.run_fed(&["convert", "-O", "raw", "-", "bad.raw"], &device).fails_with(1, &["vmdk", "trailing data"]);
}

#[test]
fn two_stream_optimized_disks_in_one_file_are_refused_by_file_and_pipe() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(2 << 20);
    dir.write("first.raw", &disk);
    dir.write("second.raw", &disk.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>());
    for name in ["first", "second"] {
        let (source, target) = (format!("{name}.raw"), format!("{name}.vmdk"));
        let options = ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"];
        dir.ok(&[&options[..], &[&source, &target]].concat());
    }
    for second in ["first.vmdk", "second.vmdk"] {
        let both = [dir.read("first.vmdk"), dir.read(second)].concat();
        dir.write("both.vmdk", &both);
        for run in [dir.run(&["cat", "both.vmdk"]), dir.run_fed(&["cat", "-"], &both)] {
            assert_eq!(run.code, 1, "{second}: {run:?}");
        }
        let convert = ["convert", "-O", "raw", "both.vmdk", "out.raw"];
        dir.run(&convert).fails_with(1, &["vmdk"]);
        let convert = ["convert", "-O", "raw", "-", "out.raw"];
        dir.run_fed(&convert, &both).fails_with(1, &["trailing data"]);
        assert!(!dir.exists("out.raw"));
    }
}

#[test]
fn data_after_a_stream_optimized_disk_without_footer_is_a_warning_by_file_and_pipe() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for disk in [mixed_disk(2 << 20), vec![0; 1 << 20]] {
        dir.write("disk.raw", &disk);
        let options = ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"];
        dir.img(&[&options[..], &["disk.raw", "disk.vmdk"]].concat());
        let image = dir.read("disk.vmdk");
        let (zeros, junk) = (vec![0; 4096], vec![7; 600]);
        let tails: [&[&[u8]]; 8] = [
            &[],
            &[&zeros],
            &[&zeros[..5]],
            &[&image],
            &[&zeros, &image],
            &[&junk[..3]],
            &[&junk],
            &[&zeros[..512], &junk],
        ];
        for (number, tail) in tails.iter().enumerate() {
            let long = [&image, &tail.concat()[..]].concat();
            dir.write("long.vmdk", &long);
            let warned = number > 2;
            for run in [dir.run(&["cat", "long.vmdk"]), dir.run_fed(&["cat", "-"], &long)] {
                assert!((run.code, run.stdout == disk) == (0, true), "{number}: {}", run.stderr);
                let expected = if warned { "after the end of the stream, are ignored\n" } else { "" };
                assert!(run.stderr.ends_with(expected), "{number}: {}", run.stderr);
                assert_eq!(run.stderr.lines().count(), usize::from(warned), "{number}: {}", run.stderr);
            }
            let run = dir.run(&["inspect", "long.vmdk"]);
            assert_eq!(
                (run.code, run.text().contains("trailing_data")),
                (if warned { 2 } else { 0 }, warned)
            );
            let strict = ["convert", "--strict", "--force", "-O", "raw"];
            let code = i32::from(warned);
            assert_eq!(dir.run(&[&strict[..], &["long.vmdk", "out.raw"]].concat()).code, code, "{number}");
            assert_eq!(dir.run_fed(&[&strict[..], &["-", "out.raw"]].concat(), &long).code, code, "{number}");
        }
    }
}
