//! A small image that is built field by field.

use std::sync::Arc;

use diskimg_core::conformance::painted;
use diskimg_core::{BlockSource, Error, ErrorKind, ImageInfo, Limits, Memory, OpenOptions};
use diskimg_qcow2::{Qcow2, inspect};

/// The cluster size of most images: 4 KiB, so an L2 table has 512 entries and maps 2 MiB.
pub(crate) const CLUSTER: u64 = 4096;
/// The size of the disk.
pub(crate) const SIZE: u64 = 1 << 20;
pub(crate) const L1: u64 = 2 * CLUSTER;
pub(crate) const L2: u64 = 3 * CLUSTER;
/// The offset of the data of the first guest cluster, the last cluster of the file.
pub(crate) const DATA: u64 = 4 * CLUSTER;
pub(crate) const COPIED: u64 = 1 << 63;
pub(crate) const COMPRESSED: u64 = 1 << 62;

pub(crate) const DIRTY: u64 = 1;
pub(crate) const CORRUPT: u64 = 2;
pub(crate) const DATA_FILE: u64 = 4;
pub(crate) const COMPRESSION_TYPE: u64 = 8;
pub(crate) const EXTENDED_L2: u64 = 16;

/// The bytes of an image: header, refcount table, L1 table, L2 table, and one cluster of painted data.
#[derive(Clone)]
pub(crate) struct Image(pub(crate) Vec<u8>);

impl Image {
    /// A version 3 image whose header has 104 bytes.
    pub(crate) fn new() -> Self {
        let mut image = Self(vec![0; DATA as usize]);
        image.bytes(0, b"QFI\xfb");
        for (at, value) in [(4, 3), (20, 12), (36, 1), (56, 1), (96, 4), (100, 104)] {
            image.u32(at, value);
        }
        for (at, value) in [(24, SIZE), (40, L1), (48, CLUSTER), (L1, COPIED | L2), (L2, COPIED | DATA)] {
            image.u64(at, value);
        }
        image.0.extend(painted(0, CLUSTER as usize));
        image
    }

    /// A version 2 image, otherwise as [`Image::new`].
    pub(crate) fn v2() -> Self {
        Self::new().with(|image| {
            image.u32(4, 2);
            image.bytes(72, &[0; 32]);
        })
    }

    /// An image with a header of 112 bytes and zstd as its compression, otherwise as [`Image::new`].
    pub(crate) fn zstd() -> Self {
        Self::new().with(|image| {
            image.u64(72, COMPRESSION_TYPE);
            image.u32(100, 112);
            image.bytes(104, &[1]);
        })
    }

    /// The layout of [`Image::new`] with clusters of 16 KiB and extended L2 entries. The whole first cluster has
    /// data.
    pub(crate) fn extended() -> Self {
        let cluster = 4 * CLUSTER;
        let mut image = Self::new();
        image.0 = [&image.0[..CLUSTER as usize], &vec![0; 15 * CLUSTER as usize]].concat();
        image.u32(20, 14);
        image.u64(72, EXTENDED_L2);
        for (at, value) in [(40, 2 * cluster), (48, cluster), (2 * cluster, COPIED | (3 * cluster))] {
            image.u64(at, value);
        }
        image.u64(3 * cluster, COPIED | (4 * cluster));
        image.u64(3 * cluster + 8, 0xFFFF_FFFF);
        image.0.extend(painted(0, cluster as usize));
        image
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn bytes(&mut self, at: u64, bytes: &[u8]) {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn u32(&mut self, at: u64, value: u32) {
        self.bytes(at, &value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, at: u64, value: u64) {
        self.bytes(at, &value.to_be_bytes());
    }

    /// Writes a header extension at `at` and returns the offset of the next one.
    pub(crate) fn extension(&mut self, at: u64, kind: u32, data: &[u8]) -> u64 {
        self.u32(at, kind);
        self.u32(at + 4, data.len() as u32);
        self.bytes(at + 8, data);
        at + 8 + (data.len() as u64).next_multiple_of(8)
    }

    /// Appends compressed bytes to the file and points the entry of a guest cluster to them.
    pub(crate) fn compressed(&mut self, guest_cluster: u64, stream: &[u8]) -> u64 {
        let at = self.0.len() as u64;
        self.0.extend(stream);
        self.compressed_at(guest_cluster, at, stream.len() as u64);
        at
    }

    /// Points the entry of a guest cluster to `len` compressed bytes at `at`.
    pub(crate) fn compressed_at(&mut self, guest_cluster: u64, at: u64, len: u64) {
        let sectors = (at % 512 + len).div_ceil(512) - 1;
        self.u64(L2 + 8 * guest_cluster, COMPRESSED | sectors << 58 | at);
    }

    pub(crate) fn open(&self) -> Result<Qcow2, Error> {
        self.open_with(&OpenOptions::default())
    }

    pub(crate) fn open_with(&self, options: &OpenOptions<'_>) -> Result<Qcow2, Error> {
        Qcow2::open(Arc::new(Memory::new(self.0.clone())), options)
    }

    /// Returns the error of opening the image.
    pub(crate) fn refused(&self) -> Error {
        match self.open() {
            Ok(_) => panic!("the image opens"),
            Err(error) => error,
        }
    }

    /// Opens the image and returns the error of reading 512 bytes at `guest`.
    pub(crate) fn unreadable(&self, guest: u64) -> Error {
        let image = self.open().expect("the image opens");
        image.read_at(guest, &mut [0; 512]).expect_err("reading fails")
    }

    /// Opens the image and returns the error of mapping 512 bytes at `guest`, which is of the same kind as that of
    /// reading them.
    pub(crate) fn unmapped(&self, guest: u64) -> Error {
        let image = self.open().expect("the image opens");
        let error = image.extent_at(guest..guest + 512).map(|e| e.range()).expect_err("mapping fails");
        assert_eq!(error.kind(), self.unreadable(guest).kind());
        error
    }

    pub(crate) fn inspected(&self) -> ImageInfo {
        inspect(&Memory::new(self.0.clone()), &Limits::default()).expect("the header can be read")
    }
}

/// Checks the kind, the host offset and the guest offset of an error whose message is one line.
#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, at: Option<u64>, guest: Option<u64>) {
    let message = error.to_string();
    assert_eq!((error.kind(), error.offset(), error.guest_offset()), (kind, at, guest), "{message}");
    assert!(message.starts_with("qcow2: "), "{message}");
    assert!(!message.contains('\n') && !message.ends_with('.'), "{message}");
}

/// The names of the findings, in their order.
pub(crate) fn checks(info: &ImageInfo) -> Vec<&'static str> {
    info.findings.iter().map(|finding| finding.check).collect()
}
