//! Invalid grains and markers.

use std::sync::Arc;

use diskimg_core::ErrorKind::{Corrupt, NeedsSeek, Truncated};
use diskimg_core::conformance::painted;
use diskimg_core::{Memory, OpenOptions};
use diskimg_vmdk::DRIVER;

use crate::image::*;

/// The disk, or the error, of an image that is opened and read as a file.
fn read_as_file(image: &Image) -> diskimg_core::Result<Vec<u8>> {
    let source = Arc::new(Memory::new(image.bytes.clone()));
    let opened = (DRIVER.open)(source, &OpenOptions::default())?;
    let mut bytes = vec![0; opened.size() as usize];
    opened.read_at(0, &mut bytes).map(|()| bytes)
}

#[test]
fn descriptor_without_a_type_is_corrupt_and_a_blank_one_needs_a_file() {
    let blank = Image::new(Writer::OpenVmdk).with(|image| image.put(512, &[0; 512]));
    assert_eq!(blank.decode().unwrap_err().kind(), NeedsSeek);
    assert_eq!(read_as_file(&blank).unwrap(), disk(&GRAINS));
    let partial = Image::new(Writer::OpenVmdk).with(|image| {
        image.put(512, &[0; 512]);
        image.put(512, b"version=1\nRW 85 SPARSE \"a\"\n");
    });
    assert_eq!(partial.decode().unwrap_err().kind(), Corrupt);
    assert_eq!(read_as_file(&partial).unwrap_err().kind(), Corrupt);
}

#[test]
fn bytes_after_the_end_are_treated_in_a_stream_as_in_a_file() {
    let noise = painted(1, 3072);
    let tails: [(usize, &[u8]); 14] = [
        (0, &[]),
        (512, &[]),
        (1024, &[]),
        (65_536, &[]),
        (129_536, &[]),
        (129_537 + 511, &[]),
        (200_000, &[]),
        (5_000_000, &[]),
        (200_000, &[7; 512]),
        (0, &[0, 0, 7]),
        (0, &noise[..511]),
        (0, &noise[..513]),
        (0, &noise),
        (4096, &noise[..600]),
    ];
    for writer in WRITERS {
        for (zeros, more) in tails {
            let image = Image::new(writer).with(|image| {
                image.bytes.resize(image.bytes.len() + zeros, 0);
                image.bytes.extend(more);
            });
            let case = format!("{writer:?} with {zeros} zeros and {} bytes", more.len());
            let file = read_as_file(&image);
            for step in [511, 65_536, usize::MAX] {
                match (decode(&image.bytes, step), &file) {
                    (Ok(stream), Ok(file)) => assert!(stream == *file, "{case}"),
                    (Err(_), Err(_)) => {}
                    (stream, file) => {
                        panic!("{case}: {:?}, of the file {:?}", stream.err(), file.as_ref().err())
                    }
                }
            }
            let accepted = writer != Writer::Footer || more.len() < 512;
            assert_eq!(file.is_ok(), accepted, "{case}");
        }
    }
}

#[test]
fn data_after_the_end_of_a_stream_with_footer_is_corrupt() {
    let image = Image::new(Writer::Footer).with(|image| {
        image.bytes.extend([0, 0, 7]);
        image.bytes.extend([0; 509]);
    });
    let at = image.bytes.len() - 510;
    assert_refused(&image, Corrupt, at);
}

#[test]
fn grain_after_the_footer_is_corrupt() {
    let mut image = Image::new(Writer::Footer);
    let end = image.bytes.len() - 512;
    image.bytes.truncate(end);
    image.grain(GRAIN, &zlib(&guest(1)));
    image.marker(0, 0);
    assert_refused(&image, Corrupt, end);
}

#[test]
fn compressed_size_of_no_possible_grain_is_corrupt() {
    for writer in WRITERS {
        for size in [u32::MAX, 0x8000_0000, 2 * 4096 + 513] {
            let image = Image::new(writer).with(|image| image.u32(image.grains[1] + 8, size));
            let at = image.grains[1] + 8;
            assert_refused(&image, Corrupt, at);
        }
    }
}

#[test]
fn compressed_size_past_the_end_of_the_file_is_truncated() {
    // CVE-2026-2243: the size fits the rest of the file only without the 12 bytes of the marker.
    let mut image = Image::new(Writer::OpenVmdk);
    let last = image.grains[3];
    image.bytes.truncate(last + 512);
    image.u32(last + 8, 512);
    assert_refused(&image, Truncated, last);
}

#[test]
fn grain_elsewhere_than_in_its_table_is_corrupt() {
    for writer in WRITERS {
        // The marker of grain 3 has the LBA of grain 1.
        let image = Image::new(writer).with(|image| image.u64(image.grains[1], GRAIN));
        assert_refused(&image, Corrupt, image.tables[0]);
        // The marker of grain 3 has the LBA of grain 4, whose table is missing.
        let image = Image::new(writer).with(|image| image.u64(image.grains[1], 4 * GRAIN));
        assert_refused(&image, Corrupt, image.tables[0]);
        // The markers of grains 9 and 10 are swapped.
        let image = Image::new(writer).with(|image| {
            image.u64(image.grains[2], 10 * GRAIN);
            image.u64(image.grains[3], 9 * GRAIN);
        });
        let error = image.refused();
        assert_eq!(error.kind(), Corrupt, "{error}");
    }
}

#[test]
fn table_with_more_or_fewer_grains_than_the_stream_is_corrupt() {
    for writer in WRITERS {
        for (slot, entry) in [(1, 0), (1, OVERHEAD as u32), (3, OVERHEAD as u32 + 2)] {
            let image = Image::new(writer).with(|image| image.u32(image.tables[2] + 4 * slot, entry));
            let error = assert_refused(&image, Corrupt, image.tables[2]);
            assert_eq!(error.guest_offset(), Some(512 * GRAIN * ENTRIES * 2), "{writer:?}: {error}");
        }
    }
}

#[test]
fn lba_inside_a_grain_or_past_the_disk_is_corrupt() {
    for writer in WRITERS {
        for lba in [1, 4, 3 * GRAIN + 1, 11 * GRAIN, 1 << 63, u64::MAX - 7, u64::MAX] {
            let image = Image::new(writer).with(|image| image.u64(image.grains[1], lba));
            assert_refused(&image, Corrupt, image.grains[1]);
        }
    }
}

#[test]
fn repeated_grain_is_corrupt() {
    for writer in WRITERS {
        let image = Image::of(writer, &[0, 3, 9, 3]);
        let error = assert_refused(&image, Corrupt, image.grains[3]);
        assert_eq!(error.guest_offset(), Some(512 * 3 * GRAIN), "{error}");
        // A marker with the LBA of the grain before it.
        let image = Image::new(writer).with(|image| image.u64(image.grains[1], 0));
        assert_refused(&image, Corrupt, image.grains[1]);
    }
}

#[test]
fn grain_that_decompresses_to_more_than_a_grain_is_corrupt() {
    let bomb = zlib(&vec![0; 64 << 10]);
    assert!(bomb.len() < 512);
    for writer in WRITERS {
        let image = Image::with_streams(writer, &[(0, bomb.clone())]);
        assert_refused(&image, Corrupt, image.grains[0]);
    }
}

#[test]
fn grain_that_decompresses_to_less_than_its_bytes_is_corrupt() {
    for writer in WRITERS {
        for (grain, len) in [(0, 4095), (0, 0), (10, 5 * 512 - 1)] {
            let image = Image::with_streams(writer, &[(grain, zlib(&vec![7; len]))]);
            assert_refused(&image, Corrupt, image.grains[0]);
        }
    }
}

#[test]
fn grain_that_is_not_a_zlib_stream_is_corrupt() {
    let good = zlib(&guest(0));
    let mut bad_sum = good.clone();
    *bad_sum.last_mut().unwrap() ^= 1;
    for stream in [b"x".to_vec(), vec![0xFF; 300], good[..good.len() - 5].to_vec(), bad_sum] {
        let image = Image::with_streams(Writer::Footer, &[(0, stream)]);
        assert_refused(&image, Corrupt, image.grains[0]);
    }
}

#[test]
fn marker_of_unknown_type_is_corrupt() {
    for kind in [5, 255, u32::MAX] {
        let image = Image::new(Writer::Footer).with(|image| {
            let end = image.bytes.len() - 512;
            image.u32(end + 12, kind);
        });
        // After a footer nothing may follow; before one the error gives the type.
        assert_eq!(image.refused().kind(), Corrupt);
        let image = Image::new(Writer::Footer).with(|image| image.u32(image.directory - 500, kind));
        assert_refused(&image, Corrupt, image.directory - 500);
    }
}

#[test]
fn metadata_longer_than_any_file_is_corrupt() {
    for kind in [1, 2, 3, 4] {
        for sectors in [1 << 63, u64::MAX, 1 << 55] {
            let image = Image::new(Writer::Footer).with(|image| {
                image.u64(image.directory - 512, sectors);
                image.u32(image.directory - 500, kind);
            });
            assert_refused(&image, Corrupt, image.directory - 512);
        }
    }
}

#[test]
fn metadata_shorter_than_its_structure_is_corrupt() {
    for at in [|i: &Image| i.tables[0], |i: &Image| i.directory, |i: &Image| i.footer] {
        let image = Image::new(Writer::Footer).with(|image| image.u64(at(image) - 512, 0));
        assert_refused(&image, Corrupt, at(&image) - 512);
    }
}

#[test]
fn metadata_past_the_end_of_the_file_is_truncated() {
    let image = Image::new(Writer::OpenVmdk).with(|image| {
        let end = image.bytes.len() - 512;
        image.u64(end, 1 << 40);
        image.u32(end + 12, 4);
    });
    assert_eq!(image.refused().kind(), Truncated);
}
