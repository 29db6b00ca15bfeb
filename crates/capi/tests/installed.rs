//! The installed library, as a program in C, C++, Python or Go meets it: everything is built against a copy in a
//! scratch prefix, and run. What each program proves stands in `tests/c` and `examples/c`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::Command;

/// Whether a tool is there. In CI a missing one is a failure.
fn installed(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "{tool} is not installed");
    if !there {
        eprintln!("skipped: {tool} is not installed");
    }
    there
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    for skipped in out.lines().filter(|line| line.starts_with("skipped")) {
        eprintln!("{skipped}");
    }
}

#[test]
fn programs_build_and_run_against_an_installed_copy() {
    if !["cc", "c++", "make", "pkg-config", "bash"].into_iter().all(installed) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = tempfile::tempdir().unwrap();
    let prefix = scratch.path().join("prefix");
    succeed(
        Command::new(root.join("install.sh"))
            .env("PREFIX", &prefix)
            .env("PROFILE", "dev")
            .env("CARGO", env!("CARGO")),
    );
    // A package is built below DESTDIR, and must not know of it.
    let destdir = scratch.path().join("package");
    succeed(
        Command::new(root.join("install.sh"))
            .env("DESTDIR", &destdir)
            .env("PREFIX", "/usr")
            .env("PROFILE", "dev")
            .env("CARGO", env!("CARGO")),
    );
    let pc = std::fs::read_to_string(destdir.join("usr/lib/pkgconfig/diskimg.pc")).unwrap();
    assert!(pc.contains("prefix=/usr\n") && !pc.contains(destdir.to_str().unwrap()), "{pc}");
    succeed(
        Command::new("make")
            .arg("-C")
            .arg(root.join("../../examples/c"))
            .arg("check")
            .arg(format!("PREFIX={}", prefix.display()))
            .arg(format!("OUT={}", scratch.path().join("build").display()))
            // Of the make or the test run that may have started us.
            .env_remove("MAKEFLAGS")
            .env_remove("LD_LIBRARY_PATH"),
    );
}
