//! Monolithic sparse images with one kind of damage each.

use diskimg_core::{OpenOptions, ProblemKind};

use crate::image::*;

#[test]
fn valid_image_is_clean_and_counted() {
    let report = Image::new().check();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!((report.total_units, report.allocated_units), (Some(11), Some(4)));
    assert_eq!((report.compressed_units, report.fragmented_units), (0, 0));
    // The last grain has 5 sectors of the disk.
    assert_eq!(report.image_end, Some(512 * (FIRST + 3 * GRAIN + 5)));
}

#[test]
fn zero_grain_in_an_image_without_redundant_directory_is_clean() {
    let image = Image::new().with(|image| {
        image.u32(4, 2);
        image.u32(8, 5);
        image.u64(48, 0);
        image.u32(entry(DIRECTORY, 5), 1);
    });
    assert!(image.check().is_clean(), "{:#?}", image.check().problems);
}

#[test]
fn unclean_shutdown_is_reported() {
    assert_damaged(&Image::new().with(|image| image.put(72, &[1])).check(), 72);
}

#[test]
fn directory_entry_past_the_end_or_on_metadata_is_reported() {
    for sector in [48, 1000, 0, 1, REDUNDANT, DIRECTORY, u32::MAX.into()] {
        if sector != 0 {
            let at = 512 * DIRECTORY + 4;
            assert_damaged(&Image::new().with(|image| image.u32(at, sector as u32)).check(), at);
        }
    }
}

#[test]
fn table_that_the_file_ends_in_is_reported() {
    let mut image = Image::new();
    image.u32(8, 1);
    // One table of 128 entries that begins 16 bytes before the end of the file.
    image.u32(44, 128);
    let at = 512 * DIRECTORY;
    image.u32(at, (image.0.len() / 512) as u32);
    image.0.extend([0; 16]);
    assert_damaged(&image.check(), at);
}

#[test]
fn second_directory_entry_of_a_table_is_reported() {
    let at = 512 * DIRECTORY + 4;
    let image = Image::new().with(|image| {
        image.u32(8, 1);
        image.u32(at, (DIRECTORY + 1) as u32);
    });
    assert_damaged(&image.check(), at);
}

#[test]
fn directory_entry_missing_in_the_other_directory_is_reported() {
    for directory in [DIRECTORY, REDUNDANT] {
        let at = 512 * directory + 4;
        assert_damaged(&Image::new().with(|image| image.u32(at, 0)).check(), at);
    }
}

#[test]
fn redundant_table_that_differs_is_reported_once() {
    let at = entry(REDUNDANT, 1);
    let image = Image::new().with(|image| {
        image.u32(at, 40);
        image.u32(at + 8, 0);
    });
    assert_damaged(&image.check(), at);
}

#[test]
fn grain_past_the_end_of_the_file_is_reported() {
    for sector in [44, 48, 5000, u32::MAX] {
        let image = Image::new().with(|image| image.both(3, sector));
        let image = if sector == 44 { image.with(|image| image.both(10, 0)) } else { image };
        let report = image.check();
        assert_damaged(&report, entry(DIRECTORY, 3));
        assert!(report.problems[0].message.contains("the file ends"), "{}", report.problems[0].message);
    }
}

#[test]
fn file_that_ends_before_its_last_grain_does_is_reported() {
    let mut image = Image::new();
    image.0.truncate(512 * (FIRST + 3 * GRAIN + 5) as usize);
    assert!(image.check().is_clean(), "bytes past the disk may be missing");
    image.0.pop();
    assert_damaged(&image.check(), entry(DIRECTORY, 10));
}

#[test]
fn grain_on_header_descriptor_or_tables_is_reported() {
    for sector in [2, 5, 6, 9] {
        let report = Image::new().with(|image| image.both(3, sector)).check();
        assert_damaged(&report, entry(DIRECTORY, 3));
    }
}

#[test]
fn grain_on_another_grain_is_reported() {
    for sector in [FIRST, FIRST + 1, FIRST + 2 * GRAIN - 1] {
        let report = Image::new().with(|image| image.both(9, sector as u32)).check();
        // The grain that is later in the disk is reported.
        assert_damaged(&report, entry(DIRECTORY, 9));
    }
}

#[test]
fn contiguous_grains_in_any_order_are_clean() {
    let places: Vec<u32> = (0..4).map(|place| (FIRST + place * GRAIN) as u32).collect();
    let image = Image::new().with(|image| {
        for (grain, place) in GRAINS.into_iter().zip([2, 0, 3, 1]) {
            image.both(grain, places[place]);
        }
    });
    let report = image.check();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!(report.fragmented_units, 3);
}

#[test]
fn leaked_grains_are_counted_and_the_first_is_located() {
    let image = Image::new().with(|image| {
        image.both(3, 0);
        image.both(9, 0);
    });
    let report = image.check();
    assert_eq!((report.corruptions, report.leaks), (0, 2));
    assert_eq!(report.problems.len(), 1);
    let problem = &report.problems[0];
    assert_eq!((problem.kind, problem.offset), (ProblemKind::Leak, Some(512 * (FIRST + GRAIN))));
}

#[test]
fn grain_past_the_end_of_the_disk_is_reported() {
    let image = Image::new().with(|image| image.both(11, FIRST as u32));
    assert_damaged(&image.check(), entry(DIRECTORY, 11));
}

#[test]
fn metadata_on_metadata_is_reported() {
    // A descriptor of two sectors overlaps the redundant directory.
    let image = Image::new().with(|image| image.u64(36, 2));
    assert_damaged(&image.check(), 512 * REDUNDANT);
}

#[test]
fn damage_that_prevents_opening_is_reported() {
    assert_damaged(&Image::new().with(|image| image.put(74, b"x")).check(), 73);
    assert_damaged(&Image::new().with(|image| image.u64(20, 3)).check(), 20);
    let both = Image::new().with(|image| {
        image.u64(48, 1 << 40);
        image.u64(56, 1 << 40);
    });
    assert_damaged(&both.check(), 56);
    // Another format, an unknown version and a limit are not damage.
    for (at, value) in [(0, 7), (4, 9), (20, 1 << 20)] {
        assert!(check(&Image::new().with(|image| image.u32(at, value)).0, &OpenOptions::default()).is_err());
    }
}

#[test]
fn unusable_directory_is_reported() {
    for field in [48, 56] {
        let report = Image::new().with(|image| image.u64(field, 1 << 40)).check();
        assert_eq!((report.corruptions, report.leaks), (1, 0), "{:#?}", report.problems);
        assert_eq!(report.allocated_units, Some(4));
    }
}
