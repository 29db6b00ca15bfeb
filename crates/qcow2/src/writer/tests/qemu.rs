//! Comparison with `qemu-img`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory for images to check with `qemu-img`.
pub(super) struct Qemu(TempDir);

impl Qemu {
    /// Returns `None` with a message if `qemu-img` is not installed. Panics if `CI` is set, where it is required.
    pub(super) fn find() -> Option<Self> {
        match Command::new("qemu-img").arg("--version").output() {
            Ok(_) => Some(Self(TempDir::new().unwrap())),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "qemu-img must be installed: {error}");
                eprintln!("skipped: qemu-img is not installed");
                None
            }
        }
    }

    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Asserts that the image has no errors and no leaks, and that its guest bytes are `disk`.
    pub(super) fn approves(&self, image: &[u8], disk: &[u8], what: &str) {
        let path = self.file("image.qcow2", image);
        clean(&path, what);
        let raw = self.0.path().join("image.raw");
        let output = run(&["convert", "-f", "qcow2", "-O", "raw"], &[&path, &raw]);
        assert!(output.status.success(), "{what}: {}", text(&output));
        let guest = std::fs::read(&raw).unwrap();
        assert_eq!(guest.len(), disk.len(), "{what}: size of the disk");
        let differs = guest.iter().zip(disk).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{what}: guest byte that differs");
    }
}

/// Asserts that `qemu-img check` finds no errors and no leaks.
pub(super) fn clean(path: &Path, what: &str) {
    let output = run(&["check", "-f", "qcow2"], &[path]);
    assert!(output.status.success(), "{what}: {}", text(&output));
    assert!(text(&output).contains("No errors were found"), "{what}: {}", text(&output));
}

pub(super) fn run(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new("qemu-img").args(arguments).args(paths).output().unwrap()
}

/// Runs `qemu-io`, which is installed with `qemu-img`.
pub(super) fn qemu_io(commands: &[&str], path: &Path) -> Output {
    let commands = commands.iter().flat_map(|command| ["-c", *command]);
    Command::new("qemu-io").args(["-f", "qcow2"]).args(commands).arg(path).output().unwrap()
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}
