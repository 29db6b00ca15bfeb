//! Invalid header fields.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{ErrorKind, Limits, Memory, OpenOptions, Severity};
use diskimg_qcow2::{DRIVER, inspect};

use crate::image::{
    CLUSTER, COMPRESSION_TYPE, CORRUPT, DATA, DIRTY, EXTENDED_L2, Image, L1, SIZE, assert_error, checks,
};

fn disk_bytes() -> Vec<u8> {
    let mut bytes = painted(0, CLUSTER as usize);
    bytes.resize(SIZE as usize, 0);
    bytes
}

#[test]
fn valid_image_of_either_version_reads_as_built() {
    for image in [Image::new(), Image::v2(), Image::zstd()] {
        source(&image.open().unwrap(), &disk_bytes());
        assert_eq!(checks(&image.inspected()), Vec::<&str>::new());
    }
}

#[test]
fn file_shorter_than_the_header_is_truncated() {
    for len in [0, 3, 4, 7, 8, 71] {
        let error = Image(Image::v2().0[..len].to_vec()).refused();
        assert_error(&error, ErrorKind::Truncated, Some(0), None);
        assert_eq!(
            error.to_string(),
            format!("qcow2: header at byte 0 is {len} bytes, expected at least 72")
        );
    }
}

#[test]
fn version_3_file_shorter_than_its_header_is_truncated() {
    for len in [72, 103] {
        let error = Image(Image::new().0[..len].to_vec()).refused();
        assert_error(&error, ErrorKind::Truncated, Some(0), None);
        assert!(error.to_string().ends_with("at least 104"), "{error}");
    }
    let error = Image(Image::zstd().0[..104].to_vec()).refused();
    assert_error(&error, ErrorKind::Truncated, Some(0), None);
}

#[test]
fn other_versions_are_unsupported_and_version_1_is_named_qcow() {
    for version in [0, 1, 4, u32::MAX] {
        let image = Image::new().with(|image| image.u32(4, version));
        assert_eq!((DRIVER.probe)(&image.0), diskimg_core::Verdict::Yes);
        let error = image.refused();
        assert_error(&error, ErrorKind::Unsupported, Some(4), None);
        assert_eq!(error.to_string().contains("qcow image"), version == 1, "{error}");
    }
}

#[test]
fn cluster_sizes_out_of_range_are_unsupported() {
    for bits in [0, 8, 22, 64, u32::MAX] {
        let error = Image::new().with(|image| image.u32(20, bits)).refused();
        assert_error(&error, ErrorKind::Unsupported, Some(20), None);
    }
}

#[test]
fn extended_l2_needs_clusters_of_16_kib() {
    let error = Image::new().with(|image| image.u64(72, EXTENDED_L2)).refused();
    assert_error(&error, ErrorKind::Corrupt, Some(20), None);
}

#[test]
fn invalid_header_lengths_are_corrupt() {
    for length in [0, 72, 103, 108, 4104, 0x7FFF_FFFF, u32::MAX] {
        let error = Image::new().with(|image| image.u32(100, length)).refused();
        assert_error(&error, ErrorKind::Corrupt, Some(100), None);
    }
    for length in [112, 120, 4096] {
        assert!(Image::new().with(|image| image.u32(100, length)).open().is_ok(), "{length}");
    }
}

#[test]
fn unknown_incompatible_features_are_unsupported_and_named() {
    let mut row = vec![0, 5];
    row.extend(b"time\ntravel");
    row.resize(48, 0);
    let image = Image::new().with(|image| {
        image.u64(72, 1 << 5 | 1 << 63);
        image.extension(104, 0x6803_F857, &row);
    });
    let error = image.refused();
    assert_error(&error, ErrorKind::Unsupported, Some(72), None);
    assert!(error.to_string().ends_with(r#"bit 5 ("time\ntravel"), bit 63"#), "{error}");
    let info = image.inspected();
    assert_eq!(checks(&info), ["unknown_features"]);
    assert_eq!(info.findings[0].severity, Severity::Unsafe);
}

#[test]
fn compression_type_must_agree_with_its_feature() {
    let bit_without_type = Image::new().with(|image| image.u64(72, COMPRESSION_TYPE)).refused();
    assert_error(&bit_without_type, ErrorKind::Corrupt, Some(104), None);
    let type_without_bit = Image::zstd().with(|image| image.u64(72, 0)).refused();
    assert_error(&type_without_bit, ErrorKind::Corrupt, Some(104), None);
    let type_2 = Image::zstd().with(|image| image.bytes(104, &[2])).refused();
    assert_error(&type_2, ErrorKind::Unsupported, Some(104), None);
}

#[test]
fn encrypted_image_is_rejected_and_can_be_inspected() {
    for (method, name) in [(1, "aes"), (2, "luks")] {
        let image = Image::new().with(|image| image.u32(32, method));
        let error = image.refused();
        assert_error(&error, ErrorKind::Encrypted, Some(32), None);
        assert!(error.to_string().contains(name), "{error}");
        let info = image.inspected();
        let findings: Vec<_> =
            info.findings.iter().map(|found| (found.severity, found.check, found.offset)).collect();
        assert_eq!(info.encryption, Some(name));
        assert_eq!(findings, [(Severity::Warning, "encrypted", Some(32))]);
    }
    let error = Image::new().with(|image| image.u32(32, 3)).refused();
    assert_error(&error, ErrorKind::Unsupported, Some(32), None);
}

#[test]
fn size_of_2_to_the_63_is_over_every_limit() {
    for size in [1 << 63, u64::MAX] {
        let error = Image::new().with(|image| image.u64(24, size)).refused();
        assert_error(&error, ErrorKind::Limit, Some(24), None);
    }
}

#[test]
fn size_over_the_callers_limit_is_rejected_and_can_be_inspected() {
    let limits = Limits { virtual_size: SIZE - 1, ..Limits::default() };
    let options = OpenOptions { limits: limits.clone(), ..OpenOptions::default() };
    let error = Image::new().open_with(&options).err().unwrap();
    assert_error(&error, ErrorKind::Limit, Some(24), None);
    let info = inspect(&Memory::new(Image::new().0), &limits).unwrap();
    assert_eq!((info.virtual_size, checks(&info)), (SIZE, vec!["virtual_size"]));
}

#[test]
fn empty_disk_opens() {
    for entries in [0, 1] {
        let image = Image::new().with(|image| {
            image.u64(24, 0);
            image.u32(36, entries);
        });
        source(&image.open().unwrap(), &[]);
    }
}

#[test]
fn size_is_rounded_down_to_sectors() {
    let image = Image::new().with(|image| image.u64(24, 1000));
    source(&image.open().unwrap(), &painted(0, 512));
    let info = image.inspected();
    assert_eq!((info.virtual_size, checks(&info)), (512, vec!["size_rounded"]));
    source(&Image::new().with(|image| image.u64(24, 511)).open().unwrap(), &[]);
}

#[test]
fn l1_table_too_large_or_too_small_is_rejected() {
    let error = Image::new().with(|image| image.u32(36, u32::MAX)).refused();
    assert_error(&error, ErrorKind::Limit, Some(36), None);
    let error = Image::new().with(|image| image.u32(36, 0)).refused();
    assert_error(&error, ErrorKind::Corrupt, Some(36), None);
    assert!(error.to_string().contains("too small"), "{error}");
    let error = Image::new().with(|image| image.u64(24, (2 << 20) + 512)).refused();
    assert_error(&error, ErrorKind::Corrupt, Some(36), None);
}

#[test]
fn l1_table_larger_than_the_disk_needs_is_valid() {
    let image = Image::new().with(|image| image.u32(36, 100));
    source(&image.open().unwrap(), &disk_bytes());
}

#[test]
fn misplaced_l1_table_is_rejected() {
    let unaligned = Image::new().with(|image| image.u64(40, 0x1234)).refused();
    assert_error(&unaligned, ErrorKind::Corrupt, Some(40), None);
    assert_eq!(
        unaligned.to_string(),
        "qcow2: l1_table_offset at byte 40 is 0x1234, expected a multiple of the cluster size 0x1000"
    );
    let overflowing = Image::new().with(|image| image.u64(40, (1 << 63) - CLUSTER)).refused();
    assert_error(&overflowing, ErrorKind::Truncated, Some((1 << 63) - CLUSTER), None);
    let past_2_63 = Image::new().with(|image| image.u64(40, u64::MAX - CLUSTER + 1)).refused();
    assert_error(&past_2_63, ErrorKind::Corrupt, Some(40), None);
    let in_header = Image::new().with(|image| image.u64(40, 0)).refused();
    assert_error(&in_header, ErrorKind::Corrupt, Some(40), None);
}

#[test]
fn l1_table_past_the_end_is_truncated_and_inspect_warns() {
    let image = Image::new().with(|image| image.u64(40, DATA + CLUSTER));
    assert_error(&image.refused(), ErrorKind::Truncated, Some(DATA + CLUSTER), None);
    assert_eq!(checks(&image.inspected()), ["truncated"]);
    let truncated = Image(Image::new().0[..L1 as usize + 7].to_vec());
    assert_error(&truncated.refused(), ErrorKind::Truncated, Some(L1), None);
}

#[test]
fn refcounts_are_not_needed_to_read() {
    for clusters in [0, u32::MAX] {
        let image = Image::new().with(|image| image.u32(56, clusters));
        source(&image.open().unwrap(), &disk_bytes());
        assert_eq!(checks(&image.inspected()), ["refcount_table"]);
    }
    for order in 0..=6 {
        assert!(Image::new().with(|image| image.u32(96, order)).open().is_ok());
    }
    for order in [7, u32::MAX] {
        let error = Image::new().with(|image| image.u32(96, order)).refused();
        assert_error(&error, ErrorKind::Corrupt, Some(96), None);
    }
    let error = Image::new().with(|image| image.u64(48, 0x1200)).refused();
    assert_error(&error, ErrorKind::Corrupt, Some(48), None);
}

#[test]
fn dirty_and_corrupt_images_are_read_and_reported() {
    let dirty = Image::new().with(|image| image.u64(72, DIRTY));
    source(&dirty.open().unwrap(), &disk_bytes());
    let info = dirty.inspected();
    assert!(info.dirty && !info.corrupt);
    assert_eq!((info.findings[0].check, info.findings[0].severity), ("dirty", Severity::Note));
    let corrupt = Image::new().with(|image| image.u64(72, CORRUPT));
    source(&corrupt.open().unwrap(), &disk_bytes());
    let info = corrupt.inspected();
    assert!(info.corrupt && !info.dirty);
    assert_eq!((info.findings[0].check, info.findings[0].severity), ("corrupt", Severity::Warning));
}

#[test]
fn unknown_compatible_and_autoclear_features_are_ignored() {
    let image = Image::new().with(|image| {
        image.u64(80, !1);
        image.u64(88, !3);
    });
    source(&image.open().unwrap(), &disk_bytes());
}

#[test]
fn version_2_image_has_no_features_after_its_header() {
    let image = Image::v2().with(|image| {
        image.u64(72, 0);
        image.bytes(80, &[0xFF; 24]);
    });
    source(&image.open().unwrap(), &disk_bytes());
    assert!(image.inspected().references.is_empty());
}

#[test]
fn other_format_is_unknown() {
    let error = Image::new().with(|image| image.bytes(0, b"KDMV")).refused();
    assert_error(&error, ErrorKind::UnknownFormat, Some(0), None);
}

#[test]
fn unknown_compatible_and_autoclear_features_are_ignored_and_noted() {
    let image = Image::new().with(|image| {
        image.u64(80, 1 << 5 | 1);
        image.u64(88, 1 << 63);
        let at = image.extension(104, 0x1234_5678, b"of another program");
        image.extension(at, 0x6803_F857, &[&b"\x01\x05warp"[..], &[0; 42]].concat());
    });
    let info = image.inspected();
    assert!(info.findings.iter().all(|finding| finding.severity == Severity::Note));
    let found: Vec<_> =
        info.findings.iter().map(|finding| (finding.offset, finding.message.as_str())).collect();
    let expected = [
        (Some(80), "unknown compatible features are ignored: bit 5 (\"warp\")"),
        (Some(88), "unknown autoclear features are ignored: bit 63"),
        (Some(104), "1 unknown header extensions are ignored, the first of type 0x12345678"),
    ];
    assert_eq!(found, expected);
    assert!(image.open().is_ok());
}

#[test]
fn repeated_extension_is_an_error_only_if_it_decides_what_is_read() {
    let twice = |kind, data: &[u8]| {
        Image::new().with(|image| {
            let at = image.extension(104, kind, data);
            image.extension(at, kind, data);
        })
    };
    for (kind, data) in [(0x6803_F857, &[0; 48][..]), (0x2385_2875, &[0; 24]), (0x4441_5441, b"disk.data")] {
        let image = twice(kind, data);
        assert!(image.open().is_ok(), "{kind:#x}");
        assert!(checks(&image.inspected()).contains(&"ignored_extensions"), "{kind:#x}");
    }
    let used = twice(0x4441_5441, b"disk.data").with(|image| image.u64(72, crate::image::DATA_FILE));
    assert_error(&used.refused(), ErrorKind::Corrupt, Some(128), None);
    assert_eq!(twice(0xE279_2ACA, b"raw").refused().kind(), ErrorKind::Corrupt);
}
