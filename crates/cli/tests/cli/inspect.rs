//! `diskimg probe` and `diskimg inspect`: what a file is, and whether to be careful with it.

use crate::tools::{Workshop, mixed_disk};

#[test]
fn a_probe_is_one_line() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    assert_eq!(shop.ok(&["probe", "disk.raw"]).text(), "raw 1048576\n");
    assert_eq!(shop.ok(&["probe", "disk.qcow2"]).text(), "qcow2 1048576\n");
    let told = shop.ok(&["probe", "--output", "json", "disk.qcow2"]).json();
    assert_eq!((&told["format"], &told["virtual-size"]), (&"qcow2".into(), &(1 << 20).into()));
}

#[test]
fn what_nothing_recognises_is_2_and_what_fails_is_1() {
    let shop = Workshop::new();
    shop.write("letter.txt", b"Dear Sir or Madam,");
    shop.run(&["probe", "letter.txt"]).fails_with(2, &["letter.txt", "-f raw", "--allow-raw"]);
    shop.run_fed(&["probe", "-"], b"Dear Sir or Madam,").fails_with(2, &["standard input"]);
    shop.run(&["probe", "absent"]).fails_with(1, &["absent"]);
    shop.run(&["probe", "-f", "nonsense", "letter.txt"]).fails_with(1, &["nonsense"]);
    assert_eq!(shop.ok(&["probe", "--allow-raw", "letter.txt"]).text(), "raw 18\n");
    assert_eq!(shop.ok(&["probe", "-f", "raw", "letter.txt"]).text(), "raw 18\n");
}

#[test]
fn a_pipe_is_probed_without_reading_it_to_its_end() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(8 << 20));
    shop.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let told = shop.run_fed(&["probe", "-"], &shop.read("disk.qcow2"));
    assert_eq!((told.code, told.text()), (0, "qcow2 8388608\n"));
    let told = shop.run_fed(&["info", "--json", "-"], &shop.read("disk.qcow2"));
    assert_eq!((told.code, &told.json()["virtual-size"]), (0, &(8 << 20).into()));
}

#[test]
fn findings_are_2_and_a_plain_image_is_safe() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.ok(&["convert", "-O", "qcow2", "disk.raw", "plain.qcow2"]);
    let backing = "backing_file=/etc/passwd,backing_fmt=raw";
    shop.ok(&["convert", "-O", "qcow2", "-o", backing, "disk.raw", "unsafe.qcow2"]);

    assert_eq!(shop.ok(&["inspect", "plain.qcow2"]).text(), "safe: qcow2, 1048576 bytes\n");
    assert_eq!(shop.ok(&["inspect", "-q", "plain.qcow2"]).text(), "");
    let told = shop.run(&["inspect", "unsafe.qcow2"]);
    assert_eq!((told.code, told.stderr.as_str()), (2, ""));
    assert!(told.text().starts_with("unsafe backing_file at byte "), "{told:?}");
    assert!(told.text().contains("\"/etc/passwd\""), "{told:?}");
    let told = shop.run(&["inspect", "--json", "unsafe.qcow2"]);
    assert_eq!((told.code, &told.json()["safe"]), (2, &false.into()));
    assert_eq!(told.json()["findings"][0]["check"], "backing_file");
    let told = shop.run_fed(&["inspect", "-"], &shop.read("unsafe.qcow2"));
    assert_eq!(told.code, 2, "{told:?}");
    shop.run(&["inspect", "absent"]).fails_with(1, &["absent"]);
}
