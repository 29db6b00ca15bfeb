//! Headers, descriptors and footers that cannot be streamed, or are invalid.

use diskimg_core::ErrorKind::{self, Corrupt, NeedsSeek, Truncated, Unsupported};
use diskimg_core::{Limits, MemorySink};

use crate::image::*;

fn kind(image: &Image) -> ErrorKind {
    image.refused().kind()
}

fn descriptor(text: &str) -> Image {
    Image::new(Writer::OpenVmdk).with(|image| {
        image.put(512, &[0; 512]);
        image.put(512, text.as_bytes());
    })
}

#[test]
fn layout_that_cannot_be_streamed_needs_a_file() {
    let sparse = Image::new(Writer::Qemu).with(|image| {
        image.u32(8, 1);
        image.put(77, &[0]);
    });
    assert_eq!(kind(&sparse), NeedsSeek);
    // A descriptor only: the disk is in other files.
    let descriptor_only = Image::new(Writer::Qemu).with(|image| image.u64(12, 0));
    assert_eq!(kind(&descriptor_only), NeedsSeek);
    // A table before the directory that names it.
    let backwards = Image::new(Writer::Qemu).with(|image| {
        image.u64(56, 8);
        for (index, table) in image.tables.clone().into_iter().enumerate() {
            image.u32(8 * 512 + 4 * index, (table / 512) as u32);
        }
    });
    assert_eq!(kind(&backwards), NeedsSeek);
}

#[test]
fn stream_with_a_parent_needs_a_file() {
    let line = "version=1\ncreateType=\"streamOptimized\"\nRW 85 SPARSE \"a\"\n";
    for parent in ["parentCID=12345678", "ddb.uuid.parent=\"3f2504e0-4f89-11d3-9a0c-0305e82c3301\""] {
        let error = descriptor(&format!("{line}{parent}\n")).refused();
        assert_eq!(error.kind(), NeedsSeek, "{parent}: {error}");
    }
    let none = "parentCID=ffffffff\nddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\n";
    assert_eq!(descriptor(&format!("{line}{none}")).decode().unwrap(), disk(&GRAINS));
}

#[test]
fn descriptor_that_contradicts_the_file_is_rejected_as_on_opening() {
    for (lines, expected) in [
        ("RW 85 FLAT \"/etc/passwd\" 0\n", Corrupt),
        ("RW 85 ZERO\n", Corrupt),
        ("RW x SPARSE \"a\"\n", Corrupt),
        ("NOACCESS 85 SPARSE \"a\"\n", NeedsSeek),
    ] {
        let image = descriptor(&format!("createType=\"streamOptimized\"\n{lines}"));
        assert_eq!(kind(&image), expected, "{lines}");
    }
}

#[test]
fn stream_without_its_footer_is_corrupt() {
    let image = Image::new(Writer::Footer).with(|image| {
        let footer = image.footer - 512;
        image.bytes.truncate(footer);
        image.marker(0, 0);
    });
    assert_refused(&image, Corrupt, image.bytes.len());
}

#[test]
fn footer_that_differs_from_the_header_is_corrupt() {
    let fields: [(usize, u64); 5] = [(4, 1), (28, 2), (36, 2), (12, CAPACITY - 1), (20, 2 * GRAIN)];
    for (at, value) in fields {
        let image = Image::new(Writer::Footer).with(|image| {
            let at = image.footer + at;
            if at == image.footer + 4 { image.u32(at, 1) } else { image.u64(at, value) }
        });
        assert_refused(&image, Corrupt, image.footer + at);
    }
    let image = Image::new(Writer::Footer).with(|image| image.put(image.footer, b"COWD"));
    assert_refused(&image, Corrupt, image.footer);
}

#[test]
fn footer_without_the_directory_is_corrupt() {
    for directory in [0, u64::MAX] {
        let image = Image::new(Writer::Footer).with(|image| image.u64(image.footer + 56, directory));
        assert_refused(&image, Corrupt, image.footer + 56);
    }
    // A footer that differs from the header in the place, and one with a place that has no directory.
    let image = Image::new(Writer::KnownDirectory).with(|image| image.u64(image.footer + 56, 3));
    assert_refused(&image, Corrupt, image.footer + 56);
    let image = Image::new(Writer::Footer).with(|image| image.u64(image.footer + 56, 17));
    assert_eq!(kind(&image), Corrupt);
}

#[test]
fn directory_entry_that_refers_to_no_table_is_rejected() {
    for writer in WRITERS {
        for entry in [1, 2, 15, 17, 20, 0xFFFF] {
            let image = Image::new(writer).with(|image| image.u32(image.directory, entry));
            let error = image.refused();
            assert!(matches!(error.kind(), Corrupt | Truncated | NeedsSeek), "{writer:?} {entry}: {error}");
        }
        // A table that two entries share can have the grains of one of them only.
        let image = Image::new(writer).with(|image| {
            let shared = (image.tables[0] / 512) as u32;
            image.u32(image.directory + 8, shared);
        });
        assert_eq!(kind(&image), Corrupt, "{writer:?}");
    }
}

#[test]
fn overlapping_structures_before_the_grains_are_corrupt() {
    // The descriptor on the header, on the directory, and past the space before the grains.
    for (offset, size) in [(1, 2), (2, 1), (1, 4), (15, 2), (16, 1), (1 << 54, 1)] {
        let image = Image::new(Writer::Qemu).with(|image| {
            image.u64(28, offset);
            image.u64(36, size);
        });
        assert_eq!(kind(&image), Corrupt, "{offset}, {size}");
    }
}

#[test]
fn oversized_descriptor_is_a_limit() {
    for size in [2049, 1 << 55, u64::MAX] {
        let image = Image::new(Writer::Footer).with(|image| image.u64(36, size));
        assert_eq!(kind(&image), ErrorKind::Limit, "{size}");
    }
}

#[test]
fn header_is_checked_before_anything_is_written() {
    for (at, value, expected) in [
        (4, 4, Unsupported),
        (8, 0x3_0001 | 1 << 20, Unsupported),
        (8, 0x1_0001, Unsupported),
        (44, 0, Corrupt),
        (44, 513, ErrorKind::Limit),
    ] {
        let image = Image::new(Writer::Footer).with(|image| image.u32(at, value));
        assert_eq!(kind(&image), expected, "{value:#x} at {at}");
    }
    let huge = Image::new(Writer::Footer).with(|image| image.u64(12, 1 << 40));
    let sink = MemorySink::new(1 << 20);
    let limits = Limits { virtual_size: 1 << 40, ..Limits::default() };
    let error = decode_into(&huge.bytes, 100, &limits, &sink).unwrap_err();
    assert_eq!((error.kind(), sink.bytes().len()), (ErrorKind::Limit, 0));
    let no_directory = Image::new(Writer::Footer).with(|image| image.u64(56, 0));
    assert_refused(&no_directory, Corrupt, 56);
}

#[test]
fn encrypted_stream_is_rejected_as_encrypted() {
    let line = "createType=\"streamOptimized\"\nRW 85 SPARSE \"a\"\nparentCID=12345678\n";
    for entry in ["encryption.data=\"x\"", "keyID=\"x\"", "ddb.iofilters=\"vmwarevmcrypt\""] {
        assert_eq!(kind(&descriptor(&format!("{line}{entry}\n"))), ErrorKind::Encrypted, "{entry}");
    }
}

#[test]
fn part_of_a_larger_disk_needs_a_file() {
    let mut alone = Image::new(Writer::Qemu);
    alone.put(28, &[0; 16]);
    assert_eq!(kind(&alone), NeedsSeek);
    let split = descriptor("createType=\"twoGbMaxExtentSparse\"\nRW 85 SPARSE \"d\"\n");
    let two = "createType=\"streamOptimized\"\nRW 85 SPARSE \"d\"\nRW 85 SPARSE \"e\"\n";
    for part in [split, descriptor(two), descriptor("# nothing\n")] {
        assert_eq!(kind(&part), NeedsSeek);
    }
}
