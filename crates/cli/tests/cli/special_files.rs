//! Named pipes, descriptors and devices as sources and targets, and a standard output that cannot be written.
#![cfg(unix)]

use std::process::{Command, Output};

use crate::tools::{ScratchDir, mixed_disk, stderr};

fn with_image() -> ScratchDir {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(2 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    dir
}

/// The ways to read `disk.qcow2` as a stream: a redirection, and the name of the source.
const STREAMS: [(&str, &str); 5] = [
    ("< disk.qcow2", "-"),
    ("< disk.qcow2", "/dev/stdin"),
    ("3< disk.qcow2", "/dev/fd/3"),
    ("< <(cat disk.qcow2)", "/dev/stdin"),
    ("", "<(cat disk.qcow2)"),
];

#[test]
fn stream_is_a_source_by_any_name() {
    let dir = with_image();
    for (redirection, source) in STREAMS {
        for (command, rest) in [
            ("convert -O raw", "target && cmp target disk.raw"),
            ("cat", "| cmp - disk.raw"),
            ("compare", "disk.raw"),
            ("check", "| grep -q 'No errors'"),
            ("measure -O raw", "| grep -q required"),
            ("probe", "| grep -q '^qcow2'"),
            ("inspect", ">/dev/null"),
        ] {
            let (before, after) = rest.split_at(rest.find(['|', '&', '>']).unwrap_or(rest.len()));
            let script = format!(
                "set -o pipefail; rm -f target; $D {command} {source} {before} {redirection} {after}"
            );
            let output = dir.shell(&script);
            assert_eq!(output.status.code(), Some(0), "{script}: {}", stderr(&output));
        }
    }
}

#[test]
fn stream_has_the_description_and_the_map_of_its_file() {
    let dir = with_image();
    let of_file = |command: &str| dir.shell(&format!("$D {command} disk.qcow2")).stdout;
    let expected = (of_file("map --output=json"), of_file("info | head -n 3 | tail -n 2"));
    for (redirection, source) in STREAMS {
        let map = dir.shell(&format!("$D map --output=json {source} {redirection}")).stdout;
        assert!(map == expected.0, "{source}");
        let info = dir.shell(&format!("$D info {source} {redirection}"));
        assert!(String::from_utf8_lossy(&info.stdout).contains("file format: qcow2"), "{source}");
    }
    let named = dir
        .shell("mkfifo pipe; cat disk.qcow2 > pipe & $D convert -O raw pipe target && cmp target disk.raw");
    assert_eq!(named.status.code(), Some(0), "{}", stderr(&named));
}

#[test]
fn two_images_cannot_be_the_same_stream() {
    let dir = with_image();
    let output = dir.shell("$D compare - - < disk.qcow2");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("read only once"), "{}", stderr(&output));
}

#[test]
fn stream_is_a_target_by_any_name() {
    let dir = with_image();
    for script in [
        "$D convert -O raw disk.qcow2 - > target",
        "$D convert -O raw disk.qcow2 /dev/stdout > target",
        "$D convert -O raw disk.qcow2 /dev/fd/1 > target",
        "$D convert -O raw disk.qcow2 /dev/stdout | cat > target",
        "$D convert -O raw disk.qcow2 /dev/fd/3 3> target",
        "$D convert -O raw disk.qcow2 >(cat > target); sleep 0.3",
        "mkfifo pipe; cat pipe > target & $D convert -O raw disk.qcow2 pipe; wait",
    ] {
        let output = dir.shell(&format!("set -e; rm -f target pipe; {script}; cmp target disk.raw"));
        assert_eq!(output.status.code(), Some(0), "{script}: {}", stderr(&output));
    }
}

#[test]
fn standard_output_that_cannot_be_written_is_a_failure() {
    let dir = with_image();
    for command in [
        "info disk.qcow2",
        "info --output=json disk.qcow2",
        "probe disk.qcow2",
        "inspect disk.qcow2",
        "map disk.qcow2",
        "map --output=json disk.qcow2",
        "check disk.qcow2",
        "compare disk.qcow2 disk.raw",
        "measure -O raw disk.qcow2",
        "cat disk.qcow2",
        "convert -O raw disk.qcow2 -",
        "convert -O qcow2 disk.qcow2 /dev/full",
        "formats",
        "completions bash",
        "--help",
        "--version",
        "convert --help",
    ] {
        let output = dir.shell(&format!("$D {command} > /dev/full"));
        let code = output.status.code();
        assert!(code.is_some_and(|code| code != 0 && code != 101), "{command}: {code:?} {}", stderr(&output));
        let closed = dir.shell(&format!("$D {command} 2>&1 | true; exit ${{PIPESTATUS[0]}}"));
        assert_ne!(closed.status.code(), Some(101), "{command}");
    }
}

/// Runs a script in a mount namespace of its own. `None` if this user cannot mount.
fn with_mounts(dir: &ScratchDir, script: &str) -> Option<Output> {
    let in_namespace = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "bash", "-ec", script]).current_dir(dir.path(""));
        unshare.env("D", env!("CARGO_BIN_EXE_diskimg")).output()
    };
    let can = in_namespace("touch a b; mount --bind a b; rm a");
    if can.is_ok_and(|output| output.status.success()) {
        return Some(in_namespace(script).unwrap());
    }
    eprintln!("skipped: this user cannot mount a file");
    None
}

#[test]
fn file_that_is_mounted_is_written_in_place() {
    for (format, before) in
        [("raw", "truncate -s 5M there"), ("qcow2", ": > there"), ("vdi", "head -c 9M /dev/urandom > there")]
    {
        let dir = with_image();
        let convert = format!("$D convert --force -f qcow2 -O {format} disk.qcow2 target");
        let script = format!(
            "{before}; touch target; mount --bind there target; {convert}; $D compare -F {format} disk.raw there"
        );
        let Some(output) = with_mounts(&dir, &script) else { return };
        assert_eq!(output.status.code(), Some(0), "{format}: {}", stderr(&output));
        // The name in the directory is that of the empty file below the mount.
        assert!(dir.read("target").is_empty());
        let refused = with_mounts(&dir, &script.replace("--force", "")).unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    }
}
