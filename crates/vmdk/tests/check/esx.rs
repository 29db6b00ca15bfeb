//! Sparse extents of ESX and ESXi.

use crate::image::*;

/// A COWD extent of 10 grains of 2 sectors, one directory entry and table, and 3 grains.
fn cowd() -> Image {
    let mut image = Image(vec![0; 512 * 56]);
    image.put(0, b"COWD");
    for (at, value) in [(4, 1), (8, 3), (12, 20), (16, 2), (20, 4), (24, 1), (28, 56), (4 * 512, 5)] {
        image.u32(at, value);
    }
    for (slot, sector) in [(0, 48), (4, 50), (9, 52)] {
        image.u32(TABLE + 4 * slot, sector);
    }
    image
}

/// Byte offset of the table of the COWD extent: 4096 entries, up to sector 37.
const TABLE: u64 = 5 * 512;

#[test]
fn valid_cowd_extent_is_clean() {
    let report = cowd().check();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!((report.total_units, report.allocated_units), (Some(10), Some(3)));
    assert_eq!(report.image_end, Some(54 * 512));
}

#[test]
fn damaged_cowd_extent_is_reported() {
    for sector in [1, 4, 5, 36, 55, 4000] {
        let report = cowd().with(|image| image.u32(TABLE + 16, sector)).check();
        assert_damaged(&report, TABLE + 16);
    }
    let report = cowd().with(|image| image.u32(TABLE + 36, 49)).check();
    assert_damaged(&report, TABLE + 36);
    for table in [1, 50, 4000] {
        let report = cowd().with(|image| image.u32(4 * 512, table)).check();
        assert_damaged(&report, 4 * 512);
    }
    let report = cowd().with(|image| image.u32(TABLE + 16, 0)).check();
    assert_eq!((report.corruptions, report.leaks), (0, 1));
    assert_eq!(report.problems[0].offset, Some(50 * 512));
}

/// A seSparse extent: headers, a directory in sector 4, one table of 64 sectors in sector 8, grains from 80 on.
fn sesparse() -> Image {
    let mut image = Image(vec![0; 512 * 104]);
    let fields = [
        (0, 0xCAFE_BABE),
        (8, 0x2_0000_0001),
        (16, 80),
        (24, 8),
        (32, 64),
        (80, 1),
        (88, 1),
        (128, 4),
        (136, 1),
        (144, 8),
        (152, 64),
        (192, 80),
        (200, 24),
        (512, 0xCAFE_CAFE),
        (4 * 512, 0x1000_0000_0000_0000),
    ];
    for (at, value) in fields {
        image.u64(at, value);
    }
    for (slot, value) in [(0, 3 << 60 | 1 << 48), (2, 1 << 60), (3, 2 << 60), (9, 3 << 60)] {
        image.u64(SE_TABLE + 8 * slot, value);
    }
    image
}

const SE_TABLE: u64 = 8 * 512;

#[test]
fn valid_sesparse_extent_is_clean() {
    let report = sesparse().check();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!((report.total_units, report.allocated_units), (Some(10), Some(2)));
    assert_eq!(report.image_end, Some(512 * 96));
}

#[test]
fn damaged_sesparse_extent_is_reported() {
    // An unknown type, a grain past the end, and one that another entry has.
    for entry in [4 << 60, 3 << 60 | 3 << 48, 3 << 60 | 1, 3 << 60 | 1 << 48] {
        let report = sesparse().with(|image| image.u64(SE_TABLE + 8 * 9, entry)).check();
        assert_damaged(&report, SE_TABLE + 8 * 9);
    }
    for entry in [1, 0x1000_0000_0000_0001, 2 << 60] {
        let report = sesparse().with(|image| image.u64(4 * 512, entry)).check();
        assert_damaged(&report, 4 * 512);
    }
}
