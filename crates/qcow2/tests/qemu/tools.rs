//! A workshop for qcow2 images, opened and compared.

#[path = "../../../../tests/qemu/mod.rs"]
mod qemu;

use diskimg_core::conformance::source;
use diskimg_core::{OpenOptions, SnapshotSelector};
use diskimg_qcow2::Qcow2;

pub(crate) use qemu::{HostFile, Workshop};

impl Workshop {
    /// A workshop, where the tools are.
    pub(crate) fn open() -> Option<Self> {
        Self::of("qcow2")
    }

    pub(crate) fn open_image(&self, name: &str, snapshot: Option<SnapshotSelector>) -> Qcow2 {
        let options = OpenOptions { resolver: self, snapshot, ..OpenOptions::default() };
        Qcow2::open(HostFile::open(&self.path(name)), &options)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Reads an image here and there, and compares bytes and extents.
    #[track_caller]
    pub(crate) fn compare(&self, image: &str) {
        let disk = self.open_image(image, None);
        source(&disk, &self.guest_bytes(image, &[]));
        crate::map::compare(&disk, &self.img(&["map", "-f", "qcow2", "--output=json", image]));
    }
}
