//! Comparison with `qemu-img`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::*;

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

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Asserts that the image has no errors and that its guest bytes are `disk`.
    pub(super) fn approves(&self, image: &[u8], disk: &[u8], what: &str) {
        let path = self.file("image.vdi", image);
        let output = run(&["check", "-f", "vdi"], &[&path]);
        assert!(output.status.success(), "{what}: {}", text(&output));
        assert!(text(&output).contains("No errors were found"), "{what}: {}", text(&output));
        let raw = self.0.path().join("image.raw");
        let output = run(&["convert", "-f", "vdi", "-O", "raw"], &[&path, &raw]);
        assert!(output.status.success(), "{what}: {}", text(&output));
        let guest = std::fs::read(&raw).unwrap();
        assert_eq!(guest.len(), disk.len(), "{what}: size of the disk");
        let differs = guest.iter().zip(disk).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{what}: guest byte that differs");
    }
}

fn run(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new("qemu-img").args(arguments).args(paths).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn images_of_every_kind_and_size_pass_qemu_img() {
    let Some(qemu) = Qemu::find() else { return };
    for len in [0, 1, 512, (1 << 20) - 1, 1 << 20, (1 << 20) + 513, 7_000_001] {
        let disk = mixed(len, 4);
        for allocation in [Allocation::Dynamic, Allocation::Fixed] {
            let options = WriterOptions { allocation, ..options_for(&disk) };
            let what = format!("{options:?}");
            let bytes = image(&options, |writer| batched(writer, &disk, 2 << 20, 2));
            assert!(guest(bytes.clone()) == in_sectors(&disk), "{what}");
            qemu.approves(&bytes, &in_sectors(&disk), &what);
        }
    }
}

#[test]
fn image_can_be_changed_by_qemu_io() {
    let Some(qemu) = Qemu::find() else { return };
    let disk = mixed(9_000_000, 7);
    for allocation in [Allocation::Dynamic, Allocation::Fixed] {
        let options = WriterOptions { allocation, ..options_for(&disk) };
        let path = qemu.file("image.vdi", &image(&options, |writer| batched(writer, &disk, 1 << 20, 2)));
        let commands = ["write -P 5 1000k 3000k", "write -z 100k 300k", "write -P 6 8700k 10k"];
        let commands = commands.iter().flat_map(|command| ["-c", *command]);
        let output = Command::new("qemu-io").args(["-f", "vdi"]).args(commands).arg(&path).output().unwrap();
        assert!(output.status.success() && !text(&output).contains("failed"), "{}", text(&output));
        let mut want = in_sectors(&disk);
        want[1000 << 10..4000 << 10].fill(5);
        want[100 << 10..400 << 10].fill(0);
        want[8700 << 10..8710 << 10].fill(6);
        let bytes = std::fs::read(&path).unwrap();
        assert!(guest(bytes.clone()) == want, "{options:?}");
        qemu.approves(&bytes, &want, &format!("{options:?}"));
    }
}
