//! What a check may cost, whatever the image claims.

use diskimg_core::conformance::damaged;
use diskimg_core::{ErrorKind, Limits, OpenOptions};

use crate::image::*;

#[test]
fn a_damaged_image_never_panics() {
    let image = Image::new().0;
    damaged(&image, image.len(), &|bytes| {
        let _ = check(&bytes, &OpenOptions::default());
    });
}

#[test]
fn a_directory_that_names_one_table_everywhere_is_read_once() {
    // 1024 entries of one table: told of all but one, its grains counted once.
    let mut image = Image::new();
    image.u32(8, 1);
    image.u64(12, 1024 * GRAIN * ENTRIES);
    let start = image.0.len() as u64;
    image.u64(56, start / 512);
    image.0.resize(image.0.len() + 4096, 0);
    for index in 0..1024 {
        image.u32(start + 4 * index, (DIRECTORY + 1) as u32);
    }
    // Its descriptor says less than the header, and the header's tables are those of the whole.
    let line = image.0.windows(5).position(|bytes| bytes == b"RW 85").unwrap() as u64;
    image.put(line, b"#    ");
    image.put(line, format!("RW {} SPARSE \"d\"\n#", 1024 * GRAIN * ENTRIES).as_bytes());
    let report = image.check();
    assert_eq!(report.corruptions, 1023);
    assert_eq!(report.allocated_units, Some(2));
    assert!(report.problems.len() <= 1000);
}

#[test]
fn little_memory_is_a_limit_and_not_a_wrong_answer() {
    let limits = Limits { metadata_cache: 32, ..Limits::default() };
    let error = check(&Image::new().0, &OpenOptions { limits, ..OpenOptions::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[test]
fn the_answer_does_not_depend_on_how_much_memory_there_is() {
    let image = Image::new().with(|image| {
        image.both(3, (FIRST + 3 * GRAIN) as u32);
    });
    let expected = image.check();
    assert_eq!(expected.corruptions, 1);
    for metadata_cache in [400, 1000, 1 << 20] {
        let limits = Limits { metadata_cache, ..Limits::default() };
        let report = check(&image.0, &OpenOptions { limits, ..OpenOptions::default() }).unwrap();
        assert_eq!(report, expected, "{metadata_cache}");
    }
}
