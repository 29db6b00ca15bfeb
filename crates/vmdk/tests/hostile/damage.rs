//! Random damage: errors, and no panic.

use std::sync::Arc;

use diskimg_core::conformance::{damaged, exercise, painted};
use diskimg_core::{BlockSource, Limits, Memory, OpenOptions};
use diskimg_vmdk::{Vmdk, inspect};
use proptest::prelude::*;

use crate::image::{AT_END, Files, GD, Image, SECTOR, deflated, text};

/// Bytes that are read and mapped of a damaged disk, which may claim any size.
const MAX_READ: u64 = 1 << 20;

fn open_and_read(bytes: Vec<u8>) {
    let source: Arc<dyn BlockSource> = Arc::new(Memory::new(bytes));
    let _ = inspect(source.as_ref(), &Limits::default());
    let files = Files::new(&[("a", painted(0, 8192)), ("s", Image::extent().0)]);
    let options = OpenOptions { resolver: &files, ..OpenOptions::default() };
    let Ok(disk) = Vmdk::open(source, &options) else { return };
    exercise(&disk, MAX_READ);
}

fn stream(directory: u64) -> Image {
    let grains: Vec<_> = (0..6).map(|number| (number, deflated(&painted(number, 4096)))).collect();
    Image::stream(&grains, directory)
}

#[test]
fn damaged_image_of_any_kind_never_panics() {
    for image in [Image::new(), Image::extent(), stream(GD), stream(1), stream(AT_END)] {
        damaged(&image.0, image.0.len(), &open_and_read);
    }
}

#[test]
fn damaged_header_never_panics() {
    for image in [Image::new(), stream(AT_END)] {
        damaged(&image.0, 80, &open_and_read);
    }
}

#[test]
fn damaged_descriptor_never_panics() {
    let lines = "RW 8 FLAT \"a\" 8\nNOACCESS 8 FLAT \"x\"\nRW 16 ZERO\nRW 2048 SPARSE \"s\"";
    let bytes = text("custom", lines).into_bytes();
    damaged(&bytes, bytes.len(), &open_and_read);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_tables_are_read_or_rejected(
        entries in proptest::collection::vec((0_u64..2048, any::<u32>(), 0_u32..32), 1..32),
    ) {
        let mut image = Image::new();
        for (index, value, shift) in entries {
            image.u32(3 * SECTOR + 4 * (index % 1664), value >> shift);
        }
        open_and_read(image.0);
    }

    #[test]
    fn any_descriptor_is_read_or_rejected(lines in "(RW|RDONLY|NOACCESS|CID|ddb\\.a|\"|=| |\n|[0-9a-z]){0,80}") {
        open_and_read(text("custom", &lines).into_bytes());
    }
}
