//! Invalid header fields.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, ErrorKind, Limits, OpenOptions, SnapshotSelector};
use diskimg_vdi::Vdi;

use crate::image::*;

#[test]
fn valid_images_of_every_kind_read_as_built() {
    let longer = Image::new().with(|image| image.u32(HEADER_BYTES, 400));
    let other_minor = Image::new().with(|image| image.u32(68, 0x0001_0002));
    for image in [Image::new(), longer, other_minor, Image::v0(), Image::with_extra(512)] {
        source(&image.open().unwrap(), &first_block_only());
    }
    source(&Image::fixed().open().unwrap(), &painted(0, SIZE as usize));
}

#[test]
fn text_before_the_signature_is_arbitrary() {
    let image = Image::new().with(|image| image.put(0, &[0xAA; 64]));
    source(&image.open().unwrap(), &first_block_only());
}

#[test]
fn file_shorter_than_its_header_is_truncated() {
    for len in [0, 63, 64, 71, 72, 455] {
        let image = Image::new().with(|image| image.bytes.truncate(len));
        let error = image.refused();
        assert_error(&error, ErrorKind::Truncated, Some(0), None);
        assert_eq!(error.to_string(), format!("vdi: header at byte 0 is {len} bytes, expected at least 456"));
    }
    let error = Image::v0().with(|image| image.bytes.truncate(419)).refused();
    assert_error(&error, ErrorKind::Truncated, Some(0), None);
    assert!(error.to_string().ends_with("at least 420"), "{error}");
}

#[test]
fn version_0_has_its_unaligned_map_after_the_header() {
    for version in [2, 1, 0] {
        let image = Image::v0().with(|image| image.u32(68, version));
        let disk = image.open().unwrap();
        source(&disk, &first_block_only());
        assert_eq!(disk.extent_at(0..SIZE).unwrap().location.bytes.unwrap().len() as u64, BLOCK);
        assert_eq!((image.map, image.data), (420, 1444));
        assert_eq!(image.inspected().version, Some(0));
    }
}

#[test]
fn other_major_versions_are_unsupported() {
    for major in [2, 3, 0x7FFF, 0xFFFF] {
        let error = Image::new().with(|image| image.u32(68, major << 16 | 1)).refused();
        assert_error(&error, ErrorKind::Unsupported, Some(68), None);
    }
}

#[test]
fn invalid_block_sizes_are_corrupt() {
    for size in [0, 1, 3, 256, 4095, 0x8000_0000, 0x8000_0001, u32::MAX] {
        let error = Image::new().with(|image| image.u32(BLOCK_SIZE, size)).refused();
        assert_error(&error, ErrorKind::Corrupt, Some(BLOCK_SIZE), None);
    }
    let error = Image::v0().with(|image| image.u32(360, 3)).refused();
    assert_error(&error, ErrorKind::Corrupt, Some(360), None);
}

#[test]
fn fewer_blocks_than_the_disk_needs_are_corrupt() {
    for (count, size) in [(BLOCKS - 1, SIZE), (0, SIZE), (BLOCKS, SIZE + 1), (1, u64::MAX >> 1)] {
        let image = Image::new().with(|image| {
            image.u32(COUNT, count);
            image.u64(DISK, size);
        });
        assert_error(&image.refused(), ErrorKind::Corrupt, Some(COUNT), None);
    }
}

#[test]
fn virtual_size_past_63_bits_is_a_limit() {
    for size in [1 << 63, u64::MAX] {
        let error = Image::new().with(|image| image.u64(DISK, size)).refused();
        assert_error(&error, ErrorKind::Limit, Some(DISK), None);
    }
}

#[test]
fn map_past_the_end_of_the_file_is_truncated() {
    for count in [u32::MAX, 0x1FFF_FF80, 1409] {
        let image = Image::new().with(|image| image.u32(COUNT, count));
        assert_error(&image.refused(), ErrorKind::Truncated, Some(MAP), None);
        assert_eq!(checks(&image.inspected()), ["truncated", "block_size"]);
    }
    let v0 = Image::v0().with(|image| image.u32(364, u32::MAX));
    assert_error(&v0.refused(), ErrorKind::Truncated, Some(420), None);
    let image = Image::new().with(|image| image.bytes.truncate(MAP as usize + 1023));
    assert_eq!(
        image.refused().to_string(),
        "vdi: block map at byte 512: 256 entries end at byte 1536, past the end of the file at byte 1535"
    );
}

#[test]
fn map_that_overlaps_the_header_is_corrupt() {
    for offset in [0, 71, 455] {
        let error = Image::new().with(|image| image.u32(MAP_OFFSET, offset)).refused();
        assert_error(&error, ErrorKind::Corrupt, Some(MAP_OFFSET), None);
    }
}

#[test]
fn blocks_that_overlap_the_map_are_corrupt() {
    for offset in [0, 512, 1535] {
        let image = Image::new().with(|image| image.u32(DATA_OFFSET, offset));
        assert_error(&image.refused(), ErrorKind::Corrupt, Some(DATA_OFFSET), None);
        assert!(checks(&image.inspected()).contains(&"corrupt"));
    }
}

#[test]
fn map_offset_past_the_end_of_the_file_is_truncated() {
    for offset in [u32::MAX, 7000] {
        let error = Image::new().with(|image| image.u32(MAP_OFFSET, offset)).refused();
        assert_error(&error, ErrorKind::Truncated, Some(offset.into()), None);
    }
}

#[test]
fn invalid_extra_bytes_are_corrupt() {
    for extra in [3, 511, 8192, 0x8000_0000, u32::MAX] {
        let error = Image::new().with(|image| image.u32(EXTRA, extra)).refused();
        assert_error(&error, ErrorKind::Corrupt, Some(EXTRA), None);
    }
}

#[test]
fn other_types_are_unsupported() {
    for kind in [0, 5, u32::MAX] {
        let error = Image::new().with(|image| image.u32(TYPE, kind)).refused();
        assert_error(&error, ErrorKind::Unsupported, Some(TYPE), None);
    }
}

#[test]
fn other_sector_sizes_are_unsupported() {
    for size in [0, 1, 4096, u32::MAX] {
        let error = Image::new().with(|image| image.u32(SECTOR, size)).refused();
        assert_error(&error, ErrorKind::Unsupported, Some(SECTOR), None);
    }
    let error = Image::v0().with(|image| image.u32(348, 2048)).refused();
    assert_error(&error, ErrorKind::Unsupported, Some(348), None);
}

#[test]
fn virtual_size_is_that_of_the_header_to_the_byte() {
    for size in [0, 1, 1000, SIZE - 513, SIZE - 1] {
        let image = Image::new().with(|image| image.u64(DISK, size));
        source(&image.open().unwrap(), &first_block_only()[..size as usize]);
        assert_eq!(image.inspected().virtual_size, size);
        assert_eq!(checks(&image.inspected()).contains(&"size_odd"), size % 512 != 0);
    }
}

#[test]
fn header_shorter_than_version_1_is_corrupt() {
    for len in [0, 348, 383] {
        let error = Image::new().with(|image| image.u32(HEADER_BYTES, len)).refused();
        assert_error(&error, ErrorKind::Corrupt, Some(HEADER_BYTES), None);
    }
}

#[test]
fn unknown_flags_are_unsupported_and_a_finding() {
    let image = Image::new().with(|image| image.u32(FLAGS, 2));
    assert_error(&image.refused(), ErrorKind::Unsupported, Some(FLAGS), None);
    assert_eq!(checks(&image.inspected()), ["unknown_features", "block_size"]);
    assert_eq!(
        image.refused().to_string(),
        "vdi: fFlags at byte 80 is 0x2, expected no flags but 0x1 (zero expand), 0x100 (zero expand), 0x10000 (fixed), \
         0x20000 (differencing)"
    );
}

#[test]
fn flags_of_virtualbox_change_no_byte() {
    let plain = read(&Image::new());
    for flags in [0x1, 0x100, 0x101, 0x1_0000, 0x1_0101] {
        let image = Image::new().with(|image| image.u32(FLAGS, flags));
        assert!(read(&image) == plain, "{flags:#x}");
        assert_eq!(checks(&image.inspected()), ["block_size"], "{flags:#x}");
    }
}

#[test]
fn flag_of_a_parent_contradicts_a_type_without_one() {
    let flagged = |image: Image| image.with(|image| image.u32(FLAGS, 0x2_0000));
    assert_error(&flagged(Image::new()).refused(), ErrorKind::Corrupt, Some(FLAGS), None);
    let differencing = Image::new().with(|image| {
        image.u32(TYPE, 4);
        image.put(UUIDS + 32, &[0x33; 16]);
    });
    assert!(flagged(differencing).open().is_ok());
}

fn read(image: &Image) -> Vec<u8> {
    let disk = image.open().unwrap();
    let mut bytes = vec![0xA5; SIZE as usize];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn disk_past_the_limit_is_refused_and_a_finding() {
    let limits = Limits { virtual_size: SIZE - 1, ..Limits::default() };
    let options = OpenOptions { limits: limits.clone(), ..OpenOptions::default() };
    let error = Vdi::open(Image::new().memory(), &options).unwrap_err();
    assert_error(&error, ErrorKind::Limit, Some(DISK), None);
    let info = diskimg_vdi::inspect(Image::new().memory().as_ref(), &limits).unwrap();
    assert_eq!(checks(&info), ["virtual_size", "block_size"]);
}

#[test]
fn internal_snapshot_is_refused() {
    let snapshot = Some(SnapshotSelector::Name("s".into()));
    let options = OpenOptions { snapshot, ..OpenOptions::default() };
    let error = Vdi::open(Image::new().memory(), &options).unwrap_err();
    assert_error(&error, ErrorKind::InvalidInput, None, None);
}

#[test]
fn file_without_the_signature_is_an_unknown_format() {
    let error = Image::new().with(|image| image.put(64, b"KDMV")).refused();
    assert_error(&error, ErrorKind::UnknownFormat, Some(64), None);
}
