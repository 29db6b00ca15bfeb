//! The text descriptor: dialects, invalid lines, and parents.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{
    BlockSource, Detail, ErrorKind, Identity, Image as _, Limits, Memory, ReferenceRole, Severity,
};
use diskimg_vmdk::inspect;

use crate::image::{
    Files, Image, SECTOR, SIZE, assert_error, checks, embedded, first_grain, open, refused, text,
};

fn flat() -> Files {
    Files::new(&[("a.vmdk", painted(0, 4096))])
}

const LINE: &str = "RW 8 FLAT \"a.vmdk\" 0";

#[track_caller]
fn error(create_type: &str, lines: &str) -> diskimg_core::Error {
    refused(open(text(create_type, lines), &flat()))
}

#[test]
fn descriptor_of_every_dialect_is_read() {
    let plain = text("monolithicFlat", LINE);
    let dialects = [
        plain.clone(),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', " \n"),
        plain.replace("createType=", "CREATETYPE = "),
        plain.replace("version=1", "version = 1 "),
        plain.replace("\"monolithicFlat\"", "monolithicflat"),
        plain.replace("# Disk DescriptorFile", "\u{feff}\n# DISK DESCRIPTORFILE"),
        plain.replace("# Disk DescriptorFile", "# made by x\n\n  # for y"),
        plain.replace("# Disk DescriptorFile\n", ""),
        plain.replace("monolithicFlat", "2GbMaxExtentFlat"),
        plain.replace("monolithicFlat", "custom"),
        plain.replace("RW 8 FLAT", "rw 8 flat"),
        plain.replace("RW 8 FLAT", "RDONLY 8 FLAT"),
        plain.replace("FLAT \"a.vmdk\" 0", "VMFS \"a.vmdk\" 0").replace("monolithicFlat", "vmfs"),
        plain.replace("FLAT \"a.vmdk\" 0", "VMFS \"a.vmdk\"").replace("monolithicFlat", "vmfsThin"),
        plain.replace("\nCID=", "\nencoding=\"GBK\"\nCID="),
        plain.clone() + "\0\0\0",
        plain.trim_end().to_owned(),
    ];
    for dialect in dialects {
        let image = open(dialect.as_bytes(), &flat()).unwrap_or_else(|error| panic!("{dialect}: {error}"));
        source(&image, &painted(0, 4096));
    }
}

#[test]
fn utf_16_is_unsupported_and_names_are_passed_as_bytes() {
    let utf_16: Vec<u8> = "# Disk".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let unknown = refused(open([b"\xff\xfe", &utf_16[..]].concat(), &flat()));
    assert_eq!(unknown.kind(), ErrorKind::UnknownFormat);
    let embedded = Image::new().with(|image| image.bytes(512, b"\xff\xfe#\0 \0"));
    assert_eq!(embedded.refused().kind(), ErrorKind::Unsupported);

    let mut bytes = text("monolithicFlat", "").into_bytes();
    bytes.extend(b"encoding=\"GBK\"\nRW 8 FLAT \"\xb4\xc5\xc5\xcc.vmdk\" 0\n");
    let files = Files::default();
    assert_eq!(refused(open(bytes.clone(), &files)).kind(), ErrorKind::Denied);
    assert_eq!(files.asked.lock().unwrap()[0].name, b"\xb4\xc5\xc5\xcc.vmdk");
    let info = inspect(&Memory::new(bytes), &Limits::default()).unwrap();
    assert_eq!(checks(&info), ["extents", "encoding"]);
    assert!(info.findings[1].message.contains("GBK"));
}

#[test]
fn windows_1252_name_is_requested_in_utf_8_and_then_as_bytes() {
    for key in ["encoding=\"windows-1252\"", "ddb.encoding = \"Windows-1252\""] {
        let mut bytes = text("monolithicFlat", key).into_bytes();
        bytes.extend(b"RW 8 FLAT \"\xe4\x80.vmdk\" 0\n");
        let utf_8 = Files::new(&[("ä€.vmdk", painted(0, 4096))]);
        source(&open(bytes.clone(), &utf_8).unwrap(), &painted(0, 4096));
        let mut raw = Files::default();
        raw.files.insert(b"\xe4\x80.vmdk".to_vec(), Memory::new(painted(0, 4096)));
        source(&open(bytes.clone(), &raw).unwrap(), &painted(0, 4096));
        let error = refused(open(bytes.clone(), &Files::default()));
        assert!(error.to_string().contains("ä€.vmdk"), "{error}");
        let info = inspect(&Memory::new(bytes), &Limits::default()).unwrap();
        assert_eq!(info.references[0].name, b"\xe4\x80.vmdk", "the bytes of the descriptor");
        assert!(info.findings[1].message.contains("UTF-8, and then"), "{}", info.findings[1].message);
    }
}

#[test]
fn disk_that_begins_with_a_descriptor_is_not_an_image() {
    let mut bytes = text("monolithicFlat", LINE).into_bytes();
    bytes.resize(512, 0);
    source(&open(bytes.clone(), &flat()).unwrap(), &painted(0, 4096));
    // The rest of a longer descriptor that QEMU leaves when it writes a shorter CID.
    let end = bytes.iter().position(|byte| *byte == 0).unwrap();
    bytes[end + 1..][..7].copy_from_slice(b"de = 5\n");
    source(&open(bytes.clone(), &flat()).unwrap(), &painted(0, 4096));
    bytes.extend([0x55, 0xAA]);
    assert_error(&refused(open(bytes, &flat())), ErrorKind::Corrupt, Some(512), None);
}

#[test]
fn twenty_thousand_extents_exceed_a_limit_immediately() {
    let many = text("twoGbMaxExtentFlat", &format!("{LINE}\n").repeat(20_000));
    let start = std::time::Instant::now();
    let error = refused(open(many, &flat()));
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(start.elapsed().as_millis() < 500, "in a debug build; a release build needs 10 ms");
}

#[test]
fn megabyte_without_a_line_end_is_corrupt_and_more_is_a_limit() {
    let line = |len: usize| format!("createType {}", "x".repeat(len));
    let long = |len: usize| refused(open(text("vmfs", &line(len)), &flat()));
    assert_error(&long(1_048_000), ErrorKind::Corrupt, Some(82), None);
    assert!(long(1_048_000).to_string().len() < 1000, "the line is truncated");
    assert_error(&long(1 << 20), ErrorKind::Limit, Some(0), None);
}

#[test]
fn invalid_number_of_sectors_is_corrupt() {
    for sectors in ["-8", "x", "18014398509481984", "9223372036854775808", "99999999999999999999"] {
        let error = error("monolithicFlat", &format!("RW {sectors} FLAT \"a.vmdk\" 0"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    let two = error("twoGbMaxExtentFlat", &format!("{LINE}\nRW 0 FLAT \"a.vmdk\" 0"));
    assert_eq!(two.kind(), ErrorKind::Corrupt);
    let sum = "RW 18014398509481983 ZERO\n".repeat(2);
    assert_eq!(error("custom", &sum).kind(), ErrorKind::Limit);
    assert_eq!(
        error("custom", "RW 18014398509481983 ZERO").kind(),
        ErrorKind::Limit,
        "the limit of the caller"
    );
}

#[test]
fn unterminated_quote_is_corrupt() {
    for lines in ["RW 8 FLAT \"a.vmdk", "parentFileNameHint=\"a", "encoding=\""] {
        assert_eq!(error("monolithicFlat", lines).kind(), ErrorKind::Corrupt, "{lines}");
    }
}

#[test]
fn unknown_type_is_unsupported() {
    let unknown = error("tape", LINE);
    assert_error(&unknown, ErrorKind::Unsupported, Some(64), None);
    assert_eq!(error("monolithicFlat", "RW 8 TAPE \"a.vmdk\"").kind(), ErrorKind::Unsupported);
    let info = inspect(&Memory::new(text("tape", LINE).into_bytes()), &Limits::default()).unwrap();
    assert_eq!((info.subformat.as_deref(), checks(&info)), (Some("tape"), vec!["extents", "descriptor"]));
}

#[test]
fn extent_that_does_not_fit_the_create_type_is_corrupt() {
    for (create_type, line) in [
        ("monolithicFlat", "RW 8 SPARSE \"a.vmdk\""),
        ("twoGbMaxExtentSparse", LINE),
        ("vmfsSparse", "RW 8 SESPARSE \"a.vmdk\""),
        ("seSparse", "RW 8 VMFSSPARSE \"a.vmdk\""),
        ("monolithicFlat", ""),
    ] {
        let error = error(create_type, line);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    let without = text("x", LINE).replace("createType=\"x\"\n", "");
    assert_eq!(refused(open(without, &flat())).kind(), ErrorKind::Corrupt);
    for line in ["", LINE, "RW 2048 SPARSE \"a\"\nRW 8 ZERO", "RW 2048 VMFSSPARSE \"a\""] {
        let image = Image::new().with(|image| image.text(&text("monolithicSparse", line)));
        assert_eq!(image.refused().kind(), ErrorKind::Corrupt, "{line}");
    }
}

fn based_on(lines: &str) -> Image {
    Image::new().with(|image| {
        let own = embedded("monolithicSparse", 2048);
        image.text(&own.replace("parentCID=ffffffff\n", lines));
    })
}

const PARENT_UUID: &str = "ddb.uuid.parent=\"00112233-4455-6677-8899-aabbccddeeff\"\n";
const UUID: [u8; 16] = [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255];

#[test]
fn parent_is_a_reference_and_holes_stay_unallocated() {
    let image = based_on("parentCID=89abcdef\nparentFileNameHint=\"base = 1.vmdk\"\n");
    let opened = image.open().unwrap();
    source(&opened, &first_grain());
    let info = opened.info();
    assert_eq!(*info, image.inspected());
    let parent = &info.references[0];
    assert_eq!((parent.role, &parent.name[..]), (ReferenceRole::Parent, &b"base = 1.vmdk"[..]));
    assert_eq!(parent.format.as_deref(), Some("vmdk"));
    assert_eq!(parent.identity, Identity { content_id: Some(0x89ab_cdef), ..Identity::default() });
    assert_eq!(info.identity.content_id, Some(0x1234_5678));
    assert_eq!((info.findings[0].check, info.findings[0].severity), ("parent", Severity::Unsafe));
    let hole = opened.extent_at(8192..12_288).unwrap();
    assert_eq!(hole.kind, diskimg_core::ExtentKind::Unallocated);
}

#[test]
fn parent_named_by_uuid_only_is_a_reference() {
    let image = based_on(&format!(
        "parentCID=ffffffff\nddb.uuid.image=\"ffeeddcc-bbaa-9988-7766-554433221100\"\n{PARENT_UUID}\
         ddb.uuid.parentmodification=\"00000000-0000-0000-0000-000000000001\"\n"
    ));
    let info = image.inspected();
    let mut changed = [0; 16];
    changed[15] = 1;
    assert_eq!(
        info.references[0].identity,
        Identity { content_id: None, uuid: Some(UUID), modification_uuid: Some(changed) }
    );
    assert!(info.references[0].name.is_empty());
    assert_eq!(info.identity.uuid.unwrap()[0], 0xFF);
    assert_eq!(checks(&info), ["parent"]);
}

#[test]
fn zero_parent_uuid_is_not_a_parent() {
    for lines in [
        "",
        "parentCID=ffffffff\n",
        "parentCID=FFFFFFFF\nddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\n",
        "parentCID=ffffffff\nparentFileNameHint=\"left-over.vmdk\"\n",
    ] {
        assert!(based_on(lines).inspected().references.is_empty(), "{lines}");
    }
}

#[test]
fn change_track_file_is_neither_opened_nor_reported() {
    let image = based_on("parentCID=ffffffff\nchangeTrackPath=\"/etc/passwd\"\n");
    assert!(image.inspected().references.is_empty());
    source(&image.open().unwrap(), &first_grain());
}

#[test]
fn names_are_escaped_in_findings_and_errors() {
    let lines = "RW 8 FLAT \"a\x1b[31m\t\\..\\b\" 0";
    let info = inspect(&Memory::new(text("monolithicFlat", lines).into_bytes()), &Limits::default()).unwrap();
    assert_eq!(info.findings[0].severity, Severity::Unsafe);
    let messages = [info.findings[0].message.clone(), error("monolithicFlat", lines).to_string()];
    assert!(messages.iter().all(|message| message.chars().all(|c| !c.is_control())), "{messages:?}");
}

#[test]
fn details_have_the_names_of_qemu_img() {
    let info = Image::new().inspected();
    let names: Vec<_> = info.details.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["cid", "parent-cid", "create-type", "extents"]);
    assert_eq!(info.details[1].1, Detail::Number(u32::MAX.into()));
}

#[test]
fn encrypted_image_is_described_and_rejected_as_encrypted() {
    for entry in ["encryption.keySafe = \"vmware:key/list/(x)\"", "ddb.iofilters = \"vmwarevmcrypt\""] {
        let descriptor = text("monolithicFlat", &format!("{LINE}\n{entry}"));
        let info = inspect(&Memory::new(descriptor.clone().into_bytes()), &Limits::default()).unwrap();
        assert_eq!((info.encryption, info.virtual_size), (Some("vmware"), 4096));
        assert!(info.findings.iter().any(|found| found.check == "encrypted"), "{:?}", info.findings);
        assert_eq!(refused(open(descriptor, &flat())).kind(), ErrorKind::Encrypted);

        let sparse = Image::new().with(|image| {
            image.text(&format!("{}{entry}\n", embedded("monolithicSparse", SIZE / SECTOR)));
        });
        assert_eq!(sparse.refused().kind(), ErrorKind::Encrypted);
        let info = inspect(&Memory::new(sparse.0), &Limits::default()).unwrap();
        assert_eq!(info.encryption, Some("vmware"));
    }
}
