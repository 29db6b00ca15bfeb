//! `diskimg probe` and `diskimg inspect`: the format of a file, and the findings about it.

use crate::tools::{ScratchDir, mixed_disk};

#[test]
fn probe_prints_one_line() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    assert_eq!(dir.ok(&["probe", "disk.raw"]).text(), "raw 1048576\n");
    assert_eq!(dir.ok(&["probe", "disk.qcow2"]).text(), "qcow2 1048576\n");
    let run = dir.ok(&["probe", "--output", "json", "disk.qcow2"]).json();
    assert_eq!((&run["format"], &run["virtual-size"]), (&"qcow2".into(), &(1 << 20).into()));
}

#[test]
fn unknown_format_exits_with_2_and_an_error_with_1() {
    let dir = ScratchDir::new();
    dir.write("letter.txt", b"Dear Sir or Madam,");
    dir.run(&["probe", "letter.txt"]).fails_with(2, &["letter.txt", "-f raw", "--allow-raw"]);
    dir.run_fed(&["probe", "-"], b"Dear Sir or Madam,").fails_with(2, &["standard input"]);
    dir.run(&["probe", "absent"]).fails_with(1, &["absent"]);
    dir.run(&["probe", "-f", "nonsense", "letter.txt"]).fails_with(1, &["nonsense"]);
    assert_eq!(dir.ok(&["probe", "--allow-raw", "letter.txt"]).text(), "raw 18\n");
    assert_eq!(dir.ok(&["probe", "-f", "raw", "letter.txt"]).text(), "raw 18\n");
}

#[test]
fn pipe_is_probed_before_its_end() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(8 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let run = dir.run_fed(&["probe", "-"], &dir.read("disk.qcow2"));
    assert_eq!((run.code, run.text()), (0, "qcow2 8388608\n"));
    let run = dir.run_fed(&["info", "--json", "-"], &dir.read("disk.qcow2"));
    assert_eq!((run.code, &run.json()["virtual-size"]), (0, &(8 << 20).into()));
}

#[test]
fn findings_exit_with_2_and_a_plain_image_is_safe() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "plain.qcow2"]);
    let backing = "backing_file=/etc/passwd,backing_fmt=raw";
    dir.ok(&["convert", "-O", "qcow2", "-o", backing, "disk.raw", "unsafe.qcow2"]);

    assert_eq!(dir.ok(&["inspect", "plain.qcow2"]).text(), "safe: qcow2, 1048576 bytes\n");
    assert_eq!(dir.ok(&["inspect", "-q", "plain.qcow2"]).text(), "");
    let run = dir.run(&["inspect", "unsafe.qcow2"]);
    assert_eq!((run.code, run.stderr.as_str()), (2, ""));
    assert!(run.text().starts_with("unsafe backing_file at byte "), "{run:?}");
    assert!(run.text().contains("\"/etc/passwd\""), "{run:?}");
    let run = dir.run(&["inspect", "--json", "unsafe.qcow2"]);
    assert_eq!((run.code, &run.json()["safe"]), (2, &false.into()));
    assert_eq!(run.json()["findings"][0]["check"], "backing_file");
    let run = dir.run_fed(&["inspect", "-"], &dir.read("unsafe.qcow2"));
    assert_eq!(run.code, 2, "{run:?}");
    dir.run(&["inspect", "absent"]).fails_with(1, &["absent"]);
}

#[test]
fn image_that_cannot_be_read_is_not_safe() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    dir.ok(&["convert", "-O", "vmdk", "disk.raw", "disk.vmdk"]);
    let (qcow2, vmdk) = (dir.read("disk.qcow2"), dir.read("disk.vmdk"));
    let mut images = Vec::new();
    for method in [1, 2] {
        let mut image = qcow2.clone();
        image[35] = method;
        images.push((image, "encrypted"));
    }
    let mark = vmdk
        .windows(4)
        .position(|bytes| bytes == b"#DDB")
        .or_else(|| vmdk.windows(5).position(|bytes| bytes == b"\nddb.").map(|at| at + 1));
    for (key, check) in [
        ("keyID = \"x\"\n", "encrypted"),
        ("ddb.iofilters = \"vmwarevmcrypt\"\n", "encrypted"),
        ("ddb.iofilters = \"cache\"\n", "io_filter"),
        ("ddb.nativeParentCID = \"x\"\n", "data_object"),
    ] {
        let (at, mut image) = (mark.unwrap(), vmdk.clone());
        image.splice(at..at, key.bytes());
        // The descriptor ends with zeros.
        let end = at + image[at..].iter().position(|byte| *byte == 0).unwrap();
        image.drain(end..end + key.len());
        images.push((image, check));
    }
    for (image, check) in images {
        dir.write("image", &image);
        for run in [dir.run(&["inspect", "image"]), dir.run_fed(&["inspect", "-"], &image)] {
            assert_eq!(run.code, 2, "{check}: {run:?}");
            assert!(run.text().starts_with(&format!("warning {check} at byte ")), "{run:?}");
        }
        dir.run(&["cat", "image"]).fails_with(1, &["image"]);
    }
}
