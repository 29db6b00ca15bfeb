//! Raw disks whose size is no multiple of 512 bytes, and empty ones.

use std::io::Write;

use serde_json::Value;

use crate::tools::{ScratchDir, file_len, mixed_disk};

const ODD: usize = (1 << 20) + 700;
const ROUNDED: usize = (1 << 20) + 1024;

fn odd_disk() -> (Vec<u8>, Vec<u8>) {
    let disk = mixed_disk(ODD);
    let rounded = [&disk[..], &[0; ROUNDED - ODD]].concat();
    (disk, rounded)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn new_raw_file_has_whole_sectors() {
    let dir = ScratchDir::new();
    let (disk, rounded) = odd_disk();
    dir.write("odd.raw", &disk);
    dir.write("odd.raw.gz", &gzip(&disk));
    for (source, more) in [
        ("odd.raw", &[][..]),
        ("odd.raw", &["-S", "0"]),
        ("odd.raw", &["-S", "512"]),
        ("odd.raw", &["-t", "none"]),
        ("odd.raw", &["-o", "preallocation=falloc"]),
        ("odd.raw", &["-o", "preallocation=full"]),
        ("odd.raw.gz", &[]),
        ("odd.raw.gz", &["--no-spool"]),
        ("-", &[]),
        ("-", &["-o", "preallocation=falloc"]),
    ] {
        let args = [&["convert", "--force", "--allow-raw"], more, &[source, "out.raw"]].concat();
        let run = dir.run_fed(&args, &disk);
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        assert!(dir.read("out.raw") == rounded, "{args:?}");
        assert!(
            run.stderr.contains(&format!("note: out.raw has {ROUNDED} bytes: the disk of {ODD} bytes")),
            "{run:?}"
        );
        let quiet = dir.run_fed(&[&["-q"], &args[..]].concat(), &disk);
        assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{args:?}");
    }
    let run = dir.run(&["create", "new.raw", "1000"]);
    assert_eq!((run.code, dir.read("new.raw")), (0, vec![0; 1024]));
    assert!(run.stderr.contains("note: new.raw has 1024 bytes: the disk of 1000 bytes"), "{run:?}");
    dir.ok(&["-q", "create", "-o", "size=1000,preallocation=full", "full.raw"]);
    assert_eq!(file_len(&dir.path("full.raw")), 1024);
    dir.ok(&["create", "whole.raw", "1024"]);
}

#[test]
fn size_of_the_disk_is_kept_everywhere_else() {
    let dir = ScratchDir::new();
    let (disk, _) = odd_disk();
    dir.write("odd.raw", &disk);
    dir.write("odd.raw.gz", &gzip(&disk));
    for source in ["odd.raw", "odd.raw.gz"] {
        assert!(dir.ok(&["convert", "-O", "raw", source, "-"]).stdout == disk, "{source}");
        assert!(dir.ok(&["cat", source]).stdout == disk, "{source}");
        for len in [ODD, ROUNDED, 2 << 20] {
            dir.write("target", &vec![0xee; len]);
            dir.ok(&["convert", "-n", source, "target"]);
            assert!(dir.read("target") == [&disk[..], &vec![0xee; len - ODD]].concat(), "{source} {len}");
        }
    }
    assert!(dir.run_fed(&["convert", "--allow-raw", "-", "-"], &disk).stdout == disk);
    assert_eq!(dir.ok(&["create", "-", "1000"]).stdout.len(), 1000);
}

#[test]
fn description_of_an_odd_size_has_whole_sectors_and_the_exact_size() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let (disk, _) = odd_disk();
    dir.write("odd.raw", &disk);
    dir.write("odd.raw.gz", &gzip(&disk));
    let theirs: Value =
        serde_json::from_str(&dir.img(&["info", "--output=json", "-f", "raw", "odd.raw"])).unwrap();
    let exact = dir.ok(&["info", "--json", "odd.raw"]).json();
    assert_eq!(exact["virtual-size"], theirs["virtual-size"]);
    assert_eq!((&exact["virtual-size"], &exact["diskimg"]["virtual-size"]), (&ROUNDED.into(), &ODD.into()));
    let compressed = dir.ok(&["info", "--json", "odd.raw.gz"]).json();
    assert_eq!(
        (&compressed["virtual-size"], &compressed["diskimg"]["virtual-size"]),
        (&ROUNDED.into(), &ODD.into())
    );
    let line = |text: &str| text.lines().find(|line| line.starts_with("virtual size")).unwrap().to_owned();
    let ours = dir.ok(&["info", "odd.raw"]);
    assert_eq!(line(ours.text()), line(&dir.img(&["info", "-f", "raw", "odd.raw"])));
    assert!(ours.text().contains(&format!("exact size: {ODD} bytes")));
    for args in [
        &["measure", "--output=json", "-O", "raw", "--size", "1000"][..],
        &["measure", "--output=json", "-f", "raw", "-O", "raw", "odd.raw"],
    ] {
        let theirs: Value = serde_json::from_str(&dir.img(args)).unwrap();
        assert_eq!(dir.ok(args).json(), theirs, "{args:?}");
    }
}

#[test]
fn empty_raw_file_is_a_disk_of_no_bytes_on_request() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.ok(&["create", "zero.raw", "0"]);
    assert_eq!(file_len(&dir.path("zero.raw")), 0);
    for option in [["-f", "raw"].as_slice(), &["--allow-raw"]] {
        let run = |args: &[&str]| dir.run(&[args, option].concat());
        let info = run(&["info", "--json", "zero.raw"]);
        assert_eq!(
            (info.code, &info.json()["virtual-size"], &info.json()["format"]),
            (0, &0.into(), &"raw".into())
        );
        for format in ["raw", "qcow2", "vdi"] {
            let converted = run(&["convert", "--force", "-O", format, "zero.raw", "out"]);
            assert_eq!(converted.code, 0, "{format} {converted:?}");
            assert!(
                converted.stderr.contains("warning: ") && converted.stderr.contains("no bytes"),
                "{converted:?}"
            );
            let made: Value =
                serde_json::from_str(&dir.img(&["info", "--output=json", "-f", format, "out"])).unwrap();
            assert_eq!(made["virtual-size"], 0, "{format}");
        }
        assert_eq!((run(&["cat", "zero.raw"]).code, run(&["cat", "zero.raw"]).stdout.len()), (0, 0));
        assert_eq!(run(&["map", "zero.raw"]).code, 0);
        assert_eq!(run(&["inspect", "zero.raw"]).code, 2);
        assert_eq!(run(&["convert", "--strict", "--force", "zero.raw", "out"]).code, 1);
    }
    assert_eq!(dir.run(&["compare", "-f", "raw", "-F", "raw", "zero.raw", "zero.raw"]).code, 0);
    // Not by itself, and not a stream, which may have lost its content.
    dir.run(&["convert", "zero.raw", "no.raw"]).fails_with(1, &["empty"]);
    for target in ["no.raw", "-"] {
        assert_eq!(dir.run_fed(&["convert", "-f", "raw", "-", target], b"").code, 1);
    }
    dir.write("zero.raw.gz", &gzip(b""));
    assert_eq!(dir.run(&["convert", "--allow-raw", "zero.raw.gz", "no.raw"]).code, 1);
    assert!(!dir.exists("no.raw"));
}
