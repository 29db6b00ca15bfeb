//! Checking the structure.

use diskimg_core::conformance::painted;
use diskimg_core::{CheckReport, ErrorKind, Limits, OpenOptions, ProblemKind};
use diskimg_vdi::DRIVER;

use crate::image::*;

fn told(report: &CheckReport) -> Vec<(ProblemKind, Option<u64>)> {
    report.problems.iter().map(|problem| (problem.kind, problem.offset)).collect()
}

#[test]
fn a_good_image_of_every_kind_is_clean() {
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
fn v09_a_block_used_twice_is_a_corruption() {
    let image = Image::new().with(|image| {
        image.entry(9, 0);
        image.u32(ALLOCATED, 2);
    });
    let report = image.checked();
    assert_eq!(told(&report), [(ProblemKind::Corruption, Some(image.entry_at(9)))]);
    assert!(report.problems[0].message.contains("another block"), "{report:?}");
}

#[test]
fn v08_blocks_that_are_not_there_are_corruptions() {
    let image = Image::new().with(|image| {
        image.entry(3, BLOCKS);
        image.entry(9, 1);
        image.u32(ALLOCATED, 2);
    });
    let places = [3, 9].map(|block| (ProblemKind::Corruption, Some(image.entry_at(block))));
    assert_eq!(told(&image.checked()), places);
}

#[test]
fn a_count_that_the_map_does_not_have_is_a_corruption() {
    for count in [0, 2, u32::MAX] {
        let report = Image::new().with(|image| image.u32(ALLOCATED, count)).checked();
        assert_eq!(told(&report), [(ProblemKind::Corruption, Some(ALLOCATED))]);
    }
}

#[test]
fn a_map_past_the_end_of_the_file_is_a_corruption_and_the_rest_is_checked() {
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
fn blocks_over_the_map_are_a_corruption() {
    let report = Image::new().with(|image| image.u32(DATA_OFFSET, 1024)).checked();
    assert_eq!(report.problems[0].offset, Some(DATA_OFFSET));
}

#[test]
fn blocks_that_nothing_uses_are_leaks() {
    let mut image = Image::new();
    for _ in 0..3 {
        image.add(&painted(0, BLOCK as usize));
    }
    image.block(5, &painted(0, BLOCK as usize));
    image.add(&painted(0, BLOCK as usize));
    let report = image.checked();
    assert_eq!((report.leaks, report.corruptions), (4, 0));
    let at = |index| (ProblemKind::Leak, Some(DATA + index * BLOCK));
    assert_eq!(told(&report), [at(1), at(5)]);
    assert_eq!(report.image_end, Some(DATA + 5 * BLOCK));
    assert_eq!(report.fragmented_units, 1);
}

#[test]
fn a_check_keeps_to_the_memory_it_is_given() {
    let limits = Limits { metadata_cache: 16, ..Limits::default() };
    let options = OpenOptions { limits, ..OpenOptions::default() };
    let check = DRIVER.check.unwrap();
    assert_error(&check(Image::fixed().memory(), &options).unwrap_err(), ErrorKind::Limit, None, None);
    assert!(check(Image::new().memory(), &options).unwrap().is_clean());
}

#[test]
fn an_image_that_cannot_be_opened_is_an_error() {
    let image = Image::new().with(|image| image.u32(BLOCK_SIZE, 3));
    let error = (DRIVER.check.unwrap())(image.memory(), &OpenOptions::default()).unwrap_err();
    assert_error(&error, ErrorKind::Corrupt, Some(BLOCK_SIZE), None);
}
