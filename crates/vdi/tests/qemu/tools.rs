//! Opens and changes images of the workshop.

#[path = "../../../../tests/qemu/mod.rs"]
mod qemu;

use std::fs::File;
use std::os::unix::fs::FileExt;

use diskimg_core::OpenOptions;
use diskimg_core::conformance::Numbers;
use diskimg_vdi::Vdi;

pub(crate) use qemu::{HostFile, Workshop};

impl Workshop {
    /// A workshop, or `None` if QEMU's tools are not installed.
    pub(crate) fn open() -> Option<Self> {
        Self::of("vdi")
    }

    pub(crate) fn open_image(&self, name: &str) -> Vdi {
        Vdi::open(HostFile::open(&self.path(name)), &OpenOptions::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes and returns a disk of text, noise and zeros; the runs of zeros cover whole blocks and parts of blocks.
    pub(crate) fn write_blocks(&self, name: &str, size: u64) -> Vec<u8> {
        let mut numbers = Numbers::new(size);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let len = 512 * (1 + numbers.below(4096)) as usize;
            match numbers.below(3) {
                0 => bytes.resize(bytes.len() + 2 * len, 0),
                1 => bytes.extend(b"all work and no play ".iter().cycle().take(len)),
                _ => bytes.extend((0..len).map(|_| numbers.below(256) as u8)),
            }
        }
        bytes.truncate(size as usize);
        std::fs::write(self.path(name), &bytes).unwrap();
        bytes
    }

    /// Overwrites bytes of a file.
    pub(crate) fn patch(&self, name: &str, at: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    /// Truncates or extends a file.
    pub(crate) fn set_len(&self, name: &str, len: u64) {
        File::options().write(true).open(self.path(name)).unwrap().set_len(len).unwrap();
    }
}
