//! The members of a tar archive, as a file and as a stream.

use std::ops::ControlFlow;
use std::sync::Arc;

use diskimg_core::{BlockSource, ErrorKind, Memory, Result};
use proptest::prelude::*;

use super::super::member_source::MemberSource;
use super::super::members::{ListedMember, for_each_member};
use super::super::tar::TarMember;
use super::super::tar_stream::{StreamedFile, TarStream};
use super::{archive, fix_checksum, header, mbr_disk, member, qcow2, record};
use crate::Opener;

fn members(source: &dyn BlockSource) -> Result<Vec<TarMember>> {
    let mut members = Vec::new();
    for_each_member(source, |listed| {
        if let ListedMember::File(member) = listed {
            members.push(member);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(members)
}

#[test]
fn long_names_come_from_extended_headers() {
    let pax = b"32 path=a-name-from-pax.qcow2.x\n".to_vec();
    assert_eq!(pax.len(), 32);
    let all = archive(&[
        member("x", b'L', b"a-long-name.qcow2\0"),
        member("short", b'0', b"1"),
        member("x", b'x', &pax),
        member("short", b'0', b"22"),
        member("plain", b'0', b"333"),
    ]);
    let found = members(&all).unwrap();
    let names: Vec<&str> = found.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["a-long-name.qcow2", "a-name-from-pax.qcow2.x", "plain"]);
}

#[test]
fn damaged_archive_is_refused_in_bounded_time() {
    let mut checksum = member("box.ovf", b'0', b"x");
    checksum[0] = b'y';
    assert_eq!(members(&archive(&[checksum])).unwrap_err().kind(), ErrorKind::Corrupt);
    let long = header("box.ovf", 1 << 30, b'0');
    assert_eq!(members(&archive(&[long])).unwrap_err().kind(), ErrorKind::Truncated);
    let extended = [header("x", 1 << 20, b'L'), vec![0; 1 << 20]].concat();
    assert_eq!(members(&archive(&[extended])).unwrap_err().kind(), ErrorKind::Limit);
    let many = |count: usize| members(&archive(&[header("x", 0, b'0').repeat(count)]));
    assert_eq!(many(4096).unwrap().len(), 4096);
    assert_eq!(many(4097).unwrap_err().kind(), ErrorKind::Limit);
    let name = [header("x", 5000, b'L'), vec![b'n'; 5120]].concat();
    assert_eq!(members(&archive(&[name])).unwrap_err().kind(), ErrorKind::Limit);
    for record in ["", "9999 path=x\n", "x", "3 \n", "5 a=b", "10 size=x\n"] {
        let all = archive(&[member("x", b'x', record.as_bytes()), member("y", b'0', b"")]);
        assert_eq!(members(&all).is_ok(), record.is_empty() || record == "3 \n", "{record:?}");
    }
}

/// An archive with every kind of entry that is read.
fn varied() -> Vec<u8> {
    let pax = b"29 path=a-name-from-pax.vmdk\n".to_vec();
    let size = b"12 size=700\n".to_vec();
    let mut long = header("short", 5, b'0');
    long.extend([b"22 blabla".as_slice(), &[0; 691]].concat());
    long.resize(512 + 1024, 0);
    [
        member("box.ovf", b'0', b"<Envelope/>"),
        member("x", b'L', b"a-long-name.qcow2\0"),
        member("empty", b'0', b""),
        member("x", b'x', &pax[..]),
        member("x", b'x', &size),
        long,
        member("directory", b'5', b""),
        member("block", 0, &[7; 512]),
        member("last", b'7', &[9; 513]),
        vec![0; 1024],
        b"trailing bytes".to_vec(),
    ]
    .concat()
}

/// The errors of an archive as a file and as a stream, which are the same.
fn refusal(parts: &[Vec<u8>]) -> diskimg_core::Error {
    let bytes = [parts.concat(), vec![0; 1024]].concat();
    let (file, stream) = (read(&bytes).unwrap_err(), pushed(&bytes, 700).unwrap_err());
    assert_eq!(file.to_string(), stream.to_string());
    file
}

#[test]
fn member_of_an_unsupported_type_is_refused_by_name_offset_and_type() {
    let ovf = member("box.ovf", b'0', b"<Envelope/>");
    for kind in [b'1', b'2', b'8', b'A', b'M', b'N', b'S', b'Z', 0xff] {
        for bytes in [&b""[..], b"bytes"] {
            let error = refusal(&[ovf.clone(), member("disk.vmdk", kind, bytes)]);
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Unsupported, Some(1024)), "{error}");
            let shown = char::from(kind).escape_debug();
            let expected = format!("tar: storage of 'disk.vmdk' at byte 1024 is type '{shown}'");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn device_directory_and_pipe_are_skipped_unless_they_have_bytes() {
    for kind in [b'3', b'4', b'5', b'6', b'V'] {
        let files = read(&[member("x", kind, b""), member("y", b'0', b"1")].concat()).unwrap();
        assert_eq!(files, [("y".to_owned(), b"1".to_vec())]);
        assert_eq!(refusal(&[member("x", kind, b"bytes")]).kind(), ErrorKind::Unsupported);
    }
    assert_eq!(refusal(&[member("old-directory/", 0, b"bytes")]).kind(), ErrorKind::Unsupported);
    let files = read(&[member("x", b'D', b"Yname\0"), member("y", b'7', b"1")].concat()).unwrap();
    assert_eq!(files, [("y".to_owned(), b"1".to_vec())]);
}

#[test]
fn extended_key_that_may_change_the_bytes_refuses_its_member() {
    let keys = [
        "GNU.sparse.size",
        "GNU.sparse.numblocks",
        "GNU.sparse.offset",
        "GNU.sparse.numbytes",
        "GNU.sparse.map",
        "GNU.sparse.major",
        "GNU.sparse.minor",
        "GNU.sparse.name",
        "GNU.sparse.realsize",
        "GNU.sparse.other",
        "GNU.volume.filename",
        "GNU.volume.offset",
        "SCHILY.realsize",
        "SCHILY.filetype",
        "SCHILY.tarfiletype",
        "SCHILY.offset",
        "SUN.holesdata",
        "VENDOR.Compression",
        "VENDOR.content-encoding",
        "VENDOR.encrypted",
        "VENDOR.chunks",
        "",
    ];
    for key in keys {
        let records = [record("mtime", "1.5"), record(key, "1")].concat();
        for kind in [b'x', b'X', b'g'] {
            let error = refusal(&[member("x", kind, &records), member("disk.vmdk", b'0', b"1")]);
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Unsupported, Some(1024)), "{error}");
            let expected = format!("storage of 'disk.vmdk' at byte 1024 is extended header key {key},");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
    for key in ["size", "path"] {
        let error = refusal(&[member("x", b'g', &record(key, "1")), member("disk.vmdk", b'0', b"1")]);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{key}");
    }
    let harmless =
        [record("comment", "a=b"), record("SCHILY.xattr.user.x", "1"), record("uid", "0")].concat();
    let files = read(&[member("x", b'x', &harmless), member("y", b'0', b"1")].concat()).unwrap();
    assert_eq!(files, [("y".to_owned(), b"1".to_vec())]);
}

#[test]
fn size_in_base_256_is_read_and_a_negative_one_refused() {
    let with_size = |first: u8, last: u8| {
        let mut block = header("y", 0, b'0');
        block[124..136].fill(0);
        (block[124], block[135]) = (first, last);
        fix_checksum(&mut block);
        [block, vec![7; 512]].concat()
    };
    assert_eq!(read(&with_size(0x80, 200)).unwrap(), [("y".to_owned(), vec![7; 200])]);
    assert_eq!(refusal(&[with_size(0xc0, 200)]).kind(), ErrorKind::Corrupt);
    assert_eq!(refusal(&[with_size(0xff, 200)]).kind(), ErrorKind::Corrupt);
}

#[test]
fn sparse_disk_in_an_ova_is_never_read_as_zeros() {
    let sparse = [record("GNU.sparse.major", "1"), record("GNU.sparse.minor", "0")].concat();
    let stored = |extension: Option<&[u8]>, kind| {
        let mut parts = vec![member("box.ovf", b'0', b"<Envelope/>")];
        parts.extend(extension.map(|records| member("x", b'x', records)));
        parts.push(member("disk.qcow2", kind, &qcow2(70_000)));
        [parts.concat(), vec![0; 1024]].concat()
    };
    for bytes in [stored(Some(&sparse), b'0'), stored(None, b'S'), stored(None, b'1')] {
        let source: Arc<dyn BlockSource> = Arc::new(Memory::new(bytes.clone()));
        let opener = Opener::new();
        assert_eq!(opener.open_source(Arc::clone(&source)).err().unwrap().kind(), ErrorKind::Unsupported);
        assert_eq!(opener.inspect_source(&source).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(
            opener.stream(std::io::Cursor::new(bytes.clone())).err().unwrap().kind(),
            ErrorKind::Unsupported
        );
        assert_eq!(
            opener.inspect_stream(std::io::Cursor::new(bytes.clone())).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
        let sink = diskimg_core::MemorySink::new(1 << 20);
        let mut conversion = crate::StreamConvert::new(&opener, Box::new(sink.clone()));
        assert_eq!(conversion.push(&bytes).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(sink.bytes().is_empty());
    }
}

type Files = Vec<(String, Vec<u8>)>;

/// Reads the files of an archive with random access.
fn read(bytes: &[u8]) -> Result<Files> {
    let source = Memory::new(bytes.to_vec());
    let mut files = Files::new();
    for_each_member(&source, |listed| {
        let member = match listed {
            ListedMember::File(member) => member,
            ListedMember::Refused(member) => return Err(member.error),
        };
        let name = member.name.clone();
        let file = MemberSource::new(&source, member)?;
        let mut bytes = vec![0; usize::try_from(file.size()).unwrap()];
        file.read_at(0, &mut bytes)?;
        files.push((name, bytes));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(files)
}

/// Reads the files of an archive that is pushed in chunks.
fn pushed(bytes: &[u8], chunk: usize) -> Result<Files> {
    let mut files = Files::new();
    let mut walker = TarStream::default();
    for chunk in bytes.chunks(chunk) {
        walker.push(chunk, &mut |file| {
            match file {
                StreamedFile::Start(member) => files.push((member.name, Vec::new())),
                StreamedFile::Bytes(bytes) => files.last_mut().unwrap().1.extend(bytes),
                StreamedFile::Hole(len) => {
                    let file = &mut files.last_mut().unwrap().1;
                    file.resize(file.len() + usize::try_from(len).unwrap(), 0);
                }
                StreamedFile::End => {}
                StreamedFile::Refused(member) => return Err(member.error),
            }
            Ok(())
        })?;
    }
    walker.finish()?;
    Ok(files)
}

fn comparable(files: Result<Files>) -> std::result::Result<Files, String> {
    files.map_err(|error| format!("{error:?}"))
}

#[test]
fn truncated_stream_yields_the_files_of_the_truncated_file() {
    let whole = varied();
    let files = read(&whole).unwrap();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["box.ovf", "a-long-name.qcow2", "a-name-from-pax.vmdk", "block", "last"]);
    assert_eq!(files[2].1.len(), 700);
    for len in 0..=whole.len() {
        let expected = comparable(read(&whole[..len]));
        for chunk in [1 + len % 7, 511, 512, 513, usize::MAX] {
            assert_eq!(comparable(pushed(&whole[..len], chunk)), expected, "{len} by {chunk}");
        }
    }
}

proptest! {
    #[test]
    fn damaged_stream_is_refused_like_the_file(
        damage in proptest::collection::vec((0_usize..7000, any::<u8>()), 1..3),
        with_checksum in any::<bool>(),
        chunk in 1_usize..3000,
    ) {
        let mut bytes = varied();
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
            if with_checksum && bytes[at / 512 * 512..].len() >= 512 {
                fix_checksum(&mut bytes[at / 512 * 512..][..512]);
            }
        }
        prop_assert_eq!(comparable(pushed(&bytes, chunk)), comparable(read(&bytes)));
    }
}

/// The findings about keys of extended headers before a disk.
fn findings_of_keys(kind: u8, records: &[u8]) -> Vec<String> {
    let disk = mbr_disk(128 << 10);
    let bytes = [member("x", kind, records), member("disk.raw", b'0', &disk), vec![0; 1024]].concat();
    let info = super::inspect(&Opener::new(), &bytes).unwrap();
    let keys = super::findings(&info).into_iter().filter(|found| found.0 == "ignored_keys");
    keys.map(|found| found.1).collect()
}

#[test]
fn keys_that_programs_write_are_accepted_without_a_word() {
    // GNU tar, bsdtar, star, Solaris, Go and Python.
    let keys = [
        "atime",
        "charset",
        "comment",
        "ctime",
        "gid",
        "gname",
        "hdrcharset",
        "linkpath",
        "mtime",
        "uid",
        "uname",
        "LIBARCHIVE.creationtime",
        "LIBARCHIVE.symlinktype",
        "LIBARCHIVE.xattr.com.apple.FinderInfo",
        "MSWINDOWS.fileattr",
        "MSWINDOWS.rawsd",
        "RHT.security.selinux",
        "SCHILY.acl.access",
        "SCHILY.acl.default",
        "SCHILY.acl.ace",
        "SCHILY.dev",
        "SCHILY.devmajor",
        "SCHILY.devminor",
        "SCHILY.fflags",
        "SCHILY.ino",
        "SCHILY.nlink",
        "SCHILY.xattr.user.size",
        "SUN.devmajor",
        "SUN.devminor",
        "security.selinux",
    ];
    for key in keys {
        for kind in [b'x', b'g'] {
            assert_eq!(findings_of_keys(kind, &record(key, "1")), [""; 0], "{key}");
        }
    }
    assert_eq!(findings_of_keys(b'x', &record("SCHILY.filetype", "regular")), [""; 0]);
}

#[test]
fn unknown_key_of_an_extended_header_is_a_note() {
    for kind in [b'x', b'g'] {
        for key in ["APK-TOOLS.checksum.SHA1", "VENDOR.keyword", "unknown"] {
            let message = format!("keys of extended headers that are not known are ignored: {key}");
            assert_eq!(findings_of_keys(kind, &record(key, "1")), [message]);
        }
    }
}
