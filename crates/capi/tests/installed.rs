//! The installed library, used by programs in C, C++, Python and Go. The tests install it into a scratch
//! prefix, build the programs in `tests/c` and `examples/c` against that copy, and run them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt;
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

/// The machine that the tests run on, as the name of a target.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// A build id for the linker. The library of another build has another one.
const BUILD_ID: &str = "6469736b696d6731";

/// Returns `install.sh` with a prefix. It builds for a target that is named, with debug information.
fn script(prefix: &Path) -> Command {
    let mut script = Command::new(root().join("install.sh"));
    script.env("PREFIX", prefix).env("PROFILE", "dev").env("STRIP", "no").env("CARGO", env!("CARGO"));
    script.env("CARGO_BUILD_TARGET", host()).env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    script.env("RUSTFLAGS", format!(" -C link-arg=-Wl,--build-id=0x{BUILD_ID} "));
    script.env_remove("CARGO_ENCODED_RUSTFLAGS");
    script
}

/// Runs `install.sh`, one at a time: a concurrent run would overwrite the library before it is copied.
fn install(script: &mut Command) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    succeed(script);
}

fn has_the_build_id(library: &Path) -> bool {
    let output = Command::new("readelf").arg("-n").arg(library).output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains(&format!("Build ID: {BUILD_ID}\n"))
}

#[test]
fn target_of_the_environment_or_of_a_file_is_installed_with_the_flags_of_the_user() {
    if !["cc", "readelf", "objcopy"].into_iter().all(installed) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    install(&mut script(&scratch.path().join("environment")));
    // The same setting as in a file of cargo.
    let cargo = scratch.path().join("cargo");
    let text = format!("#!/bin/sh\nexec {} --config 'build.target=\"{}\"' \"$@\"\n", env!("CARGO"), host());
    std::fs::write(&cargo, text).unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let prefix = scratch.path().join("file");
    install(script(&prefix).env_remove("CARGO_BUILD_TARGET").env("CARGO", &cargo));
    for kind in ["environment", "file"] {
        assert!(has_the_build_id(&scratch.path().join(kind).join("lib/libdiskimg.so")), "{kind}");
    }
}

#[test]
fn build_that_fails_installs_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let earlier = scratch.path().join("lib/libdiskimg.so.0.1.0");
    std::fs::create_dir(scratch.path().join("lib")).unwrap();
    std::fs::write(&earlier, "earlier").unwrap();
    let output = script(scratch.path()).env("CARGO_BUILD_TARGET", "nowhere-none-linux-gnu").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("nowhere-none-linux-gnu"), "{said}");
    assert!(said.contains("the build failed; nothing is installed"), "{said}");
    assert_eq!(std::fs::read(&earlier).unwrap(), b"earlier");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn prefix_that_cannot_be_written_is_refused_before_the_build() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("file"), "").unwrap();
    for (prefix, why) in [
        (scratch.path().join("file/below"), "is not a directory that you can write"),
        ("lib".into(), "absolute"),
    ] {
        let output = script(&prefix).env("CARGO", "false").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
        assert!(!said.contains("the build failed"), "{said}");
    }
}

#[test]
fn installer_says_how_to_compile_with_a_prefix_of_its_own() {
    if !["cc", "pkg-config", "bash"].into_iter().all(installed) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let said = scratch.path().join("said");
    let mut command = script(&scratch.path().join("prefix"));
    install(command.stdout(std::fs::File::create(&said).unwrap()));
    let said = std::fs::read_to_string(&said).unwrap();
    assert!(said.starts_with("building libdiskimg "), "{said}");
    let (_, lines) = said.split_once("compile with:\n").unwrap();
    assert_eq!(lines.lines().count(), 2, "{said}");
    let program = r#"#include <diskimg.h>
        int main(void) { return diskimg_version_string() == 0; }"#;
    std::fs::write(scratch.path().join("PROGRAM.c"), program).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-euc", &format!("{lines}./a.out")]).current_dir(scratch.path());
    succeed(shell.env_remove("PKG_CONFIG_PATH").env_remove("LD_LIBRARY_PATH"));
}

#[test]
fn programs_build_and_run_against_an_installed_copy() {
    if !["cc", "c++", "make", "pkg-config", "bash"].into_iter().all(installed) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let prefix = scratch.path().join("prefix");
    install(&mut script(&prefix));
    // A package is installed under DESTDIR, which must not appear in it.
    let destdir = scratch.path().join("package");
    install(script(Path::new("/usr")).env("DESTDIR", &destdir));
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
    install(&mut script(scratch.path()));
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
    install(script(&prefix).env("LIBLZMA", "system").env("PKG_CONFIG_PATH", &liblzma));
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
    let mut script = script(scratch.path());
    let output = script.env("LIBLZMA", "system").env("PKG_CONFIG_PATH", scratch.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("liblzma >= 5.8.1"), "{said}");
    assert!(!scratch.path().join("lib").exists());
}
