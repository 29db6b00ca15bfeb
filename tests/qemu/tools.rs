//! Runs `qemu-img` and `qemu-io`, the oracle of many tests.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

/// Returns true if both tools are installed. Otherwise prints that the test is skipped; in CI that is a failure.
pub(crate) fn have_qemu() -> bool {
    for tool in ["qemu-img", "qemu-io"] {
        if Command::new(tool).arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{tool} is not installed, and CI must not skip");
            eprintln!("skipped: {tool} is not installed");
            return false;
        }
    }
    true
}

/// Runs a tool in `directory`. The tool may fail.
pub(crate) fn run(directory: &Path, tool: &str, arguments: &[&str]) -> Output {
    Command::new(tool).current_dir(directory).args(arguments).output().unwrap()
}

/// Runs a tool in `directory`, asserts that it succeeds, and returns its standard output.
#[track_caller]
pub(crate) fn qemu(directory: &Path, tool: &str, arguments: &[&str]) -> String {
    let output = run(directory, tool, arguments);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {printed}{errors}");
    printed
}

/// Runs commands of `qemu-io` on an image in `directory` and asserts that each succeeds.
#[track_caller]
pub(crate) fn qemu_io(directory: &Path, format: &str, image: &str, commands: &[&str]) {
    let mut arguments = vec!["-f", format];
    commands.iter().for_each(|command| arguments.extend(["-c", command]));
    arguments.push(image);
    let printed = qemu(directory, "qemu-io", &arguments);
    assert!(!printed.contains("failed"), "{commands:?}: {printed}");
}
