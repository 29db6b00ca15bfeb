//! VMDK images in a temporary directory, opened and compared.

#[path = "../../../../tests/qemu/mod.rs"]
mod qemu;

use diskimg_core::OpenOptions;
use diskimg_core::conformance::source;
use diskimg_vmdk::Vmdk;

pub(crate) use qemu::{HostFile, Workshop};

impl Workshop {
    /// A workshop, if the tools are installed.
    pub(crate) fn open() -> Option<Self> {
        Self::of("vmdk")
    }

    pub(crate) fn open_image(&self, name: &str) -> Vmdk {
        let options = OpenOptions { resolver: self, ..OpenOptions::default() };
        Vmdk::open(HostFile::open(&self.path(name)), &options)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Compares the bytes of an image with those that QEMU reads.
    #[track_caller]
    pub(crate) fn compare(&self, image: &str) {
        let disk = self.open_image(image);
        source(&disk, &self.guest_bytes(image, &[]));
    }
}
