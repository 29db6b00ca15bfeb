//! Damaged images end in an error, never in a panic.

use std::sync::Arc;

use diskimg_core::conformance::{damaged, exercise, painted};
use diskimg_core::{BlockSource, Limits, Memory, MemorySink, OpenOptions};
use diskimg_vdi::{DRIVER, Vdi, inspect};
use proptest::prelude::*;

use crate::image::*;

/// The maximum number of bytes read or mapped of a damaged disk, which may claim any size.
const MAX_BYTES: u64 = 4 << 20;

fn open_and_read(bytes: Vec<u8>) {
    let _ = (DRIVER.probe)(&bytes);
    let mut decoder = (DRIVER.stream.unwrap())(&Limits::default()).unwrap();
    let sink = MemorySink::new(MAX_BYTES);
    if decoder.push(&bytes, &sink).is_ok() {
        let _ = decoder.finish(&sink);
    }
    let source: Arc<dyn BlockSource> = Arc::new(Memory::new(bytes));
    let _ = inspect(source.as_ref(), &Limits::default());
    let _ = (DRIVER.check.unwrap())(Arc::clone(&source), &OpenOptions::default());
    let Ok(disk) = Vdi::open(source, &OpenOptions::default()) else { return };
    exercise(&disk, MAX_BYTES);
}

#[test]
fn damaged_images_of_every_kind_never_panic() {
    let child = Image::new().with(|image| image.u32(TYPE, 4));
    for image in [Image::new(), Image::v0(), Image::with_extra(512), child] {
        let image = image.with(|image| image.bytes.truncate(8 * BLOCK as usize));
        damaged(&image.bytes, DATA as usize, &open_and_read);
    }
}

#[test]
fn damaged_header_never_panics() {
    damaged(&Image::new().bytes, 512, &open_and_read);
    damaged(&Image::v0().bytes, 424, &open_and_read);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn random_map_entries_are_read_or_refused(
        entries in proptest::collection::vec((0..BLOCKS, any::<u32>(), 0_u32..32), 1..32),
        extra in prop_oneof![Just(0_u32), Just(512)],
    ) {
        let mut image = Image::with_extra(extra);
        for (block, value, shift) in entries {
            image.entry(block, value >> shift);
        }
        image.bytes.extend(painted(3, 10_000));
        open_and_read(image.bytes);
    }
}
