//! Opening and comparing the images of a [`Workshop`].

#[path = "../../../../tests/qemu/mod.rs"]
mod qemu;

use diskimg_core::conformance::source;
use diskimg_core::{OpenOptions, SnapshotSelector};
use diskimg_qcow2::Qcow2;

pub(crate) use qemu::{HostFile, Workshop};

impl Workshop {
    /// Opens a workshop; `None` if QEMU's tools are not installed.
    pub(crate) fn open() -> Option<Self> {
        Self::of("qcow2")
    }

    pub(crate) fn open_image(&self, name: &str, snapshot: Option<SnapshotSelector>) -> Qcow2 {
        let options = OpenOptions { resolver: self, snapshot, ..OpenOptions::default() };
        Qcow2::open(HostFile::open(&self.path(name)), &options)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Compares the bytes and extents of an image with those that `qemu-img` reads.
    #[track_caller]
    pub(crate) fn compare(&self, image: &str) {
        let disk = self.open_image(image, None);
        source(&disk, &self.guest_bytes(image, &[]));
        crate::map::compare(&disk, &self.img(&["map", "-f", "qcow2", "--output=json", image]));
    }
}
