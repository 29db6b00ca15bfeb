//! `diskimg cat`: the content of a disk on standard output.

use std::io::Read;
use std::process::Stdio;

use crate::tools::{ScratchDir, mixed_disk};

const SIZE: usize = (4 << 20) + 300;

#[test]
fn every_format_is_written_as_the_bytes_of_its_disk() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(SIZE);
    let mut in_sectors = disk.clone();
    in_sectors.resize(SIZE.next_multiple_of(512), 0);
    dir.write("disk.raw", &disk);
    assert!(dir.ok(&["cat", "disk.raw"]).stdout == disk);
    for (format, options) in [
        ("qcow2", "cluster_size=4k"),
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=streamOptimized"),
        ("vdi", "static=off"),
    ] {
        dir.ok(&["convert", "--force", "-O", format, "-o", options, "disk.raw", "disk"]);
        assert!(dir.ok(&["cat", "disk"]).stdout == in_sectors, "{format} {options}");
        assert!(dir.ok(&["cat", "-f", format, "disk"]).stdout == in_sectors, "{format} {options}");
    }
}

#[test]
fn offset_and_length_select_a_part() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(4 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    for (offset, length) in [
        ("0", "0"),
        ("0", "1"),
        ("511", "2"),
        ("65535", "65538"),
        ("1M", "2M"),
        ("131072", "131072"),
        ("4194303", "1"),
        ("4M", "0"),
    ] {
        let run = dir.ok(&["cat", "--offset", offset, "--length", length, "disk.qcow2"]);
        let number = |text: &str| match text.strip_suffix('M') {
            Some(mebi) => mebi.parse::<usize>().unwrap() << 20,
            None => text.parse().unwrap(),
        };
        let start = number(offset);
        assert!(run.stdout == disk[start..start + number(length)], "{offset} {length}");
    }
    assert!(dir.ok(&["cat", "--offset", "3M", "disk.qcow2"]).stdout == disk[3 << 20..]);
    assert!(dir.ok(&["cat", "--length", "3M", "disk.qcow2"]).stdout == disk[..3 << 20]);
}

#[test]
fn part_past_the_end_of_the_disk_is_an_error() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for args in [
        &["--offset", "1048577"][..],
        &["--length", "1048577"],
        &["--offset", "1M", "--length", "1"],
        &["--offset", "7E", "--length", "7E"],
    ] {
        dir.run(&[&["cat"], args, &["disk.raw"]].concat()).fails_with(1, &["disk.raw"]);
    }
}

#[test]
fn compressed_and_piped_images_are_read() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(2 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let status =
        std::process::Command::new("gzip").current_dir(dir.path(".")).args(["-k", "disk.qcow2"]).status();
    assert!(status.unwrap().success());
    assert!(dir.ok(&["cat", "disk.qcow2.gz"]).stdout == disk);
    assert!(
        dir.ok(&["cat", "--offset", "5", "--length", "1M", "disk.qcow2.gz"]).stdout == disk[5..(1 << 20) + 5]
    );
    for args in [&["cat", "-"][..], &["cat", "--offset", "100", "-"]] {
        for image in ["disk.raw", "disk.qcow2", "disk.qcow2.gz"] {
            let run = dir.run_fed(args, &dir.read(image));
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?} {image}");
            let start = if args.len() > 2 { 100 } else { 0 };
            assert!(run.stdout == disk[start..], "{args:?} {image}");
        }
    }
    assert_eq!(dir.names(), ["disk.qcow2", "disk.qcow2.gz", "disk.raw"], "no temporary file is left");
}

#[test]
fn layers_below_and_snapshots_are_read_on_request() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let mut disk = mixed_disk(2 << 20);
    dir.write("base.raw", &disk);
    dir.ok(&["create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2"]);
    dir.img(&["snapshot", "-c", "before", "top.qcow2"]);
    dir.io("top.qcow2", &["write -P 3 1M 64k"]);
    dir.run(&["cat", "top.qcow2"]).fails_with(1, &["base.raw", "--follow", "--parent FILE"]);
    assert!(dir.ok(&["cat", "--follow", "-l", "before", "top.qcow2"]).stdout == disk);
    disk[1 << 20..(1 << 20) + 65_536].fill(3);
    for way in [&["--follow"][..], &["--parent", "base.raw"]] {
        assert!(dir.ok(&[&["cat"], way, &["top.qcow2"]].concat()).stdout == disk, "{way:?}");
    }
}

#[test]
fn closed_output_ends_cat_silently() {
    let dir = ScratchDir::new();
    dir.ok(&["create", "-f", "qcow2", "huge.qcow2", "1T"]);
    let mut child = dir.command(&["cat", "huge.qcow2"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut head = [1; 4096];
    stdout.read_exact(&mut head).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((head, String::from_utf8(output.stderr).unwrap().as_str()), ([0; 4096], ""));
}

#[test]
fn errors_are_one_line_and_write_no_data() {
    let dir = ScratchDir::new();
    dir.write("letter.txt", b"Dear Sir or Madam,");
    dir.run(&["cat", "letter.txt"]).fails_with(1, &["letter.txt", "--allow-raw"]);
    assert_eq!(dir.ok(&["cat", "--allow-raw", "letter.txt"]).stdout, b"Dear Sir or Madam,");
    dir.run(&["cat", "absent"]).fails_with(1, &["absent"]);
    let run = dir.run(&["cat", "--json", "absent"]);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(error["error"]["errno"], 2);
}
