//! `qemu-img` and `vmdkinfo` as judges.

use std::path::Path;
use std::process::{Command, Output};

use super::*;

/// Whether a tool is there; said aloud where it is not. That `qemu-img` is missing is a failure where the
/// environment says that it must not.
pub(super) fn has(tool: &str) -> bool {
    if Command::new(tool).arg("--help").output().is_ok() {
        return true;
    }
    let needed = tool == "qemu-img" && std::env::var_os("CI").is_some();
    assert!(!needed, "{tool} must be installed");
    eprintln!("skipped: {tool} is not installed");
    false
}

pub(super) fn run(tool: &str, arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(tool).args(arguments).args(paths).output().unwrap()
}

/// What a tool says when it is content.
#[track_caller]
pub(super) fn said(tool: &str, arguments: &[&str], paths: &[&Path]) -> String {
    let output = run(tool, arguments, paths);
    assert!(output.status.success(), "{tool} {arguments:?}: {}", text(&output));
    text(&output)
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// QEMU reads the image as `raw`, which has whole sectors, calls it what it is, and finds nothing wrong.
#[track_caller]
pub(super) fn approved(folder: &Folder, options: &WriterOptions, raw: &Path) {
    let image = folder.path(NAME);
    // Without a format given: the image is to be recognised.
    let info = said("qemu-img", &["info", "--output=json"], &[&image]);
    assert!(info.contains("\"format\": \"vmdk\""), "{info}");
    assert!(info.contains(&format!("\"create-type\": \"{}\"", options.subformat.name())), "{info}");
    let size = options.virtual_size.next_multiple_of(512);
    assert!(info.contains(&format!("\"virtual-size\": {size}")), "{info}");
    assert!(info.contains(&format!("\"cid\": {}", options.cid)), "{info}");
    said("qemu-img", &["compare", "-f", "raw", "-F", "vmdk"], &[raw, &image]);
    let check = said("qemu-img", &["check", "-f", "vmdk"], &[&image]);
    assert!(check.contains("No errors were found"), "{check}");
}

/// The same for a disk in memory.
#[track_caller]
pub(super) fn approved_as(folder: &Folder, options: &WriterOptions, disk: &[u8]) {
    let raw = folder.path("oracle.raw");
    std::fs::write(&raw, in_sectors(disk)).unwrap();
    approved(folder, options, &raw);
}
