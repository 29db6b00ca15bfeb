//! System calls that fail or take long, by `strace`: output that cannot be written, and a signal meanwhile.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::tools::{ScratchDir, mixed_disk, stderr};

/// Returns true if `strace` can trace here. In CI it must be installed.
fn can_trace() -> bool {
    match Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output() {
        Ok(output) if output.status.success() => true,
        Ok(_) => {
            eprintln!("skipped: strace may not trace here");
            false
        }
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "strace is not installed, and CI must not skip");
            eprintln!("skipped: strace is not installed");
            false
        }
    }
}

#[test]
fn input_output_error_on_standard_output_is_a_failure_of_every_command() {
    if !can_trace() {
        return;
    }
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(3 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    for command in [
        "info disk.qcow2",
        "info --output=json disk.qcow2",
        "probe disk.qcow2",
        "probe --json disk.qcow2",
        "inspect disk.qcow2",
        "inspect --json disk.qcow2",
        "map disk.qcow2",
        "map --output=json disk.qcow2",
        "map --totals disk.qcow2",
        "check disk.qcow2",
        "check --json disk.qcow2",
        "compare disk.qcow2 disk.raw",
        "compare --json disk.qcow2 disk.raw",
        "measure -O raw disk.qcow2",
        "measure --json -O raw disk.qcow2",
        "cat disk.qcow2",
        "cat --offset 1M disk.raw",
        "convert -O raw disk.qcow2 -",
        "convert -O raw disk.raw -",
        "convert -O vmdk -o subformat=streamOptimized disk.raw -",
        "formats",
        "completions bash",
        "--help",
        "--version",
        "convert --help",
    ] {
        let calls = "write,writev,pwrite64,copy_file_range,sendfile,splice";
        let script =
            format!("strace -f -qq -o /dev/null -P out -e inject={calls}:error=EIO -- $D {command} > out");
        let output = dir.shell(&script);
        let code = output.status.code();
        assert!(
            code.is_some_and(|code| code != 0 && code != 101),
            "{command}: {:?} {}",
            output.status,
            stderr(&output)
        );
        assert_eq!(dir.read("out"), b"", "{command}");
    }
}

#[test]
fn signal_during_create_leaves_no_file() {
    if !can_trace() {
        return;
    }
    for (name, code) in [("TERM", 143), ("HUP", 129)] {
        let dir = ScratchDir::new();
        // Files without names are refused, as by some file systems; the space is reserved for ten seconds.
        let script = format!(
            "set -e; strace -f -qq -o log -e trace=openat -- $D create -o preallocation=falloc first 1M\n\
             n=$(grep openat log | grep -n -m 1 O_TMPFILE); n=${{n%%:*}}; rm -f log first\n\
             strace -f -qq -o /dev/null -e trace=openat,fallocate -e inject=openat:error=EOPNOTSUPP:when=$n \
             -e inject=fallocate:delay_enter=10000000 -- $D create -o preallocation=falloc target 1M & tracer=$!\n\
             for i in $(seq 100); do ls -A | grep -q diskimg- && break; sleep 0.1; done\n\
             ls -A | grep diskimg- > /dev/null\n\
             kill -{name} $(pgrep -P $tracer)\n\
             wait $tracer"
        );
        let output = dir.shell(&script);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", stderr(&output));
        assert_eq!(dir.names(), [""; 0], "{name}");
    }
}
