//! A streamed OVA is described and converted like its file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod converting;
mod probing;

use std::io::Write;
use std::sync::Arc;

use common::{convert_stream, images, ova, read_all, tar_member};
use diskimg::{
    ConvertOptions, ErrorKind, Format, ImageInfo, Memory, MemorySink, Opener, ProbeReport, Prober, Result,
    StreamConvert,
};
use diskimg_core::conformance::painted;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The sizes of chunks.
const CHUNKS: [usize; 6] = [1, 511, 512, 513, 64 << 10, 1 << 20];

fn image(name: &str) -> Vec<u8> {
    std::fs::read(images("good").join(name)).unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn requesting(member: Option<&str>) -> Opener {
    let mut opener = Opener::new();
    opener.member = member.map(str::to_owned);
    opener
}

fn probe(opener: &Opener, bytes: &[u8], chunk: usize) -> ProbeReport {
    let mut prober = Prober::with(opener);
    for chunk in bytes.chunks(chunk) {
        prober.push(chunk);
    }
    prober.finish()
}

fn of_file(opener: &Opener, bytes: &[u8]) -> Result<ImageInfo> {
    opener.inspect_source(&Memory::new(bytes.to_vec())).map(|inspection| inspection.info)
}

/// The result in a form that can be compared. Only in a file are all tables compared with its length.
fn described(image: &Result<ImageInfo>) -> String {
    match image {
        Ok(info) => {
            let mut info = info.clone();
            info.findings.retain(|finding| !finding.check.starts_with("truncated"));
            format!("{info:?}")
        }
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

/// The disk in a stream that is pushed in pieces.
fn converted(opener: &Opener, bytes: &[u8], chunk: usize) -> Result<Vec<u8>> {
    let sink = MemorySink::new(64 << 20);
    let mut conversion = StreamConvert::new(opener, Box::new(sink.clone()));
    bytes.chunks(chunk).try_for_each(|chunk| conversion.push(chunk))?;
    conversion.finish(&())?;
    Ok(sink.bytes())
}

/// Reads the disk of an image with random access.
fn disk_of(opener: &Opener, bytes: &[u8]) -> Result<Vec<u8>> {
    read_all(&opener.open_source(Arc::new(Memory::new(bytes.to_vec())))?)
}

/// Archives, good and bad, with the requested name.
fn archives() -> Vec<(&'static str, Option<&'static str>, Vec<u8>)> {
    let (vmdk, qcow2, disk) = (image("stream.vmdk"), image("cluster-512.qcow2"), image("mbr.raw"));
    let big = painted(0, 150_000);
    let two = ova(&[("one.vmdk", &vmdk), ("big.iso", &big), ("two.qcow2", &qcow2)]);
    let one = ova(&[("box.mf", b"SHA1"), ("disk.vmdk", &vmdk), ("big.cert", &big)]);
    let mut damaged = one.clone();
    let at = damaged.len() - 1024 - big.len().next_multiple_of(512) - 512;
    damaged[at] ^= 1;
    let mut header = ova(&[("disk.qcow2", &qcow2)]);
    header[1024 + 512 + 7] = 9;
    vec![
        ("one disk", None, one.clone()),
        ("one disk, and it is named", Some("disk.vmdk"), one.clone()),
        ("another name", Some("disk.qcow2"), one.clone()),
        ("a short disk", None, ova(&[("disk.qcow2", &qcow2)])),
        ("a header of a version that is not known", None, header),
        ("two disks", None, two.clone()),
        ("the first of two", Some("one.vmdk"), two.clone()),
        ("the second of two", Some("two.qcow2"), two.clone()),
        ("neither of two", Some("three"), two),
        ("twice the same name", Some("a"), ova(&[("a", &vmdk), ("a", &qcow2)])),
        ("none that is recognised", None, ova(&[("disk.img", b"text"), ("disk.vmdk", b"")])),
        ("a raw disk", None, ova(&[("disk.img", &disk)])),
        ("a compressed disk", None, ova(&[("disk.img.gz", &gz(&disk)), ("disk.vmdk", b"")])),
        ("none at all", None, ova(&[])),
        ("no end", None, [tar_member(&("box.ovf", b"")), tar_member(&("d", &qcow2))].concat()),
        ("truncated in the disk", None, one[..4000].to_vec()),
        ("truncated after the disk", None, one[..one.len() - 1024 - 512].to_vec()),
        ("a damaged header after the disk", None, damaged.clone()),
        ("a damaged header after the disk that is named", Some("disk.vmdk"), damaged),
    ]
}

#[test]
fn error_of_an_ova_has_its_kind() {
    let kinds = [
        ("another name", ErrorKind::InvalidInput),
        ("a header of a version that is not known", ErrorKind::Unsupported),
        ("two disks", ErrorKind::InvalidInput),
        ("neither of two", ErrorKind::InvalidInput),
        // The second replaces the first when the archive is unpacked.
        ("twice the same name", ErrorKind::InvalidInput),
        ("none that is recognised", ErrorKind::Unsupported),
        ("none at all", ErrorKind::Unsupported),
        ("truncated in the disk", ErrorKind::Truncated),
        ("truncated after the disk", ErrorKind::Truncated),
        ("a damaged header after the disk", ErrorKind::Corrupt),
        ("a damaged header after the disk that is named", ErrorKind::Corrupt),
    ];
    for (what, member, bytes) in archives() {
        let expected = kinds.iter().find(|(name, _)| *name == what).map(|(_, kind)| *kind);
        let opener = requesting(member);
        let probed = probe(&opener, &bytes, 4096);
        assert_eq!(probed.image.err().map(|error| error.kind()), expected, "{what}");
        for chunk in CHUNKS {
            let error = converted(&opener, &bytes, chunk).err();
            assert_eq!(error.map(|error| error.kind()), expected, "{what} by {chunk}, converted");
        }
        let streamed = opener.stream(std::io::Cursor::new(bytes)).and_then(|input| {
            convert_stream(input, Box::new(MemorySink::new(64 << 20)), &ConvertOptions::default(), &())
                .map(|_| ())
        });
        assert_eq!(streamed.err().map(|error| error.kind()), expected, "{what}, input");
    }
}

#[test]
fn tar_with_a_disk_is_opened_like_an_ova() {
    let vmdk = image("stream.vmdk");
    let bytes = [tar_member(&("disk.vmdk", &vmdk)), vec![0; 1024]].concat();
    let expected = disk_of(&Opener::new(), &ova(&[("disk.vmdk", &vmdk)])).unwrap();
    assert!(disk_of(&Opener::new(), &bytes).unwrap() == expected);
    for chunk in CHUNKS {
        let report = probe(&Opener::new(), &bytes, chunk);
        assert_eq!(described(&report.image), described(&of_file(&Opener::new(), &bytes)));
        let archive = report.archive.unwrap();
        assert_eq!(
            (archive.archive.name(), archive.name.as_str(), archive.wrapper),
            ("tar", "disk.vmdk", None)
        );
        assert!(converted(&Opener::new(), &bytes, chunk).unwrap() == expected);
    }
}

#[test]
fn tar_without_a_disk_is_recognised_and_not_opened() {
    let bytes = [tar_member(&("source.c", b"int main;")), vec![0; 1024]].concat();
    for chunk in CHUNKS {
        let report = probe(&Opener::new(), &bytes, chunk);
        assert_eq!(report.formats, [Format::new("tar")]);
        assert_eq!(described(&report.image), described(&of_file(&Opener::new(), &bytes)));
        let error = converted(&Opener::new(), &bytes, chunk).unwrap_err();
        assert_eq!((error.kind(), error.format_name()), (ErrorKind::Unsupported, Some(Format::new("tar"))));
    }
    let error = Opener::new().stream(std::io::Cursor::new(bytes)).err().unwrap();
    assert_eq!(error.format_name(), Some(Format::new("tar")));
}

#[test]
fn ova_opened_as_raw_is_its_own_bytes() {
    let bytes = ova(&[("disk.vmdk", &image("stream.vmdk"))]);
    let mut opener = Opener::new();
    opener.format = Some(Format::new("raw"));
    for stream in [bytes.clone(), gz(&bytes)] {
        let info = probe(&opener, &stream, 777).image.unwrap();
        assert_eq!((info.format.name(), info.virtual_size), ("raw", bytes.len() as u64));
        assert!(converted(&opener, &stream, 777).unwrap() == bytes);
    }
}
