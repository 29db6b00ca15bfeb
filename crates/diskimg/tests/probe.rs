//! The prober describes a stream like a file, for any split, and reports a result once it is certain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::io::Write;
use std::path::Path;

use common::{good, images};
use diskimg::{
    ErrorKind, FileSource, Format, ImageInfo, Inspection, Limits, Memory, MemorySink, Opener, ProbeReport,
    Probed, Prober, Result, Sniffed, Wrapper, driver, sniff,
};
use diskimg_core::conformance::{Numbers, painted};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

/// The sizes of chunks.
const CHUNKS: [usize; 6] = [1, 511, 512, 513, 64 << 10, 1 << 20];

/// Pushes all of a stream, even after the prober is done.
fn probe(opener: &Opener, bytes: &[u8], chunk: usize) -> ProbeReport {
    let mut prober = Prober::with(opener);
    for chunk in bytes.chunks(chunk) {
        prober.push(chunk);
    }
    prober.finish()
}

/// The result in a form that can be compared.
fn described(report: &ProbeReport) -> String {
    format!("{report:?}")
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An inspection without the sizes of a file.
fn without_sizes(inspection: Result<Inspection>) -> Result<(ImageInfo, Option<Wrapper>)> {
    inspection.map(|inspection| (inspection.info, inspection.wrapper))
}

/// The description of a file without the findings of [`diskimg::Driver::survey`]. A probe of a stream is done before the
/// tables, which may be anywhere in it.
fn without_survey(mut info: ImageInfo, path: &Path, limits: &Limits) -> ImageInfo {
    let file = FileSource::open(path).unwrap();
    // The disk of an archive or of a compressed file is described like a stream.
    if let Ok(Sniffed::Image(_)) = sniff(&file) {
        let inspect = driver(info.format.name()).unwrap().inspect;
        info.findings = inspect(&file, limits).unwrap().findings;
    }
    info
}

#[test]
fn good_stream_is_described_like_its_file_for_any_split() {
    for image in good().iter().filter(|image| !image.how.starts_with("snapshot=")) {
        let opener = image.opener();
        let (expected, wrapper) = without_sizes(opener.inspect(image.path())).unwrap();
        let expected = (without_survey(expected, &image.path(), &opener.limits), wrapper);
        let bytes = std::fs::read(image.path()).unwrap();
        for chunk in CHUNKS {
            let report = probe(&opener, &bytes, chunk);
            assert_eq!(report.pushed, bytes.len() as u64);
            let found = without_sizes(report.into_inspection()).unwrap();
            assert_eq!(found, expected, "{} by {chunk}", image.file);
        }
        let streamed = without_sizes(opener.inspect_stream(&bytes[..])).unwrap();
        assert_eq!(streamed, expected, "{}", image.file);
    }
}

#[test]
fn compressed_stream_is_described_like_the_image() {
    for image in good().iter().filter(|image| !image.how.starts_with("snapshot=") && image.wrapper.is_none())
    {
        let opener = image.opener();
        let expected =
            without_survey(opener.inspect(image.path()).unwrap().info, &image.path(), &opener.limits);
        let bytes = std::fs::read(image.path()).unwrap();
        let packed = gz(&bytes);
        let one = probe(&opener, &packed, 1000);
        assert_eq!(one.image.as_ref().unwrap(), &expected, "{}", image.file);
        assert_eq!(described(&one), described(&probe(&opener, &packed, usize::MAX)), "{}", image.file);
    }
}

#[test]
fn bad_stream_is_described_like_its_file_for_any_split() {
    for row in common::table(&images("bad").join("EXPECTED.tsv")) {
        let path = images("bad").join(&row[0]);
        let mut opener = Opener::new();
        opener.limits = Limits { virtual_size: 32 << 20, ..Limits::default() };
        let expected = without_sizes(opener.inspect(&path));
        let bytes = std::fs::read(&path).unwrap();
        let whole = probe(&opener, &bytes, usize::MAX);
        for chunk in CHUNKS {
            assert_eq!(described(&probe(&opener, &bytes, chunk)), described(&whole), "{} by {chunk}", row[0]);
        }
        match (whole.image, expected) {
            (Ok(info), Ok((expected, _))) => {
                assert_eq!(info, without_survey(expected, &path, &opener.limits), "{}", row[0]);
            }
            (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected.to_string(), "{}", row[0]),
            (found, expected) => panic!("{}: {found:?}, of the file {expected:?}", row[0]),
        }
    }
}

fn read(directory: &str, name: &str) -> Vec<u8> {
    std::fs::read(images(directory).join(name)).unwrap()
}

fn kind(report: &ProbeReport) -> ErrorKind {
    report.image.as_ref().expect_err("this is not a good image").kind()
}

#[test]
fn disc_with_an_image_header_is_ambiguous_and_lists_both() {
    let report = probe(&Opener::new(), &read("bad", "r01-iso-with-qcow2-header.iso"), 4096);
    assert_eq!(kind(&report), ErrorKind::Ambiguous);
    assert_eq!(report.formats, [Format::new("qcow2")]);
    assert_eq!(report.content.map(diskimg::Content::name), Some("iso9660"));
}

#[test]
fn partitioned_disk_with_an_image_header_is_ambiguous_unless_pinned() {
    let bytes = read("bad", "r02-mbr-with-vmdk-text.raw");
    let report = probe(&Opener::new(), &bytes, 4096);
    assert_eq!(kind(&report), ErrorKind::Ambiguous);
    assert_eq!(report.formats, [Format::new("vmdk")]);
    assert_eq!(report.content.map(diskimg::Content::name), Some("mbr"));
    let mut pinned = Opener::new();
    pinned.format = Some(Format::new("raw"));
    let info = probe(&pinned, &bytes, 4096).image.unwrap();
    assert_eq!((info.format.name(), info.virtual_size), ("raw", bytes.len() as u64));
}

#[test]
fn vdi_signature_in_boot_code_is_a_raw_disk() {
    let report = probe(&Opener::new(), &read("good", "vdi-signature-in-mbr.raw"), 100);
    assert!(report.formats.is_empty());
    assert_eq!(report.image.unwrap().content, Some("mbr"));
}

#[test]
fn disc_with_an_invalid_block_size_has_the_size_of_its_stream() {
    let bytes = read("good", "block-size-0.iso");
    let info = probe(&Opener::new(), &bytes, 512).image.unwrap();
    assert!(info.is_optical_disc);
    assert_eq!(info.virtual_size, bytes.len() as u64);
}

#[test]
fn truncated_disc_has_a_finding() {
    let info = probe(&Opener::new(), &read("good", "cut.iso"), 512).image.unwrap();
    assert!(info.findings.iter().any(|finding| finding.check == "truncated"));
}

#[test]
fn empty_stream_is_an_error_compressed_or_not() {
    for bytes in [Vec::new(), gz(&[])] {
        let report = probe(&Opener::new(), &bytes, 1);
        assert_eq!(kind(&report), ErrorKind::UnknownFormat);
        assert!(report.image.unwrap_err().to_string().contains("empty"));
    }
}

#[test]
fn size_of_a_raw_disk_is_exact() {
    let mut opener = Opener::new();
    opener.allow_raw = true;
    for len in [1, 511, 513, 69_631, 69_632, 69_633, 139_264, 300_001] {
        for bytes in [painted(1, len), gz(&painted(1, len))] {
            let info = probe(&opener, &bytes, 777).image.unwrap();
            assert_eq!((info.format.name(), info.virtual_size), ("raw", len as u64));
        }
    }
}

#[test]
fn unsupported_format_is_recognised_and_never_raw() {
    let mut opener = Opener::new();
    opener.allow_raw = true;
    for name in ["vhd", "vhdx", "qed", "luks", "zip", "bz2", "tar", "7z"] {
        let report = probe(&opener, &read("bad", &format!("r10-head-of.{name}")), 512);
        assert_eq!(kind(&report), ErrorKind::Unsupported, "{name}");
        assert_eq!(report.formats.len(), 1, "{name}");
        assert_ne!(report.formats[0].name(), "raw");
    }
}

/// A disk with partitions and the footer of a VHD of fixed size.
fn fixed_vhd() -> Vec<u8> {
    let mut bytes = read("good", "mbr.raw");
    let mut footer = [0; 512];
    footer[..8].copy_from_slice(b"conectix");
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    bytes.resize(200 << 10, 0);
    bytes.extend(footer);
    bytes
}

#[test]
fn fixed_vhd_is_not_a_raw_disk() {
    let bytes = fixed_vhd();
    for stream in [bytes.clone(), gz(&bytes)] {
        let report = probe(&Opener::new(), &stream, 1000);
        assert_eq!(kind(&report), ErrorKind::Ambiguous);
        assert_eq!(report.formats, [Format::new("vhd")]);
        let sink = MemorySink::new(1 << 20);
        let mut conversion = diskimg::StreamConvert::new(&Opener::new(), Box::new(sink));
        conversion.push(&stream).unwrap();
        assert_eq!(conversion.finish(&()).unwrap_err().kind(), ErrorKind::Ambiguous);
    }
    let source = Memory::new(bytes.clone());
    assert_eq!(Opener::new().inspect_source(&source).unwrap_err().kind(), ErrorKind::Ambiguous);
    let mut pinned = Opener::new();
    pinned.format = Some(Format::new("raw"));
    assert_eq!(probe(&pinned, &bytes, 1000).image.unwrap().virtual_size, bytes.len() as u64);
}

#[test]
fn truncated_compressed_stream_still_reports_the_format() {
    // Noise does not shrink, so that the head is decompressed before the truncation.
    let mut numbers = Numbers::new(3);
    let mut disk: Vec<u8> = (0..200_000).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
    disk[32_769..32_774].copy_from_slice(b"CD001");
    let packed = gz(&disk);
    let report = probe(&Opener::new(), &packed[..packed.len() - 9], 4096);
    assert_eq!(kind(&report), ErrorKind::Truncated);
    assert_eq!(report.wrapper, Some(Wrapper::Gzip));
    assert_eq!(report.content.map(diskimg::Content::name), Some("iso9660"));
}

#[test]
fn only_one_level_is_decompressed() {
    let packed = gz(&gz(&painted(0, 100_000)));
    assert_eq!(kind(&probe(&Opener::new(), &packed, 100)), ErrorKind::Limit);
}

#[test]
fn decompression_bomb_ends_at_the_largest_virtual_size() {
    let mut opener = Opener::new();
    opener.limits = Limits { virtual_size: 1 << 20, ..Limits::default() };
    let bomb = gz(&vec![0; 64 << 20]);
    let mut prober = Prober::with(&opener);
    let used = bomb.chunks(1024).position(|chunk| prober.push(chunk) == Probed::Done).unwrap();
    assert!(used < bomb.len() / 1024 / 2, "{used} KiB of {} were taken", bomb.len() / 1024);
    assert_eq!(kind(&prober.finish()), ErrorKind::Limit);
}

/// A qcow2 image of a disk of 1 MiB with clusters of 64 KiB, `len` bytes long.
fn qcow2(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    for (at, value) in [(20, 16_u32), (36, 1), (56, 1), (96, 4), (100, 104)] {
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    for (at, value) in [(24, 1_u64 << 20), (40, 3 << 16), (48, 1 << 16)] {
        bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

#[test]
fn stopped_stream_after_done_gives_the_full_result() {
    let image = qcow2(8 << 20);
    for bytes in [image.clone(), gz(&image)] {
        let mut prober = Prober::new();
        assert_eq!(prober.push(&bytes[..100]), Probed::More, "a disc may begin so");
        let mut pushed = 100;
        while prober.push(&bytes[pushed..pushed + 100]) != Probed::Done {
            pushed += 100;
        }
        assert!(pushed < 300_000, "{pushed} bytes were needed");
        let stopped = prober.finish().image.unwrap();
        assert_eq!(stopped.virtual_size, 1 << 20);
        assert_eq!(stopped, probe(&Opener::new(), &bytes, usize::MAX).image.unwrap());
    }
}

#[test]
fn image_truncated_before_its_tables_has_a_finding() {
    for len in [100_000, 3 << 16, (3 << 16) + 7, (3 << 16) + 8, 300_000] {
        let info = probe(&Opener::new(), &qcow2(len), 1000).image.unwrap();
        let truncated = info.findings.iter().any(|finding| finding.check == "truncated");
        assert_eq!(truncated, len < (3 << 16) + 8, "{len}");
    }
}

#[test]
fn structures_that_a_header_points_to_are_retained() {
    // A snapshot table far after the head, in a stream that continues.
    let mut image = qcow2(4 << 20);
    let at = 3 << 20;
    image[60..64].copy_from_slice(&2_u32.to_be_bytes());
    image[64..72].copy_from_slice(&(at as u64).to_be_bytes());
    for (index, name) in [b"one", b"two"].into_iter().enumerate() {
        let entry = at + index * 48;
        image[entry + 12..entry + 16].copy_from_slice(&[0, 1, 0, 3]);
        image[entry + 40] = b'1' + u8::try_from(index).unwrap();
        image[entry + 41..entry + 44].copy_from_slice(name);
    }
    for chunk in [1000, 65_536, usize::MAX] {
        let info = probe(&Opener::new(), &image, chunk).image.unwrap();
        let names: Vec<&str> = info.snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
        assert!(info.findings.iter().all(|finding| finding.check != "not_seen"));
    }
}

#[test]
fn info_is_available_before_the_end() {
    let mut prober = Prober::new();
    let mut disc = vec![0; 1 << 20];
    disc[32_769..32_774].copy_from_slice(b"CD001");
    assert_eq!(prober.push(&disc[..1000]), Probed::More);
    assert!(prober.info().is_none());
    assert_eq!(prober.push(&disc[1000..]), Probed::More, "the trailer of another format may follow");
    assert!(!prober.size_is_known());
    let info = prober.info().expect("the head has passed");
    assert!(info.is_optical_disc && info.virtual_size <= 1 << 20);
    assert_eq!(prober.finish().image.unwrap().virtual_size, 1 << 20);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn result_does_not_depend_on_the_split(
        image in 0_usize..6,
        damage in proptest::collection::vec((0_usize..4096, any::<u8>()), 0..4),
        wrapped in any::<bool>(),
        sizes in proptest::collection::vec(1_usize..100_000, 1..20),
    ) {
        let names = ["snapshots.qcow2", "bitmaps.qcow2", "top-on-raw.qcow2", "hybrid.iso", "gpt.raw", "zeros.raw"];
        let mut bytes = read("good", names[image]);
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let bytes = if wrapped { gz(&bytes) } else { bytes };
        let mut prober = Prober::new();
        let mut rest = &bytes[..];
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            prober.push(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(described(&prober.finish()), described(&probe(&Opener::new(), &bytes, usize::MAX)));
    }
}

#[test]
fn stream_is_read_only_as_far_as_needed() {
    struct Endless<'a>(&'a [u8], usize);
    impl std::io::Read for Endless<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            assert!(self.1 < 4 << 20, "the image is known by now");
            let len = self.0.len().saturating_sub(self.1).min(buf.len());
            buf.fill(0);
            buf[..len].copy_from_slice(&self.0[self.1.min(self.0.len())..][..len]);
            self.1 += buf.len();
            Ok(buf.len())
        }
    }
    let image = qcow2(4096);
    let inspection = Opener::new().inspect_stream(Endless(&image, 0)).unwrap();
    assert_eq!(inspection.info.virtual_size, 1 << 20);
    assert_eq!(inspection.info.format.name(), "qcow2");
}

#[test]
fn descriptor_longer_than_the_head_is_described_like_its_file() {
    let line = |number: u32| format!("RW 8 FLAT \"a-name-of-some-length-{number:05}.vmdk\" 0\n");
    let head = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"custom\"\n";
    let text = head.to_owned() + &(0..3000).map(line).collect::<String>();
    assert!(text.len() > 100_000);
    let opener = Opener::new();
    for chunk in CHUNKS {
        let report = probe(&opener, text.as_bytes(), chunk);
        let info = report.image.unwrap();
        assert_eq!((info.references.len(), info.virtual_size), (3000, 3000 * 4096), "{chunk}");
    }
}
