//! The state of a prober never goes back, and no end of the stream contradicts it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::io::Write;

use common::{good, images};
use diskimg::{ErrorKind, Format, Limits, Memory, Opener, Probed, Prober};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

/// The sizes of chunks. None of them divides the positions at which a stream is evaluated.
const CHUNKS: [usize; 4] = [7, 1000, 65_537, usize::MAX];

/// The certain results of a prober for the bytes pushed.
#[derive(Default, Debug)]
struct Certain {
    named: bool,
    size: Option<u64>,
}

const fn rank(state: Probed) -> u8 {
    match state {
        Probed::More => 0,
        Probed::Format => 1,
        Probed::Done => 2,
    }
}

/// Pushes a stream in chunks of these sizes, repeatedly, and compares each certain result with the final one.
fn check(opener: &Opener, bytes: &[u8], sizes: &[usize], name: &str) {
    let mut prober = Prober::with(opener);
    let mut state = prober.state();
    let mut certain = Certain::default();
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        let (piece, later) = rest.split_at((*size).min(rest.len()));
        if piece.is_empty() {
            break;
        }
        rest = later;
        let next = prober.push(piece);
        assert!(rank(next) >= rank(state), "{name}: {state:?}, and then {next:?}");
        state = next;
        certain.named |= state == Probed::Format;
        if prober.size_is_known() {
            let size = prober.info().map(|info| info.virtual_size);
            assert!(size.is_some(), "{name}: a size is known and not reported");
            assert!(certain.size.is_none() || certain.size == size, "{name}: {certain:?}, and then {size:?}");
            certain.size = size;
        } else {
            // A damaged compressed stream ends the probe.
            assert!(
                certain.size.is_none() || state == Probed::Done,
                "{name}: the size is not known any more"
            );
        }
    }
    let known = prober.info().cloned();
    let report = prober.finish();
    if state == Probed::Done {
        assert_eq!(known, report.image.as_ref().ok().cloned(), "{name}");
    }
    match &report.image {
        Ok(info) => {
            if certain.named {
                assert_eq!(report.formats, [info.format], "{name}");
            }
            assert!(certain.size.is_none_or(|size| size == info.virtual_size), "{name}: {certain:?}");
        }
        Err(error) => {
            let contradicts = matches!(error.kind(), ErrorKind::Ambiguous | ErrorKind::UnknownFormat);
            assert!(!certain.named || !contradicts, "{name}: {error}");
        }
    }
}

fn check_all(opener: &Opener, bytes: &[u8], name: &str) {
    for chunk in CHUNKS {
        check(opener, bytes, &[chunk], name);
    }
    for part in [1, 3, 7] {
        check(opener, &bytes[..bytes.len() / 8 * part], &[4096], name);
    }
}

#[test]
fn prober_state_never_goes_back_for_any_image() {
    let mut opener = Opener::new();
    opener.limits = Limits { virtual_size: 1 << 40, ..Limits::default() };
    for image in good() {
        check_all(&opener, &std::fs::read(image.path()).unwrap(), &image.file);
    }
    for row in common::table(&images("bad").join("EXPECTED.tsv")) {
        check_all(&opener, &std::fs::read(images("bad").join(&row[0])).unwrap(), &row[0]);
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prober_state_never_goes_back_for_a_damaged_image(
        image in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((0_usize..1024, any::<u8>()), 0..4),
        more in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in 1_usize..200_000,
        wrapped in any::<bool>(),
        sizes in proptest::collection::vec(1_usize..100_000, 1..20),
    ) {
        let names = [
            "snapshots.qcow2", "bitmaps.qcow2", "top-on-raw.qcow2", "hybrid.iso", "gpt.raw", "mbr.raw", "stream.vmdk",
            "large-sparse.qcow2", "v3.qcow2",
        ];
        let name = image.get(&names);
        let mut bytes = std::fs::read(images("good").join(name)).unwrap();
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        for (at, value) in more {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.resize(end.max(bytes.len() / 2), 0);
        let bytes = if wrapped { gz(&bytes) } else { bytes };
        check(&Opener::new(), &bytes, &sizes, name);
    }
}

/// A disc that begins with a qcow2 header.
fn disc_with_header() -> Vec<u8> {
    let mut bytes = std::fs::read(images("good").join("v3.qcow2")).unwrap();
    bytes.resize(300_000, 0);
    bytes[32_769..32_774].copy_from_slice(b"CD001");
    bytes
}

/// The trailer of a VHD of fixed size.
fn vhd_footer() -> Vec<u8> {
    let mut footer = vec![0; 512];
    footer[..8].copy_from_slice(b"conectix");
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    footer
}

/// The trailer of a DMG.
fn koly() -> Vec<u8> {
    let mut trailer = vec![0; 512];
    trailer[..12].copy_from_slice(b"koly\0\0\0\x04\0\0\x02\0");
    trailer
}

fn fixed_vhd() -> Vec<u8> {
    let mut bytes = std::fs::read(images("good").join("mbr.raw")).unwrap();
    bytes.resize(200 << 10, 0);
    bytes.extend(vhd_footer());
    bytes
}

/// A descriptor of 125 KB with its `createType` in the last line.
fn descriptor_with_its_type_last() -> Vec<u8> {
    let mut text = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n".to_owned();
    for number in 0..2500 {
        text.push_str(&format!("RW 8 FLAT \"a-name-of-some-length-{number:05}.vmdk\" 0\n"));
    }
    text.push_str("createType=\"custom\"\n");
    text.into_bytes()
}

#[test]
fn prober_state_never_goes_back_for_misleading_streams() {
    let mut zeros_then_vhd = vec![0; 150_000];
    zeros_then_vhd.extend(vhd_footer());
    let noise: Vec<u8> =
        (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0] | 1).collect();
    let streams = [
        ("disc", disc_with_header()),
        ("vhd", fixed_vhd()),
        ("text", descriptor_with_its_type_last()),
        ("zeros", zeros_then_vhd),
        ("noise", noise.clone()),
        ("dmg", [noise, koly()].concat()),
    ];
    let mut openers = [Opener::new(), Opener::new(), Opener::new(), Opener::new()];
    openers[1].allow_raw = true;
    openers[2].format = Some(Format::new("raw"));
    openers[3].format = Some(Format::new("qcow2"));
    for opener in &openers {
        for (name, bytes) in &streams {
            check_all(opener, bytes, name);
        }
    }
}

#[test]
fn disc_that_begins_like_an_image_is_not_an_image() {
    let bytes = disc_with_header();
    let mut prober = Prober::new();
    assert_eq!(prober.push(&bytes[..8]), Probed::More);
    assert_eq!(prober.push(&bytes[8..]), Probed::Done);
    assert_eq!(prober.finish().image.unwrap_err().kind(), ErrorKind::Ambiguous);
}

#[test]
fn size_in_a_long_descriptor_is_known_at_its_end() {
    let bytes = descriptor_with_its_type_last();
    let mut prober = Prober::new();
    for piece in bytes.chunks(1000) {
        assert_ne!(prober.push(piece), Probed::Done);
        assert!(!prober.size_is_known());
    }
    assert_eq!(prober.finish().image.unwrap().virtual_size, 2500 * 8 * 512);
}

#[test]
fn size_of_a_vdi_is_known_before_its_last_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.vdi");
    let sink = diskimg::Target::file(&path, Format::new("vdi")).create(Some(64 << 20)).unwrap();
    sink.write_at(1 << 20, &vec![7; 4 << 20]).unwrap();
    sink.finish().unwrap();
    let bytes = std::fs::read(path).unwrap();
    let mut prober = Prober::new();
    assert_eq!(prober.push(&bytes[..100_000]), Probed::Format);
    assert!(prober.size_is_known());
    let info = prober.info().unwrap().clone();
    assert_eq!(info.virtual_size, 64 << 20);
    assert!(info.findings.iter().all(|finding| finding.check != "truncated"), "{:?}", info.findings);
    prober.push(&bytes[100_000..]);
    assert_eq!(prober.finish().image.unwrap(), info);
}

#[test]
fn trailer_is_recognised_in_a_file_and_in_a_stream() {
    let noise: Vec<u8> =
        (0..50_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0] | 1).collect();
    for (name, trailer) in [("vhd", vhd_footer()), ("dmg", koly())] {
        for front in [1000, 50_000, 500_000] {
            let bytes: Vec<u8> = noise.iter().copied().cycle().take(front).chain(trailer.clone()).collect();
            for allow_raw in [false, true] {
                let mut opener = Opener::new();
                opener.allow_raw = allow_raw;
                let error = opener.inspect_source(&Memory::new(bytes.clone())).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
                let mut prober = Prober::with(&opener);
                bytes.chunks(1000).for_each(|piece| {
                    prober.push(piece);
                });
                let report = prober.finish();
                assert_eq!(report.formats, [Format::new(name)]);
                assert_eq!(report.image.unwrap_err().to_string(), error.to_string());
            }
        }
    }
}
