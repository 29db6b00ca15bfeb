//! SIGINT and SIGTERM: the right exit code, at once, and nothing left behind.
#![cfg(unix)]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tools::{Workshop, mixed_disk};

/// What a user would still call "at once" on a busy machine; a stall that is not noticed would never end.
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
                panic!("the signal did not end it");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Starts a conversion whose input stalls after its first bytes, which are surely read when this returns:
/// the pipe has no room for all of them. What is returned keeps the pipe open.
fn stalled(shop: &Workshop, args: &[&str]) -> (Child, std::process::ChildStdin) {
    let mut child = shop.command(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&mixed_disk(3 << 20)).unwrap();
    (child, stdin)
}

#[test]
fn a_stalled_conversion_stops_and_leaves_nothing() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        for format in ["raw", "qcow2"] {
            let shop = Workshop::new();
            let (child, _open) = stalled(&shop, &["convert", "-O", format, "-", "target"]);
            signal(&child, name);
            assert_eq!(exit_code(child), Some(code), "{format}");
            assert!(shop.names().is_empty(), "{:?}", shop.names());
        }
    }
}

#[test]
fn a_stalled_cat_stops_and_leaves_nothing() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        for args in [&["cat", "-"][..], &["cat", "--offset", "1", "-"]] {
            let shop = Workshop::new();
            let (mut child, _open) = stalled(&shop, args);
            // Whoever reads takes all there is.
            let mut stdout = child.stdout.take().unwrap();
            std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
            signal(&child, name);
            assert_eq!(exit_code(child), Some(code), "{args:?}");
            assert!(shop.names().is_empty(), "{:?}", shop.names());
        }
    }
}

#[test]
fn an_old_target_survives_a_signal() {
    let shop = Workshop::new();
    shop.write("target", b"precious");
    let (child, _open) = stalled(&shop, &["convert", "--force", "-", "target"]);
    signal(&child, "-TERM");
    assert_eq!(exit_code(child), Some(143));
    assert_eq!(shop.read("target"), b"precious");
    assert_eq!(shop.names(), ["target"]);
}

#[test]
fn a_reader_that_takes_nothing_does_not_hold_it() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(4 << 20));
    let mut child = shop.command(&["-v", "convert", "-r", "1", "disk.raw", "-"]).spawn().unwrap();
    // Its first words on standard error come after it began to listen to signals.
    let mut first = [0; 1];
    std::io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut first).unwrap();
    let _open = child.stdout.take();
    signal(&child, "-INT");
    assert_eq!(exit_code(child), Some(130));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let shop = Workshop::new();
    let (child, _open) = stalled(&shop, &["convert", "-", "target"]);
    signal(&child, "-INT");
    // It may have ended between the two.
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).output();
    assert!(matches!(exit_code(child), Some(130 | 143)));
    assert!(shop.names().is_empty());
}
