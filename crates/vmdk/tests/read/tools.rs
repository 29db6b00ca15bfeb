//! A workshop for VMDK images, opened and compared.

#[path = "../../../../tests/qemu/mod.rs"]
mod qemu;

use diskimg_core::OpenOptions;
use diskimg_core::conformance::source;
use diskimg_vmdk::Vmdk;

pub(crate) use qemu::{HostFile, Workshop};

impl Workshop {
    /// A workshop, where the tools are.
    pub(crate) fn open() -> Option<Self> {
        Self::of("vmdk")
    }

    pub(crate) fn open_image(&self, name: &str) -> Vmdk {
        let options = OpenOptions { resolver: self, ..OpenOptions::default() };
        Vmdk::open(HostFile::open(&self.path(name)), &options)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Reads an image here and there, and compares the bytes.
    #[track_caller]
    pub(crate) fn compare(&self, image: &str) {
        let disk = self.open_image(image);
        source(&disk, &self.guest_bytes(image, &[]));
    }
}
