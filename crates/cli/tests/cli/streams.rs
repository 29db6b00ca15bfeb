//! Images on standard input: told and converted as from a file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tools::{Workshop, mixed_disk};

/// The checked-in images that can be told without a flag.
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

/// `info` without what only a file has.
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
    assert!(object["diskimg"].as_object_mut().unwrap().remove("file-size").is_some());
    info
}

#[test]
fn a_stream_is_told_as_its_file_is() {
    let shop = Workshop::new();
    for image in images() {
        let bytes = std::fs::read(&image).unwrap();
        shop.write("image", &bytes);
        let expected = of_a_stream(shop.ok(&["info", "--output=json", "image"]).json());
        for command in ["info", "probe"] {
            let told = shop.run_fed(&[command, "--output=json", "-"], &bytes);
            assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{}", image.display());
            assert_eq!(of_a_stream(told.json()), expected, "{command} {}", image.display());
        }
        assert_eq!(of_a_stream(shop.ok(&["probe", "--json", "image"]).json()), expected);
    }
    assert_eq!(shop.names(), ["image"], "no temporary file is left, nor was one needed");
}

#[test]
fn a_packed_image_becomes_a_raw_file_without_a_temporary_one() {
    let shop = Workshop::new();
    let disk = mixed_disk(5 << 20);
    shop.write("disk.raw", &disk);
    shop.ok(&["convert", "-O", "qcow2", "disk.raw", "plain.qcow2"]);
    shop.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "packed.qcow2"]);
    for (tool, name) in
        [("gzip", "plain.qcow2"), ("xz", "packed.qcow2"), ("xz", "disk.raw"), ("cat", "packed.qcow2")]
    {
        let arguments: &[&str] = if tool == "cat" { &[] } else { &["-c"] };
        let Ok(packed) = Command::new(tool).args(arguments).arg(shop.path(name)).output() else {
            eprintln!("skipped: {tool} is not installed");
            continue;
        };
        let told = shop.run_fed(&["convert", "--no-spool", "-", "target.raw"], &packed.stdout);
        assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{tool} {name}");
        assert!(shop.read("target.raw") == disk, "{tool} {name}");
        std::fs::remove_file(shop.path("target.raw")).unwrap();
    }
}

#[test]
fn probing_stops_reading_when_it_is_certain() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let mut head = shop.read("disk.qcow2");
    head.resize(1 << 20, 0);
    let mut child = shop.command(&["probe", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may be certain, and gone, before it has all of this.
    let _ = stdin.write_all(&head[..300 << 10]);
    // The pipe stays open: whoever waits for its end waits forever.
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "qcow2 1048576\n");
    drop(stdin);
}

#[test]
fn what_is_ambiguous_or_unknown_on_a_pipe_is_said_so() {
    let shop = Workshop::new();
    let mut disc = vec![0; 100_000];
    disc[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    disc[32_769..32_774].copy_from_slice(b"CD001");
    shop.run_fed(&["probe", "-"], &disc).fails_with(1, &["qcow2 and as iso9660", "hint: "]);
    shop.run_fed(&["probe", "-"], b"some text").fails_with(2, &["no image format"]);
    shop.run_fed(&["probe", "-"], b"vhdxfile").fails_with(1, &["vhdx"]);
    shop.run_fed(&["probe", "-"], b"").fails_with(2, &["empty"]);
}
