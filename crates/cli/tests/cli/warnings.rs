//! Findings of severity warning: the commands that read content print them, and `--strict` makes them errors.

use crate::tools::{RunResult, ScratchDir, gz, mixed_disk};

const MARKED: &str = "diskimg: warning: a writer marked the image as corrupt\n";

/// A readable qcow2 image that a writer marked as corrupt (incompatible feature bit 1), its plain copy, and the disk.
fn marked() -> ScratchDir {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "plain.qcow2"]);
    let mut image = dir.read("plain.qcow2");
    image[79] |= 2;
    dir.write("marked.qcow2", &image);
    dir.write("marked.qcow2.gz", &gz(&image));
    dir
}

/// Runs the command, which must succeed, but may warn.
#[track_caller]
fn passes(dir: &ScratchDir, args: &[&str]) -> RunResult {
    let run = dir.run(args);
    assert_eq!(run.code, 0, "{args:?}: {run:?}");
    run
}

#[test]
fn warning_is_printed_by_each_command_that_reads_content() {
    let dir = marked();
    let disk = dir.read("disk.raw");
    for source in ["marked.qcow2", "marked.qcow2.gz"] {
        let run = passes(&dir, &["convert", "--force", "-O", "raw", source, "out.raw"]);
        assert_eq!((run.stderr.as_str(), dir.read("out.raw") == disk), (MARKED, true), "{source}");
        let run = passes(&dir, &["cat", source]);
        assert_eq!((run.stderr.as_str(), run.stdout == disk), (MARKED, true), "{source}");
        let run = passes(&dir, &["cat", "--length", "512", source]);
        assert_eq!((run.stderr.as_str(), &run.stdout[..]), (MARKED, &disk[..512]), "{source}");
        assert_eq!(passes(&dir, &["check", source]).stderr, MARKED, "{source}");
        assert_eq!(passes(&dir, &["measure", "-O", "qcow2", source]).stderr, MARKED, "{source}");
        let run = passes(&dir, &["compare", "disk.raw", source]);
        assert_eq!(run.stderr, MARKED.replace("warning:", &format!("warning: {source}:")));
        assert_eq!(passes(&dir, &["cat", "-q", source]).stderr, "", "{source}");
        let run = dir.run_fed(&["cat", "-"], &dir.read(source));
        assert_eq!((run.code, run.stderr.as_str(), run.stdout == disk), (0, MARKED, true), "{source}");
        let run = dir.run_fed(&["convert", "--force", "-O", "raw", "-", "out.raw"], &dir.read(source));
        assert_eq!((run.code, run.stderr.as_str()), (0, MARKED), "{source}");
    }
    assert_eq!(dir.ok(&["cat", "plain.qcow2"]).stderr, "");
}

#[test]
fn strict_option_refuses_a_warning_and_leaves_no_target() {
    let dir = marked();
    let words = ["marked the image as corrupt", "corrupt", "byte 72"];
    for source in ["marked.qcow2", "marked.qcow2.gz"] {
        dir.run(&["convert", "--strict", "-O", "raw", source, "out.raw"]).fails_with(1, &words);
        let run = dir.run_fed(&["convert", "--strict", "-O", "raw", "-", "out.raw"], &dir.read(source));
        run.fails_with(1, &words);
        assert!(!dir.path("out.raw").exists(), "{source}");
        dir.run(&["check", "--strict", source]).fails_with(1, &words);
        dir.run(&["measure", "--strict", "-O", "raw", source]).fails_with(1, &words);
        assert_eq!(dir.run(&["cat", "--strict", source]).code, 1);
    }
    dir.ok(&["convert", "--strict", "-O", "raw", "plain.qcow2", "out.raw"]);
}

#[test]
fn warning_about_a_layer_below_names_its_file() {
    let dir = marked();
    dir.ok(&["create", "-f", "qcow2", "-b", "marked.qcow2", "-F", "qcow2", "-u", "top.qcow2", "1M"]);
    let run = passes(&dir, &["cat", "--follow", "top.qcow2"]);
    let below = "diskimg: warning: backing file \"marked.qcow2\": a writer marked the image as corrupt\n";
    assert_eq!((run.stderr.as_str(), run.stdout == dir.read("disk.raw")), (below, true));
}

#[test]
fn strict_option_accepts_references_that_are_followed() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    let convert = ["convert", "-f", "raw", "-O"];
    dir.img(&[&convert[..], &["vdi", "disk.raw", "base.vdi"]].concat());
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "base.vdi", "-F", "vdi", "chain.qcow2"]);
    dir.img(&[&convert[..], &["qcow2", "-o", "data_file=data", "disk.raw", "data.qcow2"]].concat());
    for subformat in ["monolithicFlat", "twoGbMaxExtentSparse"] {
        let (option, target) = (format!("subformat={subformat}"), format!("{subformat}.vmdk"));
        dir.img(&[&convert[..], &["vmdk", "-o", &option, "disk.raw", &target]].concat());
    }
    dir.img(&[&convert[..], &["vmdk", "disk.raw", "base.vmdk"]].concat());
    dir.img(&["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "chain.vmdk"]);
    for image in
        ["chain.qcow2", "data.qcow2", "monolithicFlat.vmdk", "twoGbMaxExtentSparse.vmdk", "chain.vmdk"]
    {
        dir.ok(&["convert", "--strict", "--follow", "--force", "-O", "raw", image, "out.raw"]);
        assert!(dir.read("out.raw") == disk, "{image}");
        assert!(dir.ok(&["cat", "--strict", "--follow", image]).stdout == disk, "{image}");
        dir.ok(&["measure", "--strict", "--follow", "-O", "raw", image]);
        dir.ok(&["check", "--strict", "--follow", image]);
        dir.run(&["cat", "--strict", image]).fails_with(1, &["--follow"]);
    }
    dir.ok(&["cat", "--strict", "--parent", "base.vdi", "chain.qcow2"]);
}
