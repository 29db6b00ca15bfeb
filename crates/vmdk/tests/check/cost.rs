//! The cost of a check, whatever the image claims.

use diskimg_core::{ErrorKind, Limits, OpenOptions};

use crate::image::*;

#[test]
fn table_named_by_every_directory_entry_is_read_once() {
    // 1024 entries for one table: all but one are reported, and its grains are counted once.
    let mut image = Image::new();
    image.u32(8, 1);
    image.u64(12, 1024 * GRAIN * ENTRIES);
    let start = image.0.len() as u64;
    image.u64(56, start / 512);
    image.0.resize(image.0.len() + 4096, 0);
    for index in 0..1024 {
        image.u32(start + 4 * index, (DIRECTORY + 1) as u32);
    }
    // The line must have the new capacity, or the disk would be smaller.
    let line = image.0.windows(5).position(|bytes| bytes == b"RW 85").unwrap() as u64;
    image.put(line, b"#    ");
    image.put(line, format!("RW {} SPARSE \"d\"\n#", 1024 * GRAIN * ENTRIES).as_bytes());
    let report = image.check();
    assert_eq!(report.corruptions, 1023);
    assert_eq!(report.allocated_units, Some(2));
    assert!(report.problems.len() <= 1000);
}

#[test]
fn too_little_memory_for_the_check_is_a_limit() {
    let limits = Limits { metadata_cache: 32, ..Limits::default() };
    let error = check(&Image::new().0, &OpenOptions { limits, ..OpenOptions::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().starts_with("vmdk: "), "{error}");
}

#[test]
fn check_report_does_not_depend_on_the_memory_limit() {
    // Grains at odd sectors far apart need a bit for each of 80000 sectors: several passes with little memory.
    let far = |sector: u32| {
        let mut image = Image::new();
        image.0.resize(41 << 20, 0);
        image.both(3, 80_001);
        image.both(9, sector);
        image.both(10, 17);
        image.both(0, 22);
        image
    };
    for (sector, corruptions, leaks) in [(80_002, 1, 0), (80_009, 0, 9996)] {
        let image = far(sector);
        let expected = image.check();
        let found = (expected.corruptions, expected.leaks, expected.problems.len());
        assert_eq!(found, (corruptions, leaks, 1), "{:#?}", expected.problems);
        for metadata_cache in [4600, 5000, 9000] {
            let limits = Limits { metadata_cache, ..Limits::default() };
            let report = check(&image.0, &OpenOptions { limits, ..OpenOptions::default() }).unwrap();
            assert_eq!(report, expected, "{metadata_cache}");
        }
    }
}
