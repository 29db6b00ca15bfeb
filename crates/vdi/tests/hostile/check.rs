//! The check of the block map.

use diskimg_core::conformance::painted;
use diskimg_core::{CheckReport, ErrorKind, Limits, OpenOptions, ProblemKind};
use diskimg_vdi::DRIVER;

use crate::image::*;

fn problems(report: &CheckReport) -> Vec<(ProblemKind, Option<u64>)> {
    report.problems.iter().map(|problem| (problem.kind, problem.offset)).collect()
}

#[test]
fn valid_images_of_every_kind_are_clean() {
    for (image, allocated) in [
        (Image::new(), 1),
        (Image::v0(), 1),
        (Image::with_extra(512), 1),
        (Image::fixed(), u64::from(BLOCKS)),
    ] {
        let report = image.checked();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.total_units, Some(BLOCKS.into()));
        assert_eq!(report.allocated_units, Some(allocated));
        assert_eq!(report.image_end, Some(image.bytes.len() as u64));
        assert_eq!(report.fragmented_units, 0);
    }
}

#[test]
fn block_used_twice_is_a_corruption() {
    let image = Image::new().with(|image| {
        image.entry(9, 0);
        image.u32(ALLOCATED, 2);
    });
    let report = image.checked();
    assert_eq!(problems(&report), [(ProblemKind::Corruption, Some(image.entry_at(9)))]);
    assert!(report.problems[0].message.contains("as is another block"), "{report:?}");
}

#[test]
fn missing_blocks_are_corruptions() {
    let image = Image::new().with(|image| {
        image.entry(3, BLOCKS);
        image.entry(9, 1);
        image.u32(ALLOCATED, 2);
    });
    let places = [3, 9].map(|block| (ProblemKind::Corruption, Some(image.entry_at(block))));
    assert_eq!(problems(&image.checked()), places);
}

#[test]
fn wrong_count_of_allocated_blocks_is_a_corruption() {
    for count in [0, 2, u32::MAX] {
        let report = Image::new().with(|image| image.u32(ALLOCATED, count)).checked();
        assert_eq!(problems(&report), [(ProblemKind::Corruption, Some(ALLOCATED))]);
    }
}

#[test]
fn truncated_map_is_a_corruption_and_its_rest_is_checked() {
    let image = Image::new().with(|image| {
        image.entry(9, 0);
        image.bytes.truncate(MAP as usize + 100);
    });
    let report = image.checked();
    assert_eq!(report.problems[0].offset, Some(MAP));
    assert!(report.problems[0].message.contains("past the end"), "{report:?}");
    assert!(report.corruptions > 1);
}

#[test]
fn blocks_that_overlap_the_map_are_a_corruption() {
    let report = Image::new().with(|image| image.u32(DATA_OFFSET, 1024)).checked();
    assert_eq!(report.problems[0].offset, Some(DATA_OFFSET));
}

#[test]
fn unused_blocks_are_leaks() {
    let mut image = Image::new();
    for _ in 0..3 {
        image.add(&painted(0, BLOCK as usize));
    }
    image.block(5, &painted(0, BLOCK as usize));
    image.add(&painted(0, BLOCK as usize));
    let report = image.checked();
    assert_eq!((report.leaks, report.corruptions), (4, 0));
    let at = |index| (ProblemKind::Leak, Some(DATA + index * BLOCK));
    assert_eq!(problems(&report), [at(1), at(5)]);
    assert_eq!(report.image_end, Some(DATA + 5 * BLOCK));
    assert_eq!(report.fragmented_units, 1);
}

#[test]
fn check_respects_its_memory_limit() {
    let limits = Limits { metadata_cache: 16, ..Limits::default() };
    let options = OpenOptions { limits, ..OpenOptions::default() };
    let check = DRIVER.check.unwrap();
    assert_error(&check(Image::fixed().memory(), &options).unwrap_err(), ErrorKind::Limit, None, None);
    assert!(check(Image::new().memory(), &options).unwrap().is_clean());
}

#[test]
fn invalid_header_is_an_error_of_the_check() {
    let image = Image::new().with(|image| image.u32(BLOCK_SIZE, 3));
    let error = (DRIVER.check.unwrap())(image.memory(), &OpenOptions::default()).unwrap_err();
    assert_error(&error, ErrorKind::Corrupt, Some(BLOCK_SIZE), None);
}
