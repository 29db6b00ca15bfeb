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
