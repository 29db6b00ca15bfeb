//! Header extensions and file names.

use diskimg_core::conformance::source;
use diskimg_core::{BlockSource, Chain, ErrorKind, Reference, ReferenceRole, Severity};
use std::sync::Arc;

use crate::image::{CLUSTER, Image, assert_error, checks};

const BACKING_FORMAT: u32 = 0xE279_2ACA;

/// An image with this backing file name at byte 1024.
fn backed(name: &[u8]) -> Image {
    Image::new().with(|image| {
        image.u64(8, 1024);
        image.u32(16, name.len() as u32);
        image.bytes(1024, name);
    })
}

#[test]
fn extension_longer_than_its_cluster_is_corrupt() {
    let error = Image::new()
        .with(|image| {
            image.u32(104, BACKING_FORMAT);
            image.u32(108, CLUSTER as u32);
        })
        .refused();
    assert_error(&error, ErrorKind::Corrupt, Some(108), None);
}

#[test]
fn extension_of_the_largest_length_is_corrupt() {
    let error = Image::new()
        .with(|image| {
            image.u32(104, 0x1234_5678);
            image.u32(108, u32::MAX);
        })
        .refused();
    assert_error(&error, ErrorKind::Corrupt, Some(108), None);
}

#[test]
fn cluster_full_of_empty_extensions_is_parsed() {
    let mut image = Image::new();
    let cluster = 2_u64 << 20;
    image.0 = [&image.0[..104], &[0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0].repeat(262_131)].concat();
    assert_eq!(image.0.len() as u64, cluster);
    image.0.resize(3 * cluster as usize, 0);
    image.u32(20, 21);
    image.u64(40, 2 * cluster);
    image.u64(48, cluster);
    source(&image.open().unwrap(), &vec![0; 1 << 20]);
}

#[test]
fn known_extension_that_occurs_twice_is_corrupt() {
    let error = Image::new()
        .with(|image| {
            let next = image.extension(104, BACKING_FORMAT, b"raw");
            image.extension(next, BACKING_FORMAT, b"qcow2");
        })
        .refused();
    assert_error(&error, ErrorKind::Corrupt, Some(120), None);
}

#[test]
fn backing_name_outside_the_first_cluster_is_corrupt() {
    for offset in [1, 103, CLUSTER + 1, 1 << 32, u64::MAX] {
        let error = Image::new().with(|image| image.u64(8, offset)).refused();
        assert_error(&error, ErrorKind::Corrupt, Some(8), None);
    }
}

#[test]
fn backing_name_that_is_too_long_is_corrupt() {
    for (offset, size) in [(1024, 1024), (1024, u32::MAX), (CLUSTER - 8, 9), (CLUSTER, 1)] {
        let image = Image::new().with(|image| {
            image.u64(8, offset);
            image.u32(16, size);
        });
        assert_error(&image.refused(), ErrorKind::Corrupt, Some(16), None);
    }
    assert_eq!(backed(&[b'x'; 1023]).inspected().references[0].name.len(), 1023);
}

#[test]
fn hostile_backing_name_is_reported_escaped_and_never_opened() {
    let names: [&[u8]; 7] = [
        b"a\0b",
        b"line\nbreak",
        b"\xff\xfe",
        br#"json:{"file":"x"}"#,
        b"nbd://host/disk",
        b"/dev/sda",
        b"../../etc/passwd",
    ];
    for name in names {
        let image = backed(name);
        let opened = image.open().unwrap();
        let info = diskimg_core::Image::info(&opened);
        assert_eq!(*info, image.inspected());
        let reference = &info.references[0];
        assert_eq!((reference.role, reference.offset), (ReferenceRole::Backing, Some(1024)));
        assert_eq!(reference.name, name);
        let finding = &info.findings[0];
        assert_eq!((finding.check, finding.severity), ("backing_file", Severity::Unsafe));
        assert!(finding.message.chars().all(|c| !c.is_control()), "{}", finding.message);
        let denied = reference.denied();
        assert_error(&denied, ErrorKind::Denied, Some(1024), None);
    }
}

#[test]
fn image_that_backs_itself_is_one_layer() {
    let image = backed(b"self.qcow2").open().unwrap();
    let extent = image.extent_at(CLUSTER..2 * CLUSTER).unwrap();
    assert_eq!(extent.kind, diskimg_core::ExtentKind::Unallocated);
}

#[test]
fn backing_file_without_format_is_never_probed() {
    let unnamed = backed(b"base.img").inspected();
    assert_eq!(unnamed.references[0].format, None);
    let named = backed(b"base.img").with(|image| {
        image.extension(104, BACKING_FORMAT, b"raw");
    });
    assert_eq!(named.inspected().references[0].format.as_deref(), Some("raw"));
    assert!(named.inspected().findings[0].message.contains("\"raw\""));
    let too_long = backed(b"base.img").with(|image| {
        image.extension(104, BACKING_FORMAT, b"sixteen letters!");
    });
    assert_error(&too_long.refused(), ErrorKind::Corrupt, Some(108), None);
}

#[test]
fn backing_name_directly_after_a_version_2_header_is_read() {
    let image = Image::v2().with(|image| {
        image.u64(8, 72);
        image.u32(16, 8);
        image.bytes(72, b"base.img");
    });
    let info = image.inspected();
    let mut expected = Reference::new(ReferenceRole::Backing, b"base.img", diskimg_qcow2::FORMAT);
    expected.offset = Some(72);
    assert_eq!(info.references, [expected]);
}

#[test]
fn backing_name_past_the_end_of_the_file_is_truncated() {
    let mut image = backed(b"base.img");
    image.0.truncate(1030);
    assert_error(&image.refused(), ErrorKind::Truncated, Some(1024), None);
}

#[test]
fn unallocated_clusters_show_the_backing_layer() {
    let top: Arc<dyn BlockSource> = Arc::new(backed(b"base").open().unwrap());
    let base = diskimg_core::Memory::new(vec![7; 3 * CLUSTER as usize]);
    let chain = Chain::new(vec![top, Arc::new(base)]).unwrap();
    let mut bytes = diskimg_core::conformance::painted(0, CLUSTER as usize);
    bytes.resize(3 * CLUSTER as usize, 7);
    bytes.resize(1 << 20, 0);
    source(&chain, &bytes);
}

#[test]
fn encryption_header_without_encryption_is_corrupt() {
    let image = Image::new().with(|image| {
        image.extension(104, 0x0537_BE77, &[0; 16]);
    });
    assert_eq!(image.refused().kind(), ErrorKind::Corrupt);
}

#[test]
fn invalid_encryption_header_is_only_reported() {
    for offset in [0, 1 << 40, u64::MAX] {
        let image = Image::new().with(|image| {
            image.u32(32, 2);
            image.extension(104, 0x0537_BE77, &[offset.to_be_bytes(), [0; 8]].concat());
        });
        let info = image.inspected();
        assert_eq!((info.encryption, checks(&info)), (Some("luks"), vec!["encrypted", "encryption"]));
        assert_error(&image.refused(), ErrorKind::Encrypted, Some(32), None);
    }
}
