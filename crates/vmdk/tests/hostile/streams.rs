//! Stream-optimised images, read by their tables.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, ErrorKind, ExtentKind, Image as _};

use crate::image::{
    AT_END, DATA, GD, GRAIN, GT, Image, SECTOR, SIZE, assert_error, checks, deflated, embedded,
};

/// Tables after the grains, and the offset of the directory in the header.
const AFTER: u64 = 1;
const LAYOUTS: [u64; 3] = [GD, AFTER, AT_END];

fn painted_grain(number: u64) -> Vec<u8> {
    painted(number * GRAIN, GRAIN as usize)
}

/// Grains 0, 1, 2 and 7.
fn stream(directory: u64) -> Image {
    Image::stream(&[0, 1, 2, 7].map(|number| (number, deflated(&painted_grain(number)))), directory)
}

fn expected() -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    for number in [0, 1, 2, 7] {
        bytes[(number * GRAIN) as usize..][..GRAIN as usize].copy_from_slice(&painted_grain(number));
    }
    bytes
}

/// The first byte after the footer of a [`stream`] with a footer, where the end-of-stream marker begins.
fn footer_end(image: &Image) -> u64 {
    image.0.len() as u64 - 512
}

#[test]
fn stream_of_every_layout_is_read() {
    for directory in LAYOUTS {
        let image = stream(directory).open().unwrap();
        source(&image, &expected());
        let info = image.info();
        assert_eq!(*info, stream(directory).inspected());
        assert_eq!((info.compression, info.version), (Some("deflate"), Some(3)));
        assert!(info.findings.is_empty());
        let extent = image.extent_at(0..SIZE).unwrap();
        assert_eq!((extent.kind, extent.len), (ExtentKind::Encoded, 3 * GRAIN));
    }
}

#[test]
fn grains_in_any_order_are_read() {
    let order = [7, 1, 0, 2].map(|number| (number, deflated(&painted_grain(number))));
    for directory in LAYOUTS {
        source(&Image::stream(&order, directory).open().unwrap(), &expected());
    }
}

#[test]
fn undocumented_marker_between_grains_is_skipped() {
    let mut image = stream(GD);
    let mut progress = [0; 1024];
    progress[..8].copy_from_slice(&1_u64.to_le_bytes());
    progress[12] = 4;
    image.0.extend(progress);
    let at = image.grain(3 * GRAIN / SECTOR, &deflated(&painted_grain(3)));
    image.u32(GT * SECTOR + 12, (at / SECTOR) as u32);
    let mut bytes = expected();
    bytes[3 * GRAIN as usize..][..GRAIN as usize].copy_from_slice(&painted_grain(3));
    source(&image.open().unwrap(), &bytes);
}

#[test]
fn last_grain_may_be_short_or_padded() {
    let sectors = 12;
    let tail = painted(GRAIN, 2048);
    for last in [tail.clone(), [&tail[..], &[0xEE; 2048]].concat(), [&tail[..], &[0; 512]].concat()] {
        let grains = [(0, deflated(&painted_grain(0))), (1, deflated(&last))];
        for directory in LAYOUTS {
            let mut image = Image::stream(&grains, directory);
            image.u64(12, sectors);
            if directory == AT_END {
                let footer = footer_end(&image) - 512;
                image.u64(footer + 12, sectors);
            }
            image.text(&embedded("streamOptimized", sectors));
            source(&image.open().unwrap(), &painted(0, sectors as usize * 512));
        }
    }
}

#[test]
fn compressed_grain_may_be_longer_than_the_grain() {
    // Stored blocks of 64 bytes each.
    let mut stored = vec![0x78, 0x01];
    let bytes = painted_grain(0);
    for (index, block) in bytes.chunks(64).enumerate() {
        stored.push(u8::from(index == 63));
        stored.extend([64, 0, !64, 255]);
        stored.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    stored.extend((b << 16 | a).to_be_bytes());
    assert!(stored.len() as u64 > GRAIN);
    let mut grains = vec![(0, stored)];
    grains.extend([1, 2, 7].map(|number| (number, deflated(&painted_grain(number)))));
    for directory in LAYOUTS {
        source(&Image::stream(&grains, directory).open().unwrap(), &expected());
    }
}

#[test]
fn missing_footer_is_truncated_or_corrupt() {
    let whole = stream(AT_END);
    let footer = footer_end(&whole) - 512;
    for end in [footer - 512, footer, footer - 2000] {
        let mut image = whole.clone();
        image.0.truncate(end as usize);
        assert_error(&image.refused(), ErrorKind::Truncated, Some(end / 512 * 512), None);
        assert_eq!(checks(&image.inspected()), ["footer"]);
    }
    let no_marker = whole.clone().with(|image| image.u32(footer - 512 + 12, 2));
    assert_error(&no_marker.refused(), ErrorKind::Corrupt, Some(footer - 512), None);
    let mut no_end = whole;
    no_end.0.truncate(footer as usize + 512);
    assert_error(&no_end.refused(), ErrorKind::Truncated, Some(footer + 512), None);
}

#[test]
fn footer_that_differs_or_has_no_directory_is_corrupt() {
    let whole = stream(AT_END);
    let footer = footer_end(&whole) - 512;
    let other = |at: u64, value: u64| whole.clone().with(|image| image.u64(footer + at, value)).refused();
    for (at, value) in [(12, 2047), (20, 16), (28, 2), (36, 3), (56, 0), (56, AT_END)] {
        assert_error(&other(at, value), ErrorKind::Corrupt, Some(footer + at), None);
    }
    let version = whole.clone().with(|image| image.u32(footer + 4, 1)).refused();
    assert_error(&version, ErrorKind::Corrupt, Some(footer + 4), None);
    assert_error(&other(56, 1 << 30), ErrorKind::Truncated, Some(footer + 56), None);
}

#[test]
fn bytes_after_the_footer_are_corrupt_unless_zeros() {
    let whole = stream(AT_END);
    let footer = footer_end(&whole) - 512;
    let mut zeros = whole.clone();
    zeros.0.resize(zeros.0.len() + 65_536, 0);
    source(&zeros.open().unwrap(), &expected());
    for tail in [1, 512, 5000] {
        let mut image = whole.clone();
        image.0.extend(vec![7; 511 + tail]);
        assert_error(&image.refused(), ErrorKind::Corrupt, Some(footer), None);
    }
}

#[test]
fn footer_is_found_in_a_file_of_no_whole_sectors() {
    for more in [1, 511] {
        let mut image = stream(AT_END);
        image.0.extend(vec![7; more]);
        source(&image.open().unwrap(), &expected());
    }
}

#[test]
fn grain_of_invalid_size_is_corrupt_or_truncated() {
    for size in [u32::MAX, 2 * 4096 + 513] {
        let image = stream(GD).with(|image| image.u32(DATA * SECTOR + 8, size));
        let error = image.unreadable(0);
        assert_error(&error, ErrorKind::Corrupt, Some(DATA * SECTOR + 8), Some(0));
    }
    let mut image = Image::stream(&[(0, deflated(&painted_grain(0)))], GD);
    // The marker's twelve bytes are part of the room.
    let room = image.0.len() as u64 - DATA * SECTOR - 12;
    image.u32(DATA * SECTOR + 8, room as u32 + 1);
    assert_error(&image.unreadable(0), ErrorKind::Truncated, Some(DATA * SECTOR), Some(0));
    image.u32(DATA * SECTOR + 8, room as u32);
    image.open().unwrap().read_at(0, &mut [0; 512]).unwrap();
}

#[test]
fn grain_of_another_guest_offset_is_corrupt() {
    for lba in [8, 1, 4, SIZE / SECTOR, u64::MAX] {
        let image = stream(GD).with(|image| image.u64(DATA * SECTOR, lba));
        assert_error(&image.unreadable(0), ErrorKind::Corrupt, Some(DATA * SECTOR), Some(0));
    }
}

#[test]
fn grain_named_by_two_entries_is_corrupt_at_the_second() {
    let image = stream(GD).with(|image| image.u32(GT * SECTOR + 12, DATA as u32));
    image.open().unwrap().read_at(0, &mut [0; 4096]).unwrap();
    assert_error(&image.unreadable(3 * GRAIN), ErrorKind::Corrupt, Some(DATA * SECTOR), Some(3 * GRAIN));
}

#[test]
fn zlib_stream_of_more_or_less_than_a_grain_is_corrupt() {
    for len in [0, 1, 4095, 4097, 1 << 24] {
        let image = Image::stream(&[(0, deflated(&vec![1; len]))], AT_END);
        assert_eq!(image.unreadable(0).kind(), ErrorKind::Corrupt, "{len}");
    }
    let mut stream = deflated(&painted_grain(0));
    let last = stream.len() - 1;
    stream[last] ^= 1;
    let image = Image::stream(&[(0, stream)], GD);
    assert_error(&image.unreadable(0), ErrorKind::Corrupt, Some(DATA * SECTOR), Some(0));
}

#[test]
fn entry_that_refers_to_a_metadata_marker_is_corrupt() {
    for (val, kind) in [(1, 1), (1, 5), (1 << 63, 4), (0, 0)] {
        let image = stream(GD).with(|image| {
            image.u64(DATA * SECTOR, val);
            image.u64(DATA * SECTOR + 8, u64::from(kind as u32) << 32);
        });
        assert_eq!(image.unreadable(0).kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn file_that_ends_in_a_grain_is_truncated_there() {
    let mut image = Image::stream(&[(0, deflated(&painted_grain(0)))], GD);
    image.0.truncate((DATA * SECTOR) as usize + 100);
    assert_error(&image.unreadable(0), ErrorKind::Truncated, Some(DATA * SECTOR), Some(0));
    image.0.truncate((DATA * SECTOR) as usize + 11);
    assert_error(&image.unmapped(0), ErrorKind::Truncated, Some(DATA * SECTOR), Some(0));
}
