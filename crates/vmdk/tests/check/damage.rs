//! Random damage: no panic, and no clean report for a disk that cannot be read.

use std::sync::Arc;

use diskimg_core::conformance::damaged;
use diskimg_core::{BlockSource, Memory, OpenOptions};
use diskimg_vmdk::Vmdk;
use proptest::prelude::*;

use crate::image::*;

/// Checks an image. If no corruption is reported, the whole disk must be readable.
fn check_and_read(bytes: &[u8]) {
    let Ok(report) = check(bytes, &OpenOptions::default()) else { return };
    if report.corruptions == 0 {
        let source = Arc::new(Memory::new(bytes.to_vec()));
        let disk = Vmdk::open(source, &OpenOptions::default()).unwrap();
        if disk.size() <= 1 << 20 {
            let mut bytes = vec![0; disk.size() as usize];
            disk.read_at(0, &mut bytes).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn damaged_image_never_panics() {
    let image = Image::new().0;
    damaged(&image, image.len(), &|bytes| check_and_read(&bytes));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn image_without_corruption_is_readable(
        entries in proptest::collection::vec((0_u64..12, 0_u32..60), 0..6),
        damage in proptest::collection::vec((0_usize..5120, any::<u8>()), 0..2),
        end in proptest::option::of(0_usize..24_576),
    ) {
        let mut image = Image::new();
        entries.iter().for_each(|(grain, sector)| image.both(*grain, *sector));
        damage.iter().for_each(|(at, value)| image.0[*at] = *value);
        image.0.truncate(end.unwrap_or(usize::MAX));
        check_and_read(&image.0);
    }
}
