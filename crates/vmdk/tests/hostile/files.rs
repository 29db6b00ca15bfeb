//! Images of several files: their references, and the checks of the files.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{
    BlockSource, ErrorKind, ExtentKind, Extents, Image as _, Limits, Memory, ReferenceRole, Severity,
};
use diskimg_vmdk::inspect;

use crate::image::{Files, GT, Image, SECTOR, SIZE, checks, first_grain, open, refused, text};

#[test]
fn extent_is_denied_without_a_resolver() {
    let bytes = text("monolithicFlat", "RW 8 FLAT \"a.vmdk\" 0");
    let error = refused(diskimg_vmdk::Vmdk::open(
        std::sync::Arc::new(Memory::new(bytes.into_bytes())),
        &diskimg_core::OpenOptions::default(),
    ));
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[test]
fn image_that_names_itself_is_corrupt_where_qemu_overflows_its_stack() {
    let own = text("twoGbMaxExtentSparse", "RW 2048 SPARSE \"self.vmdk\"");
    let files = Files::new(&[("self.vmdk", own.clone().into_bytes())]);
    let error = refused(open(own, &files));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(files.asked.lock().unwrap().len(), 1);

    let inside = Image::new().with(|image| {
        image.u64(12, 0);
        image.text(&text("twoGbMaxExtentSparse", "RW 8 SPARSE \"self.vmdk\""));
    });
    let files = Files::new(&[("self.vmdk", inside.0.clone())]);
    assert_eq!(refused(open(inside.0.clone(), &files)).kind(), ErrorKind::Denied);
    let outer = text("twoGbMaxExtentSparse", "RW 8 SPARSE \"self.vmdk\"");
    assert_eq!(refused(open(outer, &files)).kind(), ErrorKind::Corrupt);
}

#[test]
fn name_outside_the_directory_is_unsafe_and_passed_to_the_resolver_unchanged() {
    for name in [
        "/etc/passwd",
        "../secret",
        "a/../../b",
        r"..\secret",
        r"C:\disk.vmdk",
        "http://host/disk",
        "/proc/self/fd/3",
    ] {
        let bytes = text("monolithicFlat", &format!("RW 8 FLAT \"{name}\" 0")).into_bytes();
        let info = inspect(&Memory::new(bytes.clone()), &Limits::default()).unwrap();
        assert_eq!((checks(&info), info.findings[0].severity), (vec!["extents"], Severity::Unsafe), "{name}");
        let files = Files::default();
        assert_eq!(refused(open(bytes.clone(), &files)).kind(), ErrorKind::Denied);
        let asked = files.asked.lock().unwrap();
        assert_eq!((asked[0].role, &asked[0].name[..]), (ReferenceRole::Extent, name.as_bytes()));
        let line = bytes.windows(4).position(|window| window == b"RW 8").unwrap() as u64;
        assert_eq!((asked[0].offset, asked[0].found_in), (Some(line), diskimg_vmdk::FORMAT));
        assert_eq!(info.references[0], asked[0]);
    }
}

#[test]
fn device_is_reported_and_never_requested() {
    for (create_type, line) in [
        ("fullDevice", r#"RW 8 FLAT "\\.\PhysicalDrive0" 0"#),
        ("partitionedDevice", "RW 8 FLAT \"disk-pt.vmdk\" 0\nRW 8 FLAT \"/dev/sda\" 63"),
        ("custom", "RW 8 FLAT \"/dev/sda\" 0"),
        ("monolithicFlat", r#"RW 8 FLAT "\\?\GLOBALROOT\Device" 0"#),
        ("vmfsRDM", "RW 8 VMFSRDM \"disk-rdm.vmdk\""),
        ("vmfsRDMP", "RW 8 VMFSRDM \"disk-rdmp.vmdk\""),
        ("vmfsRaw", "RW 8 VMFSRAW \"/vmfs/devices/disks/naa.1\""),
        ("custom", "RW 8 VMFSRAW \"a\""),
    ] {
        let bytes = text(create_type, line);
        let files = Files::default();
        let error = refused(open(bytes.clone(), &files));
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("device"), "{error}");
        assert!(files.asked.lock().unwrap().is_empty());
        let info = inspect(&Memory::new(bytes.into_bytes()), &Limits::default()).unwrap();
        assert!(checks(&info).contains(&"device"), "{info:?}");
        assert!(!info.references.is_empty());
    }
}

#[test]
fn extent_access_is_honoured_where_qemu_skips_the_extent() {
    let lines = "RW 8 FLAT \"a\" 8\nRDONLY 8 FLAT \"a\"\nNOACCESS 8 FLAT \"secret\" 0\nRW 16 ZERO\n\
                 NOACCESS 4 ZERO\nRW 2048 SPARSE \"s\"";
    let bytes = text("custom", lines);
    let files = Files::new(&[("a", painted(0, 8192)), ("s", Image::extent().0)]);
    let image = open(bytes.clone(), &files).unwrap();
    let expected = [&painted(4096, 4096)[..], &painted(0, 4096), &[0; 28 * 512], &first_grain()].concat();
    source(&image, &expected);
    assert_eq!(files.asked.lock().unwrap().len(), 3, "a NOACCESS extent is not opened");
    let kinds: Vec<_> = Extents::new(&image, 0..image.size()).map(|extent| extent.unwrap().kind).collect();
    use ExtentKind::{Data, Unallocated, Zero};
    assert_eq!(kinds, [Data, Data, Zero, Data, Unallocated]);
    let finding = image.info().findings.iter().find(|finding| finding.check == "no_access").unwrap();
    assert_eq!(finding.severity, Severity::Warning, "data may be read as zeros");
    assert_eq!(
        image.info().virtual_size,
        inspect(&Memory::new(bytes.into_bytes()), &Limits::default()).unwrap().virtual_size
    );
}

#[test]
fn flat_file_shorter_than_its_line_is_truncated_where_qemu_reads_zeros() {
    for (line, fits) in [
        ("RW 8 FLAT \"a\" 8", true),
        ("RW 9 FLAT \"a\" 8", false),
        ("RW 8 FLAT \"a\" 9", false),
        ("RW 8 FLAT \"a\" 18014398509481983", false),
    ] {
        let opened = open(text("monolithicFlat", line), &Files::new(&[("a", vec![1; 8192])]));
        match opened {
            Ok(_) => assert!(fits, "{line}"),
            Err(error) => {
                assert!(!fits, "{line}: {error}");
                assert_eq!(error.kind(), ErrorKind::Truncated);
                assert!(error.to_string().contains("extent of \"a\""), "{error}");
            }
        }
    }
}

#[test]
fn flat_bytes_are_located_in_their_file() {
    let files = Files::new(&[("a", painted(0, 8192)), ("b", painted(5, 4096))]);
    let image = open(text("twoGbMaxExtentFlat", "RW 8 FLAT \"a\" 4\nRW 8 FLAT \"b\" 0"), &files).unwrap();
    assert_eq!(image.locate(100..200).bytes, Some(&painted(2148, 100)[..]));
    assert_eq!(image.locate(4096..8192).bytes, Some(&painted(5, 4096)[..]));
    assert!(image.locate(4000..5000).bytes.is_none(), "two files");
    assert!(image.locate(0..9000).bytes.is_none());
    let sparse = Image::new().open().unwrap();
    assert!(sparse.locate(0..512).bytes.is_none(), "only the tables have the location");
    assert_eq!(sparse.extent_at(0..512).unwrap().location.bytes, Some(&painted(0, 512)[..]));
}

#[test]
fn split_sparse_extents_are_one_disk_and_errors_name_the_file() {
    let second = Image::extent().with(|image| image.u32(GT * SECTOR + 8, 1 << 20));
    let files = Files::new(&[("a-s001.vmdk", Image::extent().0), ("a-s002.vmdk", second.0)]);
    let lines = "RW 2048 SPARSE \"a-s001.vmdk\"\nRW 2048 SPARSE \"a-s002.vmdk\"";
    let image = open(text("twoGbMaxExtentSparse", lines), &files).unwrap();
    assert_eq!((image.size(), image.info().allocation_unit), (2 * SIZE, Some(4096)));
    let mut bytes = vec![0; 4096];
    image.read_at(SIZE, &mut bytes).unwrap();
    assert_eq!(bytes, painted(0, 4096));
    let error = image.read_at(SIZE + 8192, &mut bytes).unwrap_err();
    assert_eq!((error.kind(), error.guest_offset()), (ErrorKind::Truncated, Some(SIZE + 8192)));
    assert!(error.to_string().contains("\"a-s002.vmdk\""), "{error}");
}

#[test]
fn capacity_smaller_than_the_line_is_corrupt_unless_the_extent_is_last() {
    let files = Files::new(&[("a", Image::extent().0), ("b", Image::extent().0)]);
    let lines = |first, second| {
        text("twoGbMaxExtentSparse", &format!("RW {first} SPARSE \"a\"\nRW {second} SPARSE \"b\""))
    };
    assert_eq!(refused(open(lines(2056, 2048), &files)).kind(), ErrorKind::Corrupt);
    for (first, second, size) in [(2048, 2056, 4096), (2040, 2048, 4088), (8, 8, 16)] {
        let image = open(lines(first, second), &files).unwrap();
        assert_eq!(image.size(), size * 512);
        assert!(checks(image.info()).contains(&"size_mismatch"));
    }
}
