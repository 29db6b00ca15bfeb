//! Checks of streams that are read as files.

use std::sync::Arc;

use diskimg_core::{CheckReport, Memory, OpenOptions};

use crate::image::*;

fn check(image: &Image) -> CheckReport {
    let source = Arc::new(Memory::new(image.bytes.clone()));
    (diskimg_vmdk::DRIVER.check.unwrap())(source, &OpenOptions::default()).unwrap()
}

#[track_caller]
fn assert_damaged(image: &Image, at: usize) {
    let report = check(image);
    let found: Vec<_> = report.problems.iter().map(|problem| problem.offset).collect();
    assert_eq!((report.corruptions, found), (1, vec![Some(at as u64)]), "{:#?}", report.problems);
}

/// Byte offset of a grain's entry.
fn entry(image: &Image, grain: u64) -> usize {
    image.tables[(grain / ENTRIES) as usize] + 4 * (grain % ENTRIES) as usize
}

#[test]
fn stream_of_every_writer_is_clean_and_counted() {
    for writer in WRITERS {
        let report = check(&Image::new(writer));
        assert!(report.is_clean(), "{writer:?}: {:#?}", report.problems);
        assert_eq!((report.total_units, report.allocated_units), (Some(11), Some(4)), "{writer:?}");
        assert_eq!((report.compressed_units, report.fragmented_units), (4, 0), "{writer:?}");
        let report = check(&Image::of(writer, &[9, 0, 10, 3]));
        assert!(report.is_clean(), "{writer:?}: {:#?}", report.problems);
    }
}

#[test]
fn grain_whose_marker_has_another_guest_offset_is_reported() {
    for writer in WRITERS {
        let image = Image::new(writer).with(|image| image.u64(image.grains[1], GRAIN));
        assert_damaged(&image, image.grains[1]);
    }
}

#[test]
fn invalid_compressed_size_is_reported() {
    for writer in WRITERS {
        let image = Image::new(writer).with(|image| image.u32(image.grains[1] + 8, u32::MAX));
        assert_damaged(&image, image.grains[1] + 8);
    }
}

#[test]
fn grain_table_entry_that_refers_to_no_grain_is_reported() {
    for writer in WRITERS {
        // Past the end of the file, on the directory, and on sectors without a grain marker.
        let directory = (Image::new(writer).directory / 512) as u32;
        for sector in [u32::MAX, 100_000, 0x2000, directory] {
            let image = Image::new(writer).with(|image| image.u32(entry(image, 9), sector));
            assert_damaged(&image, entry(&image, 9));
        }
    }
}

#[test]
fn overlapping_compressed_grains_are_reported() {
    for writer in WRITERS {
        // The marker of the first grain gives a larger size, so that it overlaps the next.
        let image = Image::of(writer, &[3, 0, 9, 10]).with(|image| image.u32(image.grains[0] + 8, 600));
        assert_damaged(&image, entry(&image, 3));
    }
}

#[test]
fn footer_that_differs_from_the_header_is_reported() {
    let image = Image::new(Writer::Footer).with(|image| image.u64(image.footer + 12, CAPACITY + 1));
    assert_damaged(&image, image.footer + 12);
}

#[test]
fn grain_that_no_table_names_is_reported_and_fails_to_stream() {
    for writer in WRITERS {
        for (number, grain) in (0..).zip(GRAINS) {
            let image = Image::new(writer).with(|image| image.u32(entry(image, grain), 0));
            assert_damaged(&image, image.grains[number]);
            assert!(check(&image).problems[0].message.contains("no grain table names it"));
            assert!(image.decode().is_err(), "{writer:?}");
        }
    }
}

#[test]
fn grains_of_a_table_missing_in_the_directory_are_reported() {
    for writer in WRITERS {
        let image = Image::new(writer).with(|image| image.u32(image.directory, 0));
        let report = check(&image);
        let found: Vec<_> = report.problems.iter().map(|problem| problem.offset.unwrap() as usize).collect();
        assert_eq!((report.corruptions, found), (2, image.grains[..2].to_vec()), "{:#?}", report.problems);
    }
}

#[test]
fn repeated_grain_is_a_leak() {
    for writer in [Writer::Footer, Writer::KnownDirectory] {
        // The tables name the second of the two.
        let image = Image::of(writer, &[0, 3, 9, 3, 10]);
        let report = check(&image);
        assert_eq!((report.corruptions, report.leaks), (0, 1), "{:#?}", report.problems);
        assert_eq!(report.problems[0].offset, Some(image.grains[1] as u64));
    }
}
