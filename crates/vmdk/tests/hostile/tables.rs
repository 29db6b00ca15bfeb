//! Grain directories and grain tables.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, Chain, ErrorKind, ExtentKind, Extents, Image as _, Limits, Memory};
use proptest::prelude::*;
use std::sync::Arc;

use crate::image::{DATA, GD, GRAIN, GT, Image, RGD, RGT, SECTOR, SIZE, assert_error, checks, first_grain};

/// An image without a redundant directory.
fn alone() -> Image {
    Image::new().with(|image| image.u32(8, 1))
}

#[test]
fn directory_outside_the_file_is_rejected() {
    for (sectors, kind) in [
        (0, ErrorKind::Corrupt),
        (DATA + 8, ErrorKind::Truncated),
        (1 << 40, ErrorKind::Truncated),
        (u64::MAX - 1, ErrorKind::Truncated),
    ] {
        let image = alone().with(|image| image.u64(56, sectors));
        assert_error(&image.refused(), kind, Some(56), None);
        let image = Image::new().with(|image| {
            image.u64(48, sectors);
            image.u64(56, sectors);
        });
        assert_error(&image.refused(), kind, Some(56), None);
    }
}

#[test]
fn one_usable_directory_is_enough_and_the_other_is_reported() {
    for field in [48, 56] {
        for sectors in [0, 1 << 40] {
            let bytes = Image::new().with(|image| image.u64(field, sectors));
            let image = bytes.open().unwrap();
            source(&image, &first_grain());
            assert_eq!(checks(image.info()), ["grain_directory"]);
            assert_eq!(bytes.inspected(), *image.info(), "inspecting and opening report the same");
        }
    }
}

#[test]
fn inspect_reports_two_unusable_directories() {
    let image = Image::new().with(|image| {
        image.u64(48, 0);
        image.u64(56, 1 << 40);
    });
    assert_error(&image.refused(), ErrorKind::Truncated, Some(56), None);
    assert_eq!(checks(&image.inspected()), ["grain_directory"]);
}

#[test]
fn damaged_directory_entry_is_replaced_by_the_redundant_one_and_reported() {
    for entry in [1, 1 << 20, u32::MAX] {
        let image = Image::new().with(|image| {
            image.u32(GD * SECTOR, entry);
            image.u32(GT * SECTOR, 0);
        });
        let opened = image.open().unwrap();
        source(&opened, &first_grain());
        assert_eq!(checks(opened.info()), ["grain_directory"]);
        assert!(opened.info().findings[0].message.starts_with("1 entries"));
        assert_eq!(image.inspected(), *opened.info(), "inspecting and opening report the same");
        let both = image.with(|image| image.u32(RGD * SECTOR, entry));
        assert_eq!(both.unmapped(0).guest_offset(), Some(0));
    }
}

#[test]
fn table_past_the_end_of_the_file_is_truncated_where_qemu_reads_zeros() {
    let end = Image::new().0.len() as u64;
    for sectors in [end / SECTOR, 1 << 20, u32::MAX.into()] {
        let image = alone().with(|image| image.u32(GD * SECTOR, sectors as u32));
        assert_error(&image.unmapped(0), ErrorKind::Truncated, Some(sectors * SECTOR), Some(0));
    }
}

#[test]
fn grain_past_the_end_of_the_file_is_truncated_where_qemu_reads_zeros() {
    let end = Image::new().0.len() as u64;
    for sectors in [end / SECTOR, 1 << 20, u32::MAX.into()] {
        let image = Image::new().with(|image| image.u32(GT * SECTOR + 4, sectors as u32));
        assert_error(&image.unmapped(GRAIN), ErrorKind::Truncated, Some(sectors * SECTOR), Some(GRAIN));
    }
}

#[test]
fn survey_names_the_first_table_or_grain_that_the_file_does_not_contain() {
    let survey = |image: &Image| image.surveyed(&Limits::default());
    assert!(survey(&Image::new()).is_empty() && survey(&alone()).is_empty());
    let table = alone().with(|image| image.u32(GD * SECTOR, 1 << 20));
    assert_eq!(survey(&table), [("truncated", Some(SECTOR << 20))]);
    let grain = Image::new().with(|image| image.u32(GT * SECTOR + 4, 1 << 20));
    assert_eq!(survey(&grain), [("truncated", Some(SECTOR << 20))]);
    let short = Image::new().with(|image| image.0.truncate((DATA * SECTOR) as usize + 1000));
    assert_eq!(survey(&short), [("truncated", Some(DATA * SECTOR))]);
    let directory = alone().with(|image| image.u64(56, 1 << 40));
    assert_eq!(survey(&directory), [("truncated", Some(56))]);
    // The redundant directory replaces a damaged entry, which the description reports.
    assert!(survey(&Image::new().with(|image| image.u32(GD * SECTOR, 1 << 20))).is_empty());
    let few = Limits { metadata_cache: 1000, ..Limits::default() };
    assert_eq!(grain.surveyed(&few), [("tables_not_compared", None)]);
}

#[test]
fn grain_that_the_file_ends_in_is_read_up_to_the_end() {
    let mut image = Image::new();
    image.0.truncate((DATA * SECTOR) as usize + 1000);
    let opened = image.open().unwrap();
    let mut bytes = [0; 1000];
    opened.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes[..], painted(0, 1000));
    let extent = opened.extent_at(0..SIZE).unwrap();
    assert_eq!((extent.kind, extent.len), (ExtentKind::Data, 1000));
    assert_error(&image.unmapped(1000), ErrorKind::Truncated, Some(DATA * SECTOR + 1000), Some(1000));
}

#[test]
fn grain_or_table_on_other_metadata_is_corrupt() {
    for sectors in [2, RGD, GD] {
        let image = alone().with(|image| image.u32(GT * SECTOR + 4, sectors as u32));
        assert_error(&image.unmapped(GRAIN), ErrorKind::Corrupt, Some(sectors * SECTOR), Some(GRAIN));
    }
    for sectors in [1, GD] {
        let image = alone().with(|image| image.u32(GD * SECTOR, sectors as u32));
        assert_error(&image.unmapped(0), ErrorKind::Corrupt, Some(GD * SECTOR), Some(0));
    }
}

#[test]
fn grain_on_a_grain_table_or_its_copy_is_corrupt() {
    // Each table has 4 sectors; the grain has 8.
    for sectors in [GT, GT + 3, RGT, RGT + 3, GD - 1] {
        let image = Image::new().with(|image| image.u32(GT * SECTOR + 4, sectors as u32));
        assert_error(&image.unmapped(GRAIN), ErrorKind::Corrupt, Some(sectors * SECTOR), Some(GRAIN));
    }
    let after = Image::new().with(|image| {
        image.u32(GT * SECTOR + 4, GT as u32 + 4);
        image.0.extend([0; 4096]);
    });
    assert!(after.open().unwrap().extent_at(GRAIN..SIZE).is_ok(), "right after a table");
}

#[test]
fn grain_on_a_table_is_corrupt_whatever_the_order_of_tables() {
    // Four tables of 128 entries, the second before the first and not contiguous with the others.
    let image = alone().with(|image| {
        image.u32(44, 128);
        image.u64(12, 4 * SIZE / SECTOR);
        image.text(&crate::image::embedded("monolithicSparse", 4 * SIZE / SECTOR));
        for (index, sector) in [12, 5, 0, 10].into_iter().enumerate() {
            image.u32(GD * SECTOR + 4 * index as u64, sector);
        }
        image.bytes(GT * SECTOR, &[0; 2048]);
        image.u32(12 * SECTOR, DATA as u32);
    });
    let opened = image.open().unwrap();
    assert_eq!(opened.extent_at(0..GRAIN).unwrap().kind, ExtentKind::Data);
    for sectors in [5, 10, 11, 12] {
        let image = image.clone().with(|image| image.u32(12 * SECTOR + 4, sectors));
        assert_error(
            &image.unmapped(GRAIN),
            ErrorKind::Corrupt,
            Some(u64::from(sectors) * SECTOR),
            Some(GRAIN),
        );
    }
}

#[test]
fn damage_to_the_redundant_directory_only_keeps_grains_readable() {
    let image = Image::new().with(|image| image.u32(RGD * SECTOR, DATA as u32));
    source(&image.open().unwrap(), &first_grain());
}

#[test]
fn zero_grain_hides_the_layer_below() {
    for flags in [3, 7] {
        let image = Image::new().with(|image| {
            image.u32(8, flags);
            image.u32(GT * SECTOR + 4, 1);
        });
        let opened = image.open().unwrap();
        let kinds: Vec<_> =
            Extents::new(&opened, 0..SIZE).map(|extent| extent.map(|e| (e.kind, e.len)).unwrap()).collect();
        let expected = [
            (ExtentKind::Data, GRAIN),
            (ExtentKind::Zero, GRAIN),
            (ExtentKind::Unallocated, SIZE - 2 * GRAIN),
        ];
        assert_eq!(kinds, expected, "with and without the flag for it");
        let below = Memory::new(vec![9; SIZE as usize]);
        let chain = Chain::new(vec![Arc::new(opened), Arc::new(below)]).unwrap();
        let mut bytes = painted(0, GRAIN as usize);
        bytes.resize(2 * GRAIN as usize, 0);
        bytes.resize(SIZE as usize, 9);
        source(&chain, &bytes);
    }
}

#[test]
fn tables_of_every_length_and_grains_of_every_size_are_read() {
    for (grain_sectors, entries) in [(1, 1), (1, 512), (2, 3), (8, 1), (64, 2), (2048, 128), (128, 512)] {
        let grain = grain_sectors * SECTOR;
        let size = 5 * grain + SECTOR;
        let tables = 6_u64.div_ceil(entries);
        let table_sectors = (entries * 4).div_ceil(SECTOR);
        let first_table = 8;
        let data = first_table + tables * table_sectors;
        let mut image = Image(vec![0; (data * SECTOR) as usize]);
        image.bytes(0, &Image::extent().0[..512]);
        image.u32(8, 1);
        for (at, value) in [(12, size / SECTOR), (20, grain_sectors), (56, 7)] {
            image.u64(at, value);
        }
        image.u32(44, entries as u32);
        let mut expected = vec![0; size as usize];
        for number in 0..6_u64 {
            let table = first_table + number / entries * table_sectors;
            image.u32(7 * SECTOR + number / entries * 4, table as u32);
            if number % 3 == 1 {
                continue;
            }
            let here = image.0.len() as u64 / SECTOR;
            image.u32(table * SECTOR + number % entries * 4, here as u32);
            let bytes = painted(number * grain, grain.min(size - number * grain) as usize);
            expected[(number * grain) as usize..][..bytes.len()].copy_from_slice(&bytes);
            image.0.extend(bytes);
        }
        source(&image.open().unwrap(), &expected);
    }
}

#[test]
fn redundant_table_is_not_read_while_the_primary_is_valid() {
    let image = Image::new().with(|image| image.u32(RGT * SECTOR, u32::MAX)).open().unwrap();
    source(&image, &first_grain());
    assert!(image.info().findings.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn grains_of_any_kind_in_any_order_are_one_disk(
        grains in proptest::collection::vec((0_u64..256, 0_u8..3), 1..64),
    ) {
        let mut image = Image::new();
        let mut expected = first_grain();
        for (number, kind) in grains {
            let entry = match kind {
                0 => 0,
                1 => 1,
                _ => image.0.len() as u64 / SECTOR,
            };
            image.u32(GT * SECTOR + 4 * number, entry as u32);
            let bytes = if kind == 2 { painted(number, GRAIN as usize) } else { vec![0; GRAIN as usize] };
            expected[(number * GRAIN) as usize..][..GRAIN as usize].copy_from_slice(&bytes);
            if kind == 2 {
                image.0.extend(bytes);
            }
        }
        source(&image.open().unwrap(), &expected);
    }
}
