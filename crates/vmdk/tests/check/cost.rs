//! What a check may cost, whatever the image claims.

use diskimg_core::{ErrorKind, Limits, OpenOptions};

use crate::image::*;

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
    assert!(error.to_string().starts_with("vmdk: "), "{error}");
}

#[test]
fn the_answer_does_not_depend_on_how_much_memory_there_is() {
    // Grains at odd sectors far apart: a bit for each of 80000 sectors, which little memory takes in turns.
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
