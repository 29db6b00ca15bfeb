//! Sparse extents of ESX and ESXi.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, ErrorKind, Extents, Image as _};

use crate::image::{Files, Image, SECTOR, assert_error, checks, open, refused, text};

/// A COWD extent of 4096 + 2 grains of one sector. The last grain of the first table and the first grain of the
/// second table have data.
fn cowd() -> Image {
    let mut image = Image(vec![0; 80 * 512]);
    image.bytes(0, b"COWD");
    for (at, value) in [(4, 1), (8, 3), (12, 4098), (16, 1), (20, 4), (24, 2), (28, 80)] {
        image.u32(at, value);
    }
    image.u32(4 * SECTOR, 5);
    image.u32(4 * SECTOR + 4, 40);
    image.u32(5 * SECTOR + 4095 * 4, 80);
    image.u32(40 * SECTOR, 81);
    image.0.extend(painted(0, 1024));
    image
}

fn cowd_bytes() -> Vec<u8> {
    let mut bytes = vec![0; 4098 * 512];
    bytes[4095 * 512..4097 * 512].copy_from_slice(&painted(0, 1024));
    bytes
}

fn opened(line: &str, create_type: &str, file: &Image) -> Result<diskimg_vmdk::Vmdk, diskimg_core::Error> {
    open(text(create_type, line), &Files::new(&[("a.vmdk", file.0.clone())]))
}

#[test]
fn cowd_extent_is_read_with_and_without_its_descriptor() {
    let alone = cowd().open().unwrap();
    source(&alone, &cowd_bytes());
    assert_eq!((alone.info().is_part, checks(alone.info())), (true, vec!["part"]));
    let image = opened("RW 4098 VMFSSPARSE \"a.vmdk\"", "vmfsSparse", &cowd()).unwrap();
    source(&image, &cowd_bytes());
    assert_eq!(image.info().allocation_unit, Some(512));
    let kinds: Vec<_> = Extents::new(&image, 0..image.size()).map(|extent| extent.unwrap().kind).collect();
    use diskimg_core::ExtentKind::{Data, Unallocated};
    assert_eq!(kinds, [Unallocated, Data, Data, Unallocated], "a table each");
}

#[test]
fn invalid_cowd_header_is_rejected() {
    for (at, value, kind) in [
        (4, 0, ErrorKind::Unsupported),
        (4, 2, ErrorKind::Unsupported),
        (16, 0, ErrorKind::Corrupt),
        (16, 2049, ErrorKind::Limit),
        (24, 1, ErrorKind::Corrupt),
        (12, u32::MAX, ErrorKind::Corrupt),
        (20, 3, ErrorKind::Corrupt),
        (20, u32::MAX, ErrorKind::Truncated),
    ] {
        let error = cowd().with(|image| image.u32(at, value)).refused();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let mut short = cowd();
    short.0.truncate(31);
    assert_error(&short.refused(), ErrorKind::Truncated, Some(0), None);
}

#[test]
fn cowd_entry_of_1_is_not_a_zero_grain() {
    let image = cowd().with(|image| image.u32(5 * SECTOR, 1));
    assert_error(&image.unmapped(0), ErrorKind::Corrupt, Some(SECTOR), Some(0));
}

/// A seSparse extent of two tables. Grain 1 has data, 2 is zeros, 3 is discarded, and the first grain of the
/// second table has data.
fn sesparse() -> Image {
    let mut image = Image(vec![0; 140 * 512]);
    let words = [
        (0, 0xcafe_babe),
        (1, 0x2_0000_0001),
        (2, 2 * 4096 * 8),
        (3, 8),
        (4, 64),
        (10, 1),
        (11, 1),
        (16, 2),
        (17, 1),
        (18, 3),
        (19, 128),
        (24, 140),
        (25, 16),
    ];
    for (index, value) in words {
        image.u64(index * 8, value);
    }
    image.u64(SECTOR, 0xcafe_cafe);
    image.u64(2 * SECTOR, 0x1000_0000_0000_0001);
    image.u64(2 * SECTOR + 8, 0x1000_0000_0000_0000);
    for (index, value) in [(1, 0x3000_0000_0000_0000), (2, 2 << 60), (3, 1 << 60)] {
        image.u64(67 * SECTOR + 8 * index, value);
    }
    image.u64(3 * SECTOR, 0x3001_0000_0000_0000);
    image.0.extend(painted(0, 8192));
    image
}

fn sesparse_bytes() -> Vec<u8> {
    let mut bytes = vec![0; 2 * 4096 * 4096];
    bytes[4096..8192].copy_from_slice(&painted(0, 4096));
    bytes[4096 * 4096..][..4096].copy_from_slice(&painted(4096, 4096));
    bytes
}

#[test]
fn sesparse_extent_is_read_with_and_without_its_descriptor() {
    source(&sesparse().open().unwrap(), &sesparse_bytes());
    for create_type in ["seSparse", "vmfsSeSparse"] {
        let image = opened("RW 65536 SESPARSE \"a.vmdk\"", create_type, &sesparse()).unwrap();
        source(&image, &sesparse_bytes());
        assert_eq!(image.info().allocation_unit, Some(4096));
        let kinds: Vec<_> = Extents::new(&image, 0..5 * 4096).map(|extent| extent.unwrap().kind).collect();
        use diskimg_core::ExtentKind::{Data, Unallocated, Zero};
        assert_eq!(kinds, [Unallocated, Data, Zero, Unallocated]);
    }
}

#[test]
fn sesparse_extent_with_a_journal_to_replay_is_unsupported() {
    let error = sesparse().with(|image| image.u64(SECTOR + 24, 1)).refused();
    assert_error(&error, ErrorKind::Unsupported, Some(SECTOR + 24), None);
    let error = sesparse().with(|image| image.u64(SECTOR, 1)).refused();
    assert_error(&error, ErrorKind::Corrupt, Some(SECTOR), None);
    let error = sesparse().with(|image| image.u64(80, 1 << 30)).refused();
    assert_error(&error, ErrorKind::Truncated, Some(1 << 39), None);
}

#[test]
fn sesparse_entry_of_unknown_type_is_corrupt() {
    let grain = |entry| sesparse().with(|image| image.u64(67 * SECTOR, entry)).unmapped(0);
    for entry in [1, 4 << 60, u64::MAX] {
        assert_error(&grain(entry), ErrorKind::Corrupt, Some(67 * SECTOR), Some(0));
    }
    let table = sesparse().with(|image| image.u64(2 * SECTOR, 0x2000_0000_0000_0000)).unmapped(0);
    assert_error(&table, ErrorKind::Corrupt, Some(2 * SECTOR), Some(0));
    let far = sesparse().with(|image| image.u64(2 * SECTOR, 0x1000_0000_FFFF_FFFF)).unmapped(0);
    assert_eq!(far.kind(), ErrorKind::Truncated);
    assert_eq!(grain(0x3FFF_FFFF_FFFF_FFFF).kind(), ErrorKind::Truncated);
}

#[test]
fn invalid_sesparse_header_is_rejected() {
    for (word, value, kind) in [
        (3, 16, ErrorKind::Unsupported),
        (4, 32, ErrorKind::Unsupported),
        (5, 1, ErrorKind::Unsupported),
        (2, 1 << 54, ErrorKind::Corrupt),
        (17, 0, ErrorKind::Corrupt),
        (16, 1 << 40, ErrorKind::Truncated),
        (24, u64::MAX, ErrorKind::Corrupt),
    ] {
        assert_eq!(sesparse().with(|image| image.u64(word * 8, value)).refused().kind(), kind, "{word}");
    }
}

#[test]
fn extent_of_another_kind_than_in_its_line_is_corrupt() {
    for (line, create_type) in [
        ("RW 4098 VMFSSPARSE \"a.vmdk\"", "vmfsSparse"),
        ("RW 4098 SESPARSE \"a.vmdk\"", "seSparse"),
        ("RW 4098 SPARSE \"a.vmdk\"", "custom"),
    ] {
        for file in [cowd(), sesparse(), Image::extent(), Image(vec![0; 4096])] {
            if let Err(error) = opened(line, create_type, &file) {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains("a.vmdk"), "{error}");
            }
        }
        assert!(refused(opened(line, create_type, &Image(vec![0; 4096]))).to_string().contains("magic"));
    }
}

#[test]
fn survey_reads_the_tables_of_both_extent_types() {
    let limits = diskimg_core::Limits::default();
    for mut image in [cowd(), sesparse()] {
        assert!(image.surveyed(&limits).is_empty());
        let end = image.0.len();
        image.0.truncate(end - 1);
        assert_eq!(image.surveyed(&limits)[0].0, "truncated");
    }
}
