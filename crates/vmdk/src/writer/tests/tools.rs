//! Comparison with `qemu-img` and `vmdkinfo`.

use std::path::Path;
use std::process::{Command, Output};

use super::*;

/// Returns true if a tool is installed, and prints a message if not. Panics if `CI` is set, where `qemu-img` is required.
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

/// Runs a tool that must succeed, and returns its output.
#[track_caller]
pub(super) fn output_of(tool: &str, arguments: &[&str], paths: &[&Path]) -> String {
    let output = run(tool, arguments, paths);
    assert!(output.status.success(), "{tool} {arguments:?}: {}", text(&output));
    text(&output)
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Asserts that QEMU recognises the image, reads the bytes of `raw`, which has whole sectors, and finds no error.
#[track_caller]
pub(super) fn approved(folder: &Folder, options: &WriterOptions, raw: &Path) {
    let image = folder.path(NAME);
    // Without a format: QEMU must recognise the image.
    let info = output_of("qemu-img", &["info", "--output=json"], &[&image]);
    assert!(info.contains("\"format\": \"vmdk\""), "{info}");
    assert!(info.contains(&format!("\"create-type\": \"{}\"", options.subformat.name())), "{info}");
    let size = options.virtual_size.next_multiple_of(512);
    assert!(info.contains(&format!("\"virtual-size\": {size}")), "{info}");
    if let Some(cid) = options.cid {
        assert!(info.contains(&format!("\"cid\": {cid}")), "{info}");
    }
    output_of("qemu-img", &["compare", "-f", "raw", "-F", "vmdk"], &[raw, &image]);
    let check = output_of("qemu-img", &["check", "-f", "vmdk"], &[&image]);
    assert!(check.contains("No errors were found"), "{check}");
}

/// Calls [`approved`] with a disk in memory.
#[track_caller]
pub(super) fn approved_as(folder: &Folder, options: &WriterOptions, disk: &[u8]) {
    let raw = folder.path("oracle.raw");
    std::fs::write(&raw, in_sectors(disk)).unwrap();
    approved(folder, options, &raw);
}
