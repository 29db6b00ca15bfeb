//! Random damage, which must cause errors and never a panic.

use std::sync::Arc;

use diskimg_codec::cluster::Deflater;
use diskimg_core::conformance::{damaged, exercise, painted};
use diskimg_core::{BlockSource, Limits, Memory, OpenOptions};
use diskimg_qcow2::{Qcow2, inspect};
use proptest::prelude::*;

use crate::image::{CLUSTER, Image, L2};

/// The maximum number of bytes that are read or mapped of a damaged disk, which may have any size.
const MOST: u64 = 4 << 20;

fn open_and_read(bytes: Vec<u8>) {
    let source: Arc<dyn BlockSource> = Arc::new(Memory::new(bytes));
    let _ = inspect(source.as_ref(), &Limits::default());
    let Ok(disk) = Qcow2::open(source, &OpenOptions::default()) else { return };
    exercise(&disk, MOST);
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 8192];
    let len = Deflater::new(None).unwrap().raw_deflate(bytes, &mut out).unwrap().unwrap();
    out.truncate(len);
    out
}

fn full_image() -> Image {
    let mut image = Image::new();
    let next = image.extension(104, 0xE279_2ACA, b"raw");
    image.extension(next, 0x6803_F857, &[0; 96]);
    image.u64(8, 512);
    image.u32(16, 8);
    image.bytes(512, b"base.img");
    image.u64(L2 + 8, 1);
    for cluster in 3..9 {
        image.compressed(cluster, &deflated(&painted(cluster, CLUSTER as usize)));
    }
    image
}

#[test]
fn damaged_image_of_every_kind_never_panics() {
    for image in [full_image(), Image::v2(), Image::zstd(), Image::extended()] {
        damaged(&image.0, image.0.len(), &open_and_read);
    }
}

#[test]
fn damaged_header_never_panics() {
    damaged(&full_image().0, 640, &open_and_read);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn random_tables_are_read_or_rejected(
        entries in proptest::collection::vec((0_u64..64, any::<u64>(), 0_u32..64), 1..32),
        extended in any::<bool>(),
    ) {
        let (mut image, table) =
            if extended { (Image::extended(), 12 * CLUSTER) } else { (full_image(), L2) };
        for (index, value, shift) in entries {
            image.u64(table + 8 * index, value >> shift);
        }
        open_and_read(image.0);
    }
}
