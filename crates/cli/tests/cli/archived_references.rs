//! The names in a disk that is a member of an archive: no file beside the archive is read for them.

use std::process::Command;

use crate::tools::{ScratchDir, mixed_disk};

const SIZE: usize = 2 << 20;
const REFUSED: &str = "it is named by a disk in an archive, which is read alone";

#[track_caller]
fn run(dir: &ScratchDir, program: &str, args: &[&str]) {
    let output = Command::new(program).current_dir(dir.path(".")).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

/// Checks that all commands which read content refuse the archive, as a file and as a stream, with a hint or without one.
#[track_caller]
fn is_read_alone(dir: &ScratchDir, archive: &str, hint: Option<&str>) {
    let bytes = dir.read(archive);
    let commands: [&[&str]; 6] = [
        &["convert", "-O", "raw"],
        &["convert", "-O", "qcow2"],
        &["cat"],
        &["map"],
        &["measure", "-O", "raw"],
        &["info", "--backing-chain"],
    ];
    for command in commands {
        let target: &[&str] = if command[0] == "convert" { &["none.out"] } else { &[] };
        for options in [&["--follow"][..], &["--search-dir", "."]] {
            if command[0] == "info" && options[0] != "--follow" && hint.is_none() {
                continue; // It opens extents only with the other option.
            }
            let file = dir.run(&[command, options, &[archive], target].concat());
            let stream = dir.run_fed(&[command, options, &["-"], target].concat(), &bytes);
            for run in [file, stream] {
                run.fails_with(1, &[REFUSED]);
                let found = run.stderr.lines().find_map(|line| line.strip_prefix("hint: "));
                assert_eq!(found, hint, "{command:?}");
            }
            assert!(!dir.exists("none.out"), "{archive}");
        }
    }
}

#[test]
fn extent_of_a_disk_in_an_archive_is_never_a_file_beside_the_archive() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("other.raw", &vec![7; SIZE]);
    dir.write("b.raw", &mixed_disk(SIZE));
    dir.write("vm.ovf", b"<Envelope/>");
    let split = |raw: &str| {
        let subformat = "subformat=twoGbMaxExtentSparse";
        dir.img(&["convert", "-f", "raw", "-O", "vmdk", "-o", subformat, raw, "sp.vmdk"]);
    };
    split("b.raw");
    run(&dir, "gzip", &["-k", "sp.vmdk"]);
    run(&dir, "tar", &["cf", "plain.ova", "vm.ovf", "sp.vmdk"]);
    run(&dir, "tar", &["cf", "gz.ova", "vm.ovf", "sp.vmdk.gz"]);
    run(&dir, "gzip", &["-k", "plain.ova", "gz.ova"]);
    split("other.raw");
    // The disk itself, outside of an archive, has the file.
    dir.ok(&["convert", "--follow", "sp.vmdk", "out.raw"]);
    assert!(dir.read("out.raw") == dir.read("other.raw"));
    for archive in ["plain.ova", "gz.ova", "plain.ova.gz", "gz.ova.gz"] {
        is_read_alone(&dir, archive, None);
        dir.run(&["check", "--follow", archive]).fails_with(1, &[REFUSED]);
        dir.run_fed(&["check", "--follow", "-"], &dir.read(archive)).fails_with(1, &[REFUSED]);
        dir.ok(&["info", archive]);
    }
}

#[test]
fn backing_file_of_a_disk_in_an_archive_is_only_the_one_that_is_given() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("b.raw", &mixed_disk(SIZE));
    dir.img(&["convert", "-f", "raw", "-O", "qcow2", "b.raw", "base.qcow2"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]);
    run(&dir, "gzip", &["-k", "top.qcow2"]);
    for (archive, disk) in [("plain.tar", "top.qcow2"), ("gz.tar", "top.qcow2.gz")] {
        run(&dir, "tar", &["cf", archive, disk]);
        run(&dir, "gzip", &["-k", archive]);
        for archive in [archive, &format!("{archive}.gz")] {
            is_read_alone(&dir, archive, Some("use --parent FILE to name the parent"));
            dir.ok(&["convert", "--force", "--parent", "base.qcow2", archive, "out.raw"]);
            assert!(dir.read("out.raw") == dir.read("b.raw"), "{archive}");
            let args = ["info", "--backing-chain", "--output=json", "--parent", "base.qcow2", archive];
            assert_eq!(dir.ok(&args).json().as_array().map(Vec::len), Some(2), "{archive}");
        }
    }
}
