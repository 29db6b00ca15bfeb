//! Files of the common commands.

use std::io::{ErrorKind as IoKind, Write};
use std::process::{Command, Stdio};

use diskimg_core::ErrorKind;

use super::{decode, refused, words};
use crate::Wrapper;

/// Pipes `data` through the command. Returns its output and true if it succeeded; `None`, with a message, if it is
/// not installed.
fn pipe(command: &[&str], data: &[u8]) -> Option<(Vec<u8>, bool)> {
    let child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == IoKind::NotFound => {
            assert!(std::env::var_os("CI").is_none(), "{} is not installed", command[0]);
            eprintln!("skipped: {} is not installed", command[0]);
            return None;
        }
        Err(error) => panic!("{}: {error}", command[0]),
    };
    let mut stdin = child.stdin.take().unwrap();
    let data = data.to_vec();
    let writer = std::thread::spawn(move || match stdin.write_all(&data) {
        Err(error) if error.kind() != IoKind::BrokenPipe => panic!("{error}"),
        _ => {}
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Some((output.stdout, output.status.success()))
}

/// A disk of text, zeros and bytes that do not compress.
fn disk() -> Vec<u8> {
    let mut disk = words(1, 300_000);
    disk.resize(700_000, 0);
    let mut state = 1_u64;
    disk.extend((0..100_000).map(|_| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        state.to_be_bytes()[0]
    }));
    disk
}

/// Commands that read from a pipe and write to one.
const COMMANDS: [(Wrapper, &[&str]); 9] = [
    (Wrapper::Gzip, &["gzip", "-1"]),
    (Wrapper::Gzip, &["gzip", "-9"]),
    (Wrapper::Xz, &["xz", "-0"]),
    (Wrapper::Xz, &["xz", "-9e"]),
    (Wrapper::Xz, &["xz", "-T2", "--block-size=100000", "--check=sha256"]),
    (Wrapper::Xz, &["xz", "--x86", "--lzma2=preset=1", "--check=none"]),
    (Wrapper::Zstd, &["zstd", "-1"]),
    (Wrapper::Zstd, &["zstd", "-19", "--long=27"]),
    (Wrapper::Zstd, &["zstd", "-T2", "-5", "--no-check"]),
];

#[test]
fn output_of_each_command_is_read() {
    let disk = disk();
    for (wrapper, command) in COMMANDS {
        if let Some((file, ok)) = pipe(command, &disk) {
            assert!(ok, "{command:?}");
            assert_eq!(Wrapper::recognise(&file), Some(wrapper));
            assert!(decode(wrapper, &file).unwrap() == disk, "{command:?}");
        }
    }
}

#[test]
fn damage_is_refused_if_and_only_if_the_command_refuses_it() {
    let disk = words(2, 3000);
    for (wrapper, command) in COMMANDS {
        if command.iter().any(|option| ["--no-check", "--check=none"].contains(option)) {
            // Without a checksum the versions of a library detect different damage.
            continue;
        }
        let Some((file, _)) = pipe(command, &disk) else { continue };
        for n in 0..40 {
            let mut bad = file.clone();
            let at = (n * 7919 + 5) % bad.len();
            bad[at] ^= 1 << (n % 8);
            let (theirs, ok) = pipe(&[command[0], "-dc"], &bad).unwrap();
            match decode(wrapper, &bad) {
                Ok(ours) => {
                    assert!(
                        ok && ours == theirs,
                        "{command:?}: bit {} of byte {at}: only we accept it",
                        n % 8
                    );
                }
                // gzip only warns about garbage after a member.
                Err(error) => {
                    assert!(!ok, "{command:?}: bit {} of byte {at}: only we refuse it: {error}", n % 8);
                }
            }
        }
        for len in [1, file.len() / 3, file.len() - 1] {
            assert!(!pipe(&[command[0], "-dc"], &file[..len]).unwrap().1);
            refused(wrapper, &file[..len], ErrorKind::Truncated, "");
        }
    }
}
