use super::*;
use diskimg_core::Severity;

const PLAIN: &str = "# Disk DescriptorFile\nversion=1\nencoding=\"windows-1252\"\nCID=1a2B3c4d\n\
    parentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n# Extent description\n\
    RW 20480 FLAT \"my disk = 1-flat.vmdk\" 0\n\n#DDB\n\nddb.adapterType = \"ide\"\n\
    ddb.uuid.image=\"x\"\n";

fn parse(text: &[u8]) -> Descriptor {
    Descriptor::parse(text, 512).unwrap()
}

#[test]
fn plain_descriptor_is_parsed() {
    let descriptor = parse(PLAIN.as_bytes());
    assert_eq!((descriptor.version, descriptor.cid), (1, Some(0x1a2b_3c4d)));
    assert_eq!(descriptor.parent_cid, Some(NO_PARENT));
    assert_eq!(descriptor.encoding.as_deref(), Some(&b"windows-1252"[..]));
    assert_eq!(descriptor.create_type.clone().unwrap().bytes, b"monolithicFlat");
    assert_eq!(descriptor.extents[0].name.as_deref(), Some(&b"my disk = 1-flat.vmdk"[..]));
    assert_eq!(descriptor.extents[0].at, 512 + PLAIN.find("RW").unwrap() as u64);
    let names: Vec<_> = descriptor.ddb.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [&b"ddb.adaptertype"[..], b"ddb.uuid.image"]);
    assert_eq!(descriptor.ddb("ddb.adaptertype").unwrap().bytes, b"ide");
}

#[test]
fn dialects_parse_to_the_same_descriptor() {
    let plain = parse(PLAIN.as_bytes());
    let meaning = |text: &[u8]| {
        let mut read = parse(text);
        let places = read.extents.iter_mut().map(|line| &mut line.at);
        places.chain(read.create_type.iter_mut().map(|value| &mut value.at)).for_each(|at| *at = 0);
        read.ddb.iter_mut().for_each(|(_, value)| value.at = 0);
        read
    };
    let same = meaning(PLAIN.as_bytes());
    assert_eq!((same.cid, &same.extents[0].name), (plain.cid, &plain.extents[0].name));
    let crlf = PLAIN.replace('\n', "\r\n");
    let trailing = PLAIN.replace('\n', " \t\n");
    let leading = PLAIN.replace('\n', "\n  ");
    let spaced = PLAIN.replace("=1\n", " = 1\n").replace("Type=\"", "type  =\t\"");
    let upper = PLAIN.replace("createType", "CREATETYPE").replace("CID", "cid").replace("ddb.", "DDB.");
    let bare = PLAIN.replace("\"ide\"", "ide").replace("\"monolithicFlat\"", "monolithicFlat");
    for text in [crlf, trailing, leading, spaced, upper, bare] {
        assert_eq!(meaning(text.as_bytes()), same, "{text}");
    }
    assert_eq!(meaning(&[BOM, PLAIN.as_bytes()].concat()), same);
    assert_eq!(meaning(&[PLAIN.as_bytes(), &[0; 100], b"rest"].concat()), same);
    assert_eq!(meaning(PLAIN.trim_end().as_bytes()), same);
}

#[test]
fn file_names_are_kept_as_bytes() {
    let text = b"RW 1 FLAT \"\xb4\xc5\xc5\xcc.vmdk\" 0\nparentFileNameHint=\"\xe4\xf6.vmdk\"\n";
    let descriptor = parse(text);
    assert_eq!(descriptor.extents[0].name.as_deref(), Some(&b"\xb4\xc5\xc5\xcc.vmdk"[..]));
    assert_eq!(descriptor.parent_file_name_hint.unwrap().bytes, b"\xe4\xf6.vmdk");
}

#[test]
fn ambiguous_or_invalid_line_is_rejected() {
    let table = [
        ("parentCID=1\nparentCID=1", ErrorKind::Corrupt, 12),
        ("createType=\"a\"\ncreatetype=a", ErrorKind::Corrupt, 15),
        ("createType=\"a", ErrorKind::Corrupt, 0),
        ("parentFileNameHint=\"a\" # x", ErrorKind::Corrupt, 0),
        ("ddb.uuid.parent=\"a", ErrorKind::Corrupt, 0),
        ("parentCID=123456789", ErrorKind::Corrupt, 0),
        ("parentCID=", ErrorKind::Corrupt, 0),
        ("parentCID=+1", ErrorKind::Corrupt, 0),
        ("parentCID=1 # x", ErrorKind::Corrupt, 0),
        ("createType \"monolithicSparse\"", ErrorKind::Corrupt, 0),
        ("parentCID: 12345678", ErrorKind::Corrupt, 0),
        ("encryptionKeys \"x\"", ErrorKind::Corrupt, 0),
        ("READWRITE 8 FLAT \"a\"", ErrorKind::Corrupt, 0),
        ("a\u{3}", ErrorKind::Corrupt, 0),
        ("version=4", ErrorKind::Unsupported, 0),
        ("\nRW 1 FLAT \"a", ErrorKind::Corrupt, 1),
    ];
    for (text, kind, at) in table {
        let error = Descriptor::parse(text.as_bytes(), 0).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (kind, Some(at)), "{text}: {error}");
    }
    let error = Descriptor::parse(b"\xff\xfe#\0", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn oddity_that_decides_nothing_is_a_note() {
    for (text, cid, check) in [
        ("hello", None, "descriptor_line"),
        ("this image is sparse", None, "descriptor_line"),
        ("ddb.adapterType = \"ide", None, "descriptor_value"),
        ("ddb.adapterType = \"ide\" # the default", None, "descriptor_value"),
        ("encoding=\"UTF-8", None, "descriptor_value"),
        ("version=1 # of three", None, "descriptor_value"),
        ("CID=1\nCID=2", Some(1), "content_id"),
        ("CID=3735928559", Some(0x3592_8559), "content_id"),
        ("CID=12345678 # random", Some(0x1234_5678), "content_id"),
        ("CID=", Some(u32::MAX), "content_id"),
    ] {
        let descriptor = parse(text.as_bytes());
        let checks: Vec<_> = descriptor.notes.iter().map(|note| (note.check, note.severity)).collect();
        assert_eq!((descriptor.cid, checks), (cid, vec![(check, Severity::Note)]), "{text}");
        assert!(descriptor.check_readable().is_ok());
    }
    assert!(parse(PLAIN.as_bytes()).notes.is_empty());
    let unknown = parse(&b"ddb.colour = \"red\"\n".repeat(20)).unknown_keys;
    assert_eq!((unknown.len(), unknown[0].1), (MAX_UNKNOWN_KEYS, 512));
}

#[test]
fn entry_of_a_filter_or_of_another_data_object_is_refused_by_name() {
    for (entry, key) in [
        ("ddb.iofilters = \"cache\"", "ddb.iofilters"),
        ("ddb.iofilters = \"vmwarelwd,cache\"", "ddb.iofilters"),
        ("ddb.objectParentUri = \"vsan://x\"", "ddb.objectparenturi"),
        ("ddb.nativeParentHint = \"base.vmdk\"", "ddb.nativeparenthint"),
        ("objectID=\"vvol://x\"", "objectid"),
    ] {
        let descriptor = parse(format!("CID=1\n{entry}\n").as_bytes());
        let error = descriptor.check_readable().unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Unsupported, Some(518)), "{error}");
        assert!(error.to_string().contains(key), "{error}");
        assert!(!descriptor.is_encrypted());
    }
    for entry in ["ddb.iofilters = \"vmwarelwd\"", "ddb.objectParentUri = \"\"", "ddb.fcd.uuid = \"x\""] {
        assert!(parse(entry.as_bytes()).check_readable().is_ok(), "{entry}");
    }
}

#[test]
fn encryption_entry_is_found() {
    let table = [
        ("encryption.keySafe = \"vmware:key/list/(x)\"", true),
        ("encryption.data=\"x\"", true),
        ("keyID = \"x\"", true),
        ("encryptionKeys = \"vmware:key/list/(x)\"", true),
        ("DDB.EncryptionKeys = \"x\"", true),
        ("ddb.iofilters = \"vmwarevmcrypt\"", true),
        ("ddb.iofilters = \"cache,VMwareVMCrypt\"", true),
        ("ddb.objectID = \"x\"\nkeyID = \"x\"", true),
        ("ddb.iofilters = \"vmwarelwd\"", false),
        ("keyID = \"\"", false),
        ("encoding=\"UTF-8\"\nddb.encoding=\"UTF-8\"", false),
    ];
    for (text, expected) in table {
        let descriptor = parse(format!("CID=1\n{text}\n").as_bytes());
        let error = descriptor.check_readable().err().map(|error| error.kind());
        assert_eq!(error, expected.then_some(ErrorKind::Encrypted), "{text}");
        assert_eq!(descriptor.is_encrypted(), expected);
    }
}

#[test]
fn too_many_lines_or_extents_are_a_limit() {
    let error = Descriptor::parse(&b"\n".repeat(MAX_LINES), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let lines = "RW 1 ZERO\n".repeat(MAX_EXTENTS);
    assert_eq!(parse(lines.as_bytes()).extents.len(), MAX_EXTENTS);
    let error = Descriptor::parse((lines + "RW 1 ZERO").as_bytes(), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}
