//! The header of a hosted sparse extent.

use diskimg_core::conformance::source;
use diskimg_core::{ErrorKind, Image as _, Limits, Memory, OpenOptions, Severity};
use diskimg_vmdk::Vmdk;
use std::sync::Arc;

use crate::image::{
    Files, GRAIN, Image, SECTOR, SIZE, assert_error, checks, embedded, first_grain, open, refused,
};

fn header(change: impl FnOnce(&mut Image)) -> diskimg_core::Error {
    Image::new().with(change).refused()
}

#[test]
fn sparse_image_reads_its_grain_and_zeros() {
    let image = Image::new().open().unwrap();
    source(&image, &first_grain());
    let info = image.info();
    assert_eq!(*info, Image::new().inspected());
    assert_eq!((info.version, info.allocation_unit), (Some(1), Some(4096)));
    assert_eq!(info.subformat.as_deref(), Some("monolithicSparse"));
    assert!(info.findings.is_empty() && info.references.is_empty() && !info.dirty);
}

#[test]
fn header_of_less_than_79_bytes_is_truncated() {
    for len in [4, 5, 40, 78] {
        let mut image = Image::new();
        image.0.truncate(len);
        assert_error(&image.refused(), ErrorKind::Truncated, Some(0), None);
    }
    let nothing = refused(open(Vec::new(), &Files::default()));
    assert_eq!(nothing.kind(), ErrorKind::Truncated);
}

#[test]
fn unknown_version_is_unsupported() {
    for version in [0, 4, u32::MAX] {
        assert_error(&header(|image| image.u32(4, version)), ErrorKind::Unsupported, Some(4), None);
    }
    for version in [1, 2, 3] {
        source(&Image::new().with(|image| image.u32(4, version)).open().unwrap(), &first_grain());
    }
}

#[test]
fn text_mode_transfer_is_reported() {
    let error = header(|image| image.bytes(73, b"\n \n\n"));
    assert_error(&error, ErrorKind::Corrupt, Some(73), None);
    assert!(error.to_string().contains("text-mode"), "{error}");
    // Without the flag the bytes are not checked.
    let image = Image::new().with(|image| {
        image.u32(8, 2);
        image.bytes(73, &[0; 4]);
    });
    source(&image.open().unwrap(), &first_grain());
}

#[test]
fn unfinished_file_is_reported() {
    let error = header(|image| image.bytes(0, b"kdmv"));
    assert_error(&error, ErrorKind::Unsupported, Some(0), None);
    assert!(error.to_string().contains("unfinished"), "{error}");
}

#[test]
fn unknown_incompatible_flag_is_unsupported() {
    for bit in [18, 24, 31] {
        assert_error(&header(|image| image.u32(8, 3 | 1 << bit)), ErrorKind::Unsupported, Some(8), None);
    }
    source(&Image::new().with(|image| image.u32(8, 0xFFFF)).open().unwrap(), &first_grain());
}

#[test]
fn invalid_grain_size_is_rejected() {
    for (sectors, kind) in [
        (0, ErrorKind::Corrupt),
        (3, ErrorKind::Corrupt),
        (4096, ErrorKind::Limit),
        (1 << 21, ErrorKind::Limit),
        (u64::MAX, ErrorKind::Limit),
    ] {
        assert_error(&header(|image| image.u64(20, sectors)), kind, Some(20), None);
    }
}

#[test]
fn invalid_grain_table_length_is_rejected() {
    for (entries, kind) in [(0, ErrorKind::Corrupt), (513, ErrorKind::Limit), (u32::MAX, ErrorKind::Limit)] {
        assert_error(&header(|image| image.u32(44, entries)), kind, Some(44), None);
    }
}

#[test]
fn capacity_that_overflows_is_a_limit() {
    for sectors in [1 << 54, 1 << 63, u64::MAX] {
        assert_error(&header(|image| image.u64(12, sectors)), ErrorKind::Limit, Some(12), None);
    }
    let large = Image::new().with(|image| {
        image.u64(12, 1 << 38);
        image.u64(20, 128);
    });
    assert_error(&large.refused(), ErrorKind::Limit, Some(12), None);
    assert_eq!(large.inspected().virtual_size, SECTOR << 38, "the size in the header");
}

#[test]
fn directory_of_too_many_entries_is_a_limit() {
    let error = header(|image| {
        image.u64(12, 1 << 37);
        image.u64(20, 1);
        image.u32(44, 1);
    });
    assert_error(&error, ErrorKind::Limit, Some(12), None);
}

#[test]
fn compression_needs_flag_markers_and_algorithm() {
    assert_error(&header(|image| image.bytes(77, &[1])), ErrorKind::Corrupt, Some(77), None);
    assert_error(&header(|image| image.u32(8, 0x30003)), ErrorKind::Corrupt, Some(77), None);
    let other = header(|image| {
        image.u32(8, 0x30003);
        image.bytes(77, &[2]);
    });
    assert_error(&other, ErrorKind::Unsupported, Some(77), None);
    let unmarked = header(|image| {
        image.u32(8, 0x10003);
        image.bytes(77, &[1]);
    });
    assert_error(&unmarked, ErrorKind::Unsupported, Some(8), None);
}

#[test]
fn descriptor_outside_the_file_or_of_no_size_is_rejected() {
    for (offset, size, kind, at) in [
        (1, 0, ErrorKind::Corrupt, 36),
        (1 << 30, 1, ErrorKind::Truncated, 1 << 39),
        (24, 8, ErrorKind::Truncated, 24 * SECTOR),
        (1, 2049, ErrorKind::Limit, SECTOR),
        (1, 1 << 55, ErrorKind::Limit, SECTOR),
        (u64::MAX, u64::MAX, ErrorKind::Limit, u64::MAX),
    ] {
        let image = Image::new().with(|image| {
            image.u64(28, offset);
            image.u64(36, size);
        });
        assert_error(&image.refused(), kind, Some(at), None);
        if size != 0 {
            assert_eq!(checks(&image.inspected()), ["descriptor"], "the header is still described");
        }
    }
}

#[test]
fn header_with_a_descriptor_but_no_disk_is_denied() {
    let lines = "RW 8 FLAT \"/etc/passwd\" 0";
    let image = Image::new().with(|image| {
        image.u64(12, 0);
        image.text(&crate::image::text("monolithicFlat", lines));
    });
    let files = Files::new(&[("/etc/passwd", vec![7; 4096])]);
    let error = refused(open(image.0.clone(), &files));
    assert_eq!((error.kind(), error.format_name()), (ErrorKind::Denied, Some(diskimg_vmdk::FORMAT)));
    assert!(files.asked.lock().unwrap().is_empty(), "no file was requested");
    let info = image.inspected();
    assert_eq!(info.references[0].name, b"/etc/passwd");
    assert_eq!(checks(&info), ["extents", "descriptor"]);
}

#[test]
fn virtual_size_past_the_callers_limit_is_rejected_and_a_finding() {
    let limits = Limits { virtual_size: SIZE - 1, ..Limits::default() };
    let bytes = Memory::new(Image::new().0);
    let options = OpenOptions { limits: limits.clone(), ..OpenOptions::default() };
    let error = Vmdk::open(Arc::new(bytes.clone()), &options).unwrap_err();
    assert_error(&error, ErrorKind::Limit, Some(12), None);
    let info = diskimg_vmdk::inspect(&bytes, &limits).unwrap();
    assert_eq!(checks(&info), ["virtual_size"]);
}

#[test]
fn image_that_was_not_closed_is_read_and_reported() {
    let image = Image::new().with(|image| image.bytes(72, &[1])).open().unwrap();
    source(&image, &first_grain());
    assert!(image.info().dirty);
    assert_eq!(checks(image.info()), ["dirty"]);
}

#[test]
fn extent_without_its_descriptor_is_read_and_reported() {
    let image = Image::extent().open().unwrap();
    source(&image, &first_grain());
    assert_eq!((image.info().is_part, checks(image.info())), (true, vec!["part"]));
    assert!(Image::extent().inspected().is_part);
    assert!(!Image::new().inspected().is_part);
}

#[test]
fn file_whose_descriptor_describes_a_split_disk_is_a_part() {
    let split = Image::new().with(|image| image.text(&embedded("2gbMaxExtentSparse", SIZE / SECTOR)));
    let line = format!("RW {} SPARSE \"a.vmdk\"\n", SIZE / SECTOR);
    let second =
        Image::new().with(|image| image.text(&(embedded("monolithicSparse", SIZE / SECTOR) + &line)));
    for image in [split, second] {
        let opened = image.open().unwrap();
        source(&opened, &first_grain());
        assert_eq!((opened.info().is_part, checks(opened.info())), (true, vec!["part"]));
        assert_eq!(opened.info().findings, image.inspected().findings);
        assert_eq!(opened.info().virtual_size, image.inspected().virtual_size);
    }
}

#[test]
fn file_with_blank_room_for_a_descriptor_is_a_part() {
    // QEMU writes such extents.
    let image = Image::new().with(|image| image.text(""));
    assert_eq!((image.inspected().is_part, checks(&image.inspected())), (true, vec!["part"]));
    source(&image.open().unwrap(), &first_grain());
}

#[test]
fn embedded_line_gives_the_size_only_if_it_is_smaller_by_less_than_a_grain() {
    let (capacity, grain) = (SIZE / SECTOR, GRAIN / SECTOR);
    for (line, size, check) in [
        (0, capacity, vec![Severity::Warning]),
        (capacity / 2, capacity, vec![Severity::Warning]),
        (capacity - grain, capacity, vec![Severity::Warning]),
        (capacity - 1, capacity - 1, vec![Severity::Note]),
        (capacity, capacity, vec![]),
        (capacity + 1, capacity, vec![Severity::Warning]),
    ] {
        let image = Image::new().with(|image| image.text(&embedded("monolithicSparse", line)));
        let opened = image.open().unwrap();
        source(&opened, &first_grain()[..(size * SECTOR) as usize]);
        let severities: Vec<_> = opened.info().findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, check, "{line}");
        assert_eq!(*opened.info(), image.inspected(), "inspecting and opening report the same");
        assert_eq!(image.inspected().virtual_size, size * SECTOR);
    }
}
