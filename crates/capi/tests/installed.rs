//! The installed library, used by programs in C, C++, Python and Go. The tests install it into a scratch
//! prefix, build the programs in `tests/c` and `examples/c` against that copy, and run them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Returns true if a tool is installed. In CI a missing tool is a failure.
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `install.sh`, one at a time: a concurrent run would overwrite the library before it is copied.
fn install(prefix: &Path, vars: &[(&str, &Path)]) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut script = Command::new(root().join("install.sh"));
    script.env("PREFIX", prefix).env("PROFILE", "dev").env("CARGO", env!("CARGO"));
    succeed(script.envs(vars.iter().copied()));
}

#[test]
fn programs_build_and_run_against_an_installed_copy() {
    if !["cc", "c++", "make", "pkg-config", "bash"].into_iter().all(installed) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let prefix = scratch.path().join("prefix");
    install(&prefix, &[]);
    // A package is installed under DESTDIR, which must not appear in it.
    let destdir = scratch.path().join("package");
    install(Path::new("/usr"), &[("DESTDIR", &destdir)]);
    let pc = std::fs::read_to_string(destdir.join("usr/lib/pkgconfig/diskimg.pc")).unwrap();
    assert!(pc.contains("prefix=/usr\n") && !pc.contains(destdir.to_str().unwrap()), "{pc}");
    assert!(!pc.contains("lzma"), "{pc}");
    succeed(
        Command::new("make")
            .arg("-C")
            .arg(root().join("../../examples/c"))
            .arg("check")
            .arg(format!("PREFIX={}", prefix.display()))
            .arg(format!("OUT={}", scratch.path().join("build").display()))
            // Variables of a make or a test run that may have started this one.
            .env_remove("MAKEFLAGS")
            .env_remove("LD_LIBRARY_PATH"),
    );
}

#[test]
fn python_package_is_built_installed_and_tested() {
    if !["bash", "python3"].into_iter().all(installed) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    install(scratch.path(), &[]);
    succeed(Command::new(root().join("../../bindings/python/check")).env("PREFIX", scratch.path()));
}

/// Returns a folder for `PKG_CONFIG_PATH` with a liblzma that is new enough; `None` if the system has none.
///
/// An older liblzma is declared as 5.8.1. The version does not affect which library defines the symbols.
fn system_liblzma(scratch: &Path) -> Option<PathBuf> {
    let query = |option: &str| {
        let output = Command::new("pkg-config").args([option, "liblzma"]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let Some(flags) = query("--libs") else {
        assert!(std::env::var_os("CI").is_none(), "the system has no liblzma to link with");
        eprintln!("skipped: the system has no liblzma to link with");
        return None;
    };
    let folder = scratch.join("liblzma");
    std::fs::create_dir(&folder).unwrap();
    let pc = format!("Name: liblzma\nDescription: the system's\nVersion: 5.8.1\nLibs: {flags}\n");
    std::fs::write(folder.join("liblzma.pc"), pc).unwrap();
    Some(folder)
}

#[test]
fn system_liblzma_is_linked_instead_of_the_bundled_one() {
    if !["cc", "pkg-config", "nm", "bash", "xz"].into_iter().all(installed) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let Some(liblzma) = system_liblzma(scratch.path()) else { return };
    let prefix = scratch.path().join("prefix");
    install(&prefix, &[("LIBLZMA", Path::new("system")), ("PKG_CONFIG_PATH", &liblzma)]);
    let script = r#"set -euo pipefail
        names() { nm "$@" 2>/dev/null | grep -c " $kind lzma_" || true; }
        kind=T; [ "$(names "$PREFIX/lib/libdiskimg.a")" = 0 ]
        kind=U; [ "$(names "$PREFIX/lib/libdiskimg.a")" -gt 0 ]
        [ "$(names -D "$PREFIX/lib/libdiskimg.so")" -gt 0 ]
        export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig:$FOUND
        pkg-config --libs diskimg | grep -vq lzma
        cc -o "$PREFIX/static" "$PROBE" $(pkg-config --cflags diskimg) "$PREFIX/lib/libdiskimg.a" \
            $(pkg-config --static --libs-only-l diskimg | sed 's/-ldiskimg//')
        cc -o "$PREFIX/shared" "$PROBE" $(pkg-config --cflags --libs diskimg) -Wl,-rpath,"$PREFIX/lib"
        for kind in static shared; do
            [ "$("$PREFIX/$kind" raw <"$XZ")" = "raw+xz $(xz -dc "$XZ" | wc -c)" ]
        done"#;
    succeed(
        Command::new("bash")
            .args(["-c", script])
            .env("PREFIX", &prefix)
            .env("FOUND", &liblzma)
            .env("PROBE", root().join("../../examples/c/probe.c"))
            .env("XZ", root().join("../../tests/images/good/blocks-and-streams.raw.xz"))
            .env_remove("LD_LIBRARY_PATH"),
    );
}

#[test]
fn old_liblzma_is_rejected_and_not_replaced_by_the_bundled_one() {
    if !installed("pkg-config") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let pc = "Name: liblzma\nDescription: an old one\nVersion: 5.6.1\n";
    std::fs::write(scratch.path().join("liblzma.pc"), pc).unwrap();
    let mut script = Command::new(root().join("install.sh"));
    script.env("PREFIX", scratch.path()).env("LIBLZMA", "system").env("PKG_CONFIG_PATH", scratch.path());
    let output = script.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("liblzma >= 5.8.1"), "{said}");
    assert!(!scratch.path().join("lib").exists());
}
