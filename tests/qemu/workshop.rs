//! A directory to make images in.

use std::path::PathBuf;
use std::sync::Arc;

use diskimg_core::conformance::Numbers;
use diskimg_core::{BlockSource, Reference, Resolver, Result};

use super::HostFile;
use super::tools::{have_qemu, qemu, qemu_io, run};

/// A temporary directory, and the tools that run in it on images of one format.
pub(crate) struct Workshop {
    directory: tempfile::TempDir,
    format: &'static str,
}

#[allow(dead_code, reason = "each test program uses a part of it")]
impl Workshop {
    /// Returns `None` and prints a message if the tools are not installed. Panics if `CI` is set.
    pub(crate) fn of(format: &'static str) -> Option<Self> {
        have_qemu().then(|| Self { directory: tempfile::tempdir().unwrap(), format })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    pub(crate) fn img(&self, args: &[&str]) -> String {
        qemu(self.directory.path(), "qemu-img", args)
    }

    /// Runs `qemu-img`, which may fail. Returns its exit code and output.
    pub(crate) fn img_may_fail(&self, args: &[&str]) -> (i32, String) {
        let output = run(self.directory.path(), "qemu-img", args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs commands of `qemu-io` on an image.
    #[track_caller]
    pub(crate) fn io(&self, image: &str, commands: &[&str]) {
        qemu_io(self.directory.path(), self.format, image, commands);
    }

    /// The guest's bytes as QEMU reads them.
    #[track_caller]
    pub(crate) fn guest_bytes(&self, image: &str, more: &[&str]) -> Vec<u8> {
        self.img(&[&["convert", "-f", self.format, "-O", "raw"], more, &[image, "oracle.raw"]].concat());
        std::fs::read(self.path("oracle.raw")).unwrap()
    }

    /// A disk of text, noise and zeros of 512 bytes to 64 KiB each.
    pub(crate) fn write_mixed(&self, name: &str, size: u64) {
        let mut numbers = Numbers::new(size);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let len = 512 * (1 + numbers.below(128)) as usize;
            match numbers.below(3) {
                0 => bytes.resize(bytes.len() + len, 0),
                1 => bytes.extend(b"all work and no play ".iter().cycle().take(len)),
                _ => bytes.extend((0..len).map(|_| numbers.below(256) as u8)),
            }
        }
        bytes.truncate(size as usize);
        std::fs::write(self.path(name), bytes).unwrap();
    }
}

/// Serves files of the workshop by their bare names.
impl Resolver for Workshop {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        Ok(HostFile::open(&self.path(&reference.name_lossy())))
    }
}
