//! SIGINT and SIGTERM: the exit code, a prompt end, and no file left.
#![cfg(unix)]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tools::{ScratchDir, mixed_disk};

/// The time limit for the end on a busy machine. A stall would never end.
const PATIENCE: Duration = Duration::from_secs(20);

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[track_caller]
fn exit_code(mut child: Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.code(),
            None if started.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the signal did not end the command");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Starts a command whose input stalls after its first bytes. They are more than a pipe holds, so the command has read
/// some when this returns. The returned handle keeps the pipe open.
fn stalled(dir: &ScratchDir, args: &[&str]) -> (Child, std::process::ChildStdin) {
    let mut child = dir.command(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&mixed_disk(3 << 20)).unwrap();
    (child, stdin)
}

#[test]
fn stalled_conversion_stops_and_leaves_no_file() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        for format in ["raw", "qcow2"] {
            let dir = ScratchDir::new();
            let (child, _open) = stalled(&dir, &["convert", "-O", format, "-", "target"]);
            signal(&child, name);
            assert_eq!(exit_code(child), Some(code), "{format}");
            assert!(dir.names().is_empty(), "{:?}", dir.names());
        }
    }
}

#[test]
fn stalled_cat_stops_and_leaves_no_file() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        for args in [&["cat", "-"][..], &["cat", "--offset", "1", "-"]] {
            let dir = ScratchDir::new();
            let (mut child, _open) = stalled(&dir, args);
            // The reader takes all output.
            let mut stdout = child.stdout.take().unwrap();
            std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
            signal(&child, name);
            assert_eq!(exit_code(child), Some(code), "{args:?}");
            assert!(dir.names().is_empty(), "{:?}", dir.names());
        }
    }
}

#[test]
fn existing_target_survives_a_signal() {
    let dir = ScratchDir::new();
    dir.write("target", b"precious");
    let (child, _open) = stalled(&dir, &["convert", "--force", "-", "target"]);
    signal(&child, "-TERM");
    assert_eq!(exit_code(child), Some(143));
    assert_eq!(dir.read("target"), b"precious");
    assert_eq!(dir.names(), ["target"]);
}

#[test]
fn stalled_reader_does_not_prevent_the_stop() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(4 << 20));
    let mut child = dir.command(&["convert", "disk.raw", "-"]).spawn().unwrap();
    // It handles signals before it writes the disk.
    let mut first = [0; 1];
    let mut open = child.stdout.take().unwrap();
    std::io::Read::read_exact(&mut open, &mut first).unwrap();
    signal(&child, "-INT");
    assert_eq!(exit_code(child), Some(130));
}

#[test]
fn second_signal_ends_the_command_immediately() {
    let dir = ScratchDir::new();
    let (child, _open) = stalled(&dir, &["convert", "-", "target"]);
    signal(&child, "-INT");
    // It may have ended already.
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).output();
    assert!(matches!(exit_code(child), Some(130 | 143)));
    assert!(dir.names().is_empty());
}
