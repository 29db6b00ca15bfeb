//! Files that are only part of a larger disk.

use crate::tools::{ScratchDir, mixed_disk};

/// A split sparse disk of 3 MiB by `qemu-img`, with its one extent `disk-s001.vmdk`.
fn split_disk() -> Option<ScratchDir> {
    let dir = ScratchDir::with_qemu()?;
    dir.write("disk.raw", &mixed_disk(3 << 20));
    let args = ["convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "disk.raw", "disk.vmdk"];
    dir.img(&args);
    Some(dir)
}

const WORDS: [&str; 3] = ["vmdk", "part of a larger disk", "--allow-part"];

#[test]
fn split_extent_alone_is_refused() {
    let Some(dir) = split_disk() else { return };
    let part = "disk-s001.vmdk";
    let before = dir.names();
    for options in [&[][..], &["-f", "vmdk"], &["--follow"]] {
        let run = |command: &[&str], files: &[&str]| dir.run(&[command, options, files].concat());
        run(&["convert", "-O", "raw"], &[part, "out.raw"]).fails_with(1, &WORDS);
        run(&["convert", "-O", "qcow2"], &[part, "out.qcow2"]).fails_with(1, &WORDS);
        run(&["cat"], &[part]).fails_with(1, &WORDS);
        run(&["measure", "-O", "qcow2"], &[part]).fails_with(1, &WORDS);
        run(&["compare"], &[part, "disk.raw"]).fails_with(2, &WORDS);
    }
    assert_eq!(dir.names(), before, "no target");
    dir.ok(&["convert", "--follow", "-O", "raw", "disk.vmdk", "whole.raw"]);
    assert_eq!(dir.read("whole.raw"), dir.read("disk.raw"));
}

#[test]
fn part_is_read_with_the_option_that_the_hint_names() {
    let Some(dir) = split_disk() else { return };
    let part = dir.read("disk-s001.vmdk");
    dir.ok(&["convert", "--allow-part", "-q", "-O", "raw", "disk-s001.vmdk", "out.raw"]);
    assert_eq!(dir.read("out.raw"), dir.read("disk.raw"), "the only extent has the whole disk");
    let piped = dir.run_fed(&["convert", "--allow-part", "-q", "-O", "raw", "-", "piped.raw"], &part);
    assert_eq!((piped.code, dir.read("piped.raw")), (0, dir.read("disk.raw")));
}

#[test]
fn part_is_refused_from_a_pipe_and_compressed() {
    let Some(dir) = split_disk() else { return };
    let part = dir.read("disk-s001.vmdk");
    let before = dir.names();
    for target in ["out.raw", "-"] {
        dir.run_fed(&["convert", "-O", "raw", "-", target], &part).fails_with(1, &WORDS);
        dir.run_fed(&["convert", "-f", "vmdk", "-O", "raw", "-", target], &part).fails_with(1, &WORDS);
    }
    dir.run_fed(&["cat", "-"], &part).fails_with(1, &WORDS);
    assert_eq!(dir.names(), before, "no target");
}

#[test]
fn part_is_described_and_reported_as_one() {
    let Some(dir) = split_disk() else { return };
    let part = "disk-s001.vmdk";
    let text = "part of a larger disk";
    let info = dir.ok(&["info", part]);
    assert!(info.text().contains(text), "{info:?}");
    let json = dir.ok(&["info", "--output=json", part]).json();
    assert_eq!(json["diskimg"]["part"], true);
    assert_eq!(json["diskimg"]["findings"][0]["check"], "part");
    let inspected = dir.run(&["inspect", part]);
    assert_eq!(inspected.code, 2);
    assert!(inspected.text().contains(text), "{inspected:?}");
    for command in ["probe", "map", "check"] {
        let ran = dir.run(&[command, part]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains(text), "{ran:?}");
    }
    assert_eq!(dir.run(&["probe", part]).text(), "vmdk 3145728 part\n");
    assert_eq!(dir.ok(&["info", "--output=json", "disk.vmdk"]).json()["diskimg"]["part"], false);
}

#[test]
fn embedded_line_of_no_sectors_does_not_empty_the_disk() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(3 << 20));
    for subformat in ["monolithicSparse", "streamOptimized"] {
        dir.img(&["convert", "-O", "vmdk", "-o", &format!("subformat={subformat}"), "disk.raw", "d.vmdk"]);
        let image = dir.read("d.vmdk");
        let at = image.windows(10).position(|bytes| bytes.ends_with(b"SPARSE") && bytes[0].is_ascii_digit());
        let at = at.unwrap();
        for line in [b"0000", b"3072"] {
            let mut changed = image.clone();
            changed[at - 1..at + 3].copy_from_slice(line);
            dir.write("d.vmdk", &changed);
            dir.img(&["convert", "-O", "raw", "d.vmdk", "theirs.raw"]);
            assert_eq!(dir.read("theirs.raw"), dir.read("disk.raw"));
            dir.ok(&["convert", "-q", "--force", "-O", "raw", "d.vmdk", "ours.raw"]);
            assert_eq!(dir.read("ours.raw"), dir.read("disk.raw"), "{subformat}");
            let piped = dir.run_fed(&["convert", "-q", "--force", "-O", "raw", "-", "piped.raw"], &changed);
            assert_eq!((piped.code, dir.read("piped.raw")), (0, dir.read("disk.raw")), "{subformat}");
            assert_eq!(dir.run(&["inspect", "d.vmdk"]).code, 2);
        }
    }
}

#[test]
fn extent_of_every_writer_and_type_is_refused_alone() {
    let Some(dir) = split_disk() else { return };
    dir.ok(&["convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "disk.raw", "ours.vmdk"]);
    dir.img(&["convert", "-O", "vmdk", "disk.raw", "own.vmdk"]);
    let mut cowd = vec![0; 2560];
    cowd[..4].copy_from_slice(b"COWD");
    for (at, value) in [(4, 1), (8, 3), (12, 128), (16, 1), (20, 4), (24, 1), (28, 5_u32)] {
        cowd[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    dir.write("delta.vmdk", &cowd);
    let own = String::from_utf8_lossy(&dir.read("own.vmdk")[512..1024]).into_owned();
    let split = own.replace("\"monolithicSparse\"", "\"2GbMaxExtentSparse\"");
    let line = own.lines().find(|line| line.starts_with("RW")).unwrap();
    let two = own.replace(line, &format!("{line}\n{line}"));
    for (name, text) in [("split.vmdk", split), ("two.vmdk", two)] {
        let mut image = dir.read("own.vmdk");
        image[512..512 + text.len()].copy_from_slice(text.as_bytes());
        dir.write(name, &image);
    }
    for part in ["ours-s001.vmdk", "delta.vmdk", "split.vmdk", "two.vmdk"] {
        dir.run(&["convert", "-O", "raw", part, "out.raw"]).fails_with(1, &WORDS);
        let piped = dir.run_fed(&["convert", "-O", "raw", "-", "out.raw"], &dir.read(part));
        piped.fails_with(1, &WORDS);
        assert_eq!(dir.run(&["inspect", part]).code, 2, "{part}");
        assert_eq!(dir.run(&["check", part]).code, 0, "{part}");
        dir.ok(&["cat", "-q", "--allow-part", part]);
    }
    assert!(!dir.exists("out.raw"));
}

#[test]
fn part_as_a_parent_is_refused() {
    let Some(dir) = split_disk() else { return };
    dir.img(&["convert", "-O", "vmdk", "disk.raw", "child.vmdk"]);
    let mut image = dir.read("child.vmdk");
    let text = String::from_utf8_lossy(&image[512..1536]).into_owned();
    let hint = "parentCID=12345678\nparentFileNameHint=\"disk-s001.vmdk\"";
    let text = text.replace("parentCID=ffffffff", hint).replace("ddb.geometry", "#");
    image[512..512 + text.len()].copy_from_slice(text.as_bytes());
    dir.write("child.vmdk", &image);
    dir.run(&["convert", "--follow", "child.vmdk", "out.raw"]).fails_with(1, &WORDS);
    dir.ok(&["convert", "-q", "--follow", "--allow-part", "child.vmdk", "out.raw"]);
    assert_eq!(dir.read("out.raw"), dir.read("disk.raw"));
}

#[test]
fn raw_file_with_the_name_of_an_extent_is_read_with_a_finding() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(3 << 20));
    for (subformat, file, word, code) in [
        ("monolithicFlat", "disk-flat.vmdk", "note", 0),
        ("twoGbMaxExtentFlat", "disk-f001.vmdk", "warning", 2),
    ] {
        dir.img(&["convert", "-O", "vmdk", "-o", &format!("subformat={subformat}"), "disk.raw", "disk.vmdk"]);
        let inspected = dir.run(&["inspect", "-f", "raw", file]);
        assert_eq!(inspected.code, code, "{inspected:?}");
        assert!(inspected.text().contains(&format!("{word} extent_name")), "{inspected:?}");
        let ran = dir.run(&["convert", "--force", "-f", "raw", "-O", "raw", file, "out.raw"]);
        assert_eq!((ran.code, ran.stderr.contains("larger disk")), (0, code == 2), "{ran:?}");
        assert_eq!(dir.read("out.raw"), dir.read("disk.raw"));
    }
    let strict = dir.run(&["convert", "--strict", "-f", "raw", "-O", "raw", "disk-f001.vmdk", "strict.raw"]);
    strict.fails_with(1, &["extent"]);
}

#[test]
fn format_that_only_other_programs_read_is_named() {
    let dir = ScratchDir::new();
    for (head, name) in [
        (&b"Bochs Virtual HD Image\0"[..], "bochs"),
        (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount\n", "cloop"),
    ] {
        let mut image = head.to_vec();
        image.resize(1 << 20, 7);
        dir.write("image", &image);
        dir.run(&["convert", "--allow-raw", "image", "out.raw"]).fails_with(1, &[name, "not supported"]);
        dir.run_fed(&["convert", "--allow-raw", "-", "out.raw"], &image).fails_with(1, &[name]);
        dir.run_fed(&["probe", "-"], &image).fails_with(1, &[name]);
    }
}
