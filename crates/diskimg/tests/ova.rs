//! An OVA that arrives as a stream: told as its file is, and converted as the disk in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::{images, ova, read_all, tar_member};
use diskimg::{
    ConvertOptions, CreateOptions, ErrorKind, Format, ImageInfo, Input, Memory, MemorySink, Opener,
    ProbeReport, Probed, Prober, Result, Setting, Spool, StreamConvert, Target, Wrapper, WriteOrder,
    convert_stream, driver,
};
use diskimg_core::conformance::{Numbers, painted};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

/// The sizes in which streams are cut.
const CHUNKS: [usize; 6] = [1, 511, 512, 513, 64 << 10, 1 << 20];

fn image(name: &str) -> Vec<u8> {
    std::fs::read(images("good").join(name)).unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn wanting(member: Option<&str>) -> Opener {
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
    opener.inspect_source(&Memory::new(bytes.to_vec()))
}

/// What is told, in a form that can be compared.
fn told(image: &Result<ImageInfo>) -> String {
    match image {
        Ok(info) => format!("{info:?}"),
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

fn push(opener: &Opener, bytes: &[u8], chunk: usize, sink: MemorySink) -> Result<()> {
    let mut conversion = StreamConvert::new(opener, Box::new(sink));
    for chunk in bytes.chunks(chunk) {
        conversion.push(chunk)?;
    }
    conversion.finish(&()).map(|_| ())
}

/// The disk in a stream that is pushed in pieces.
fn converted(opener: &Opener, bytes: &[u8], chunk: usize) -> Result<Vec<u8>> {
    let sink = MemorySink::new(64 << 20);
    push(opener, bytes, chunk, sink.clone()).map(|()| sink.bytes())
}

/// The disk in an image that can be read anywhere.
fn disk_of(opener: &Opener, bytes: &[u8]) -> Result<Vec<u8>> {
    read_all(&opener.open_source(Arc::new(Memory::new(bytes.to_vec())))?)
}

/// Archives, good and bad, with the name that is wanted.
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
        ("none that is recognised", None, ova(&[("disk.img", &disk), ("disk.vmdk", b"")])),
        ("none at all", None, ova(&[])),
        ("no end", None, [tar_member(&("box.ovf", b"")), tar_member(&("d", &qcow2))].concat()),
        ("cut in the disk", None, one[..4000].to_vec()),
        ("cut behind the disk", None, one[..one.len() - 1024 - 512].to_vec()),
        ("a damaged header behind the disk", None, damaged.clone()),
        ("a damaged header behind the disk that is named", Some("disk.vmdk"), damaged),
    ]
}

#[test]
fn x01_an_ova_is_told_as_its_file_is_however_it_is_cut() {
    for (what, member, bytes) in archives() {
        let opener = wanting(member);
        let expected = told(&of_file(&opener, &bytes));
        for chunk in CHUNKS {
            let report = probe(&opener, &bytes, chunk);
            assert_eq!(told(&report.image), expected, "{what} by {chunk}");
            assert_eq!(report.pushed, bytes.len() as u64);
        }
        let whole = format!("{:?}", probe(&opener, &bytes, usize::MAX));
        for chunk in CHUNKS {
            assert_eq!(format!("{:?}", probe(&opener, &bytes, chunk)), whole, "{what} by {chunk}");
        }
        let report = probe(&opener, &gz(&bytes), 1000);
        assert_eq!(told(&report.image), expected, "{what} in gz");
        assert_eq!(report.wrapper, Some(Wrapper::Gzip));
        let streamed = opener.inspect_stream(&bytes[..]).map(|inspection| inspection.info);
        assert_eq!(told(&streamed), expected, "{what} read");
    }
}

#[test]
fn the_errors_are_of_the_kind_that_says_what_to_do() {
    let kinds = [
        ("another name", ErrorKind::InvalidInput),
        ("a header of a version that is not known", ErrorKind::Unsupported),
        ("two disks", ErrorKind::InvalidInput),
        ("neither of two", ErrorKind::InvalidInput),
        ("none that is recognised", ErrorKind::Unsupported),
        ("none at all", ErrorKind::Unsupported),
        ("cut in the disk", ErrorKind::Truncated),
        ("cut behind the disk", ErrorKind::Truncated),
        ("a damaged header behind the disk", ErrorKind::Corrupt),
        ("a damaged header behind the disk that is named", ErrorKind::Corrupt),
    ];
    for (what, member, bytes) in archives() {
        let expected = kinds.iter().find(|(name, _)| *name == what).map(|(_, kind)| *kind);
        let opener = wanting(member);
        let probed = probe(&opener, &bytes, 4096);
        assert_eq!(probed.image.err().map(|error| error.kind()), expected, "{what}");
        for chunk in CHUNKS {
            let error = converted(&opener, &bytes, chunk).err();
            assert_eq!(error.map(|error| error.kind()), expected, "{what} by {chunk}, converted");
        }
        let arrived = opener.arriving(std::io::Cursor::new(bytes)).and_then(|arriving| {
            convert_stream(arriving, Box::new(MemorySink::new(64 << 20)), &ConvertOptions::default(), &())
                .map(|_| ())
        });
        assert_eq!(arrived.err().map(|error| error.kind()), expected, "{what}, arriving");
    }
}

#[test]
fn an_ova_cut_anywhere_is_told_as_its_file_is() {
    let whole = ova(&[("disk.qcow2", &image("cluster-512.qcow2")), ("box.cert", b"x")]);
    let opener = Opener::new();
    let near = |len: &usize| len % 512 < 2 || len % 512 > 510;
    for len in (0..=whole.len()).filter(near) {
        let found = probe(&opener, &whole[..len], 1000);
        assert_eq!(told(&found.image), told(&of_file(&opener, &whole[..len])), "{len}");
    }
}

#[test]
fn the_disk_that_is_told_of_is_named() {
    let (vmdk, qcow2) = (image("stream.vmdk"), image("cluster-512.qcow2"));
    let bytes = ova(&[("one.vmdk", &vmdk), ("two.qcow2", &qcow2)]);
    let of = |member| {
        let report = probe(&wanting(member), &bytes, 5000);
        (report.member, report.formats.iter().map(|format| format.name()).collect::<Vec<_>>())
    };
    assert_eq!(of(Some("two.qcow2")), (Some("two.qcow2".to_owned()), vec!["qcow2"]));
    assert_eq!(of(Some("one.vmdk")), (Some("one.vmdk".to_owned()), vec!["vmdk"]));
    assert_eq!(of(None), (None, vec!["ova"]));
    assert_eq!(of(Some("none")), (None, vec!["ova"]));
}

#[test]
fn nothing_is_certain_before_the_archive_has_ended() {
    let whole = ova(&[("disk.qcow2", &image("large-sparse.qcow2")), ("second", &image("v3.qcow2"))]);
    let second = whole.len() - 1024 - image("v3.qcow2").len().next_multiple_of(512) - 512;
    let mut prober = Prober::new();
    let mut states = Vec::new();
    for (index, chunk) in whole.chunks(512).enumerate() {
        let state = prober.push(chunk);
        if states.last().is_none_or(|(_, last)| *last != state) {
            states.push((index * 512, state));
        }
        let passed = (index + 1) * 512;
        if passed > 90_000 && passed < second {
            assert_eq!(prober.info().map(|info| info.virtual_size), Some(48 << 20), "{passed}");
        } else if passed > second + 90_000 {
            assert!(prober.info().is_none(), "{passed}");
        }
    }
    let only: Vec<Probed> = states.iter().map(|(_, state)| *state).collect();
    assert_eq!(only, [Probed::More, Probed::Format, Probed::Done]);
    assert_eq!(states[2].0, whole.len() - 1024, "the first block of the end");
    assert_eq!(prober.finish().image.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_tar_that_is_no_ova_is_named_and_not_opened() {
    let bytes = [tar_member(&("disk.vmdk", &image("stream.vmdk"))), vec![0; 1024]].concat();
    for chunk in CHUNKS {
        let report = probe(&Opener::new(), &bytes, chunk);
        assert_eq!(report.formats, [Format::new("tar")]);
        assert_eq!(told(&report.image), told(&of_file(&Opener::new(), &bytes)));
        let error = converted(&Opener::new(), &bytes, chunk).unwrap_err();
        assert_eq!((error.kind(), error.format_name()), (ErrorKind::Unsupported, Some(Format::new("tar"))));
    }
    let error = Opener::new().arriving(std::io::Cursor::new(bytes)).err().unwrap();
    assert_eq!(error.format_name(), Some(Format::new("tar")));
}

#[test]
fn an_ova_that_is_wanted_raw_is_its_own_bytes() {
    let bytes = ova(&[("disk.vmdk", &image("stream.vmdk"))]);
    let mut opener = Opener::new();
    opener.format = Some(Format::new("raw"));
    for stream in [bytes.clone(), gz(&bytes)] {
        let info = probe(&opener, &stream, 777).image.unwrap();
        assert_eq!((info.format.name(), info.virtual_size), ("raw", bytes.len() as u64));
        assert!(converted(&opener, &stream, 777).unwrap() == bytes);
    }
}

#[test]
fn an_ova_is_converted_in_one_pass_however_it_is_cut() {
    for (what, member, bytes) in archives() {
        let mut opener = wanting(member);
        let Ok(expected) = disk_of(&opener, &bytes) else { continue };
        opener.spool = Spool::Never;
        for chunk in CHUNKS {
            let disk = converted(&opener, &bytes, chunk).unwrap_or_else(|e| panic!("{what} by {chunk}: {e}"));
            assert!(disk == expected, "{what} by {chunk}");
        }
        assert!(converted(&opener, &gz(&bytes), 1000).unwrap() == expected, "{what} in gz");
        let arriving = opener.arriving(std::io::Cursor::new(bytes)).unwrap();
        assert!(arriving.streams(WriteOrder::Any), "{what}");
        let sink = MemorySink::new(64 << 20);
        convert_stream(arriving, Box::new(sink.clone()), &ConvertOptions::default(), &()).unwrap();
        assert!(sink.bytes() == expected, "{what} arriving");
    }
}

/// A VMDK of this layout.
fn vmdk(subformat: &str, disk: &[u8]) -> Vec<u8> {
    let file = MemorySink::new(8 << 20);
    let options = CreateOptions {
        virtual_size: disk.len() as u64,
        settings: Setting::parse_list(&format!("subformat={subformat}")).unwrap(),
        ..CreateOptions::default()
    };
    let sink = driver("vmdk").unwrap().create.unwrap()(Box::new(file.clone()), &options).unwrap();
    sink.write_at(0, disk).unwrap();
    sink.finish().unwrap();
    file.bytes()
}

#[test]
fn of_an_ova_that_has_to_be_kept_only_the_disk_is() {
    let disk = painted(3, 256 << 10);
    // Its tables say nothing of the order of its grains.
    let vmdk = vmdk("monolithicSparse", &disk);
    let bytes = ova(&[("a", &painted(0, 1 << 20)), ("disk.vmdk", &vmdk), ("b", &painted(0, 1 << 20))]);
    let mut opener = Opener::new();
    opener.spool = Spool::Temporary { directory: None, limit: vmdk.len() as u64 };
    for chunk in [511, 1 << 20] {
        assert!(converted(&opener, &bytes, chunk).unwrap() == disk, "{chunk}");
    }
    let arriving = opener.arriving(std::io::Cursor::new(bytes.clone())).unwrap();
    assert_eq!((arriving.member(), arriving.format().name()), (Some("disk.vmdk"), "vmdk"));
    let kept = arriving.into_disk(&opener, &()).unwrap();
    assert_eq!(kept.member(), Some("disk.vmdk"));
    assert!(read_all(&kept).unwrap() == disk);

    opener.spool = Spool::Never;
    assert_eq!(converted(&opener, &bytes, 4096).unwrap_err().kind(), ErrorKind::NeedsSeek);
}

/// A target in a folder that is otherwise empty.
fn target(folder: &Path) -> Target {
    let mut target = Target::file(folder.join("disk.raw"), driver("raw").unwrap().format);
    target.durable = false;
    target
}

#[test]
fn an_ova_with_two_disks_leaves_no_target_unless_one_is_named() {
    // Noise does not shrink: the first disk is on its way before the second comes.
    let mut numbers = Numbers::new(5);
    let disk: Vec<u8> = (0..1 << 20).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
    let vmdk = vmdk("streamOptimized", &disk);
    assert!(vmdk.len() > 1 << 20);
    let bytes = ova(&[("one.vmdk", &vmdk), ("two.vmdk", &vmdk), ("three.vmdk", &vmdk)]);
    let scratch = tempfile::tempdir().unwrap();
    let is_empty = || std::fs::read_dir(scratch.path()).unwrap().next().is_none();
    for stream in [bytes.clone(), gz(&bytes)] {
        let arriving = Opener::new().arriving(std::io::Cursor::new(stream.clone())).unwrap();
        let sink = target(scratch.path()).create(None).unwrap();
        let error = convert_stream(arriving, sink, &ConvertOptions::default(), &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("one.vmdk, two.vmdk"), "{error}");
        assert!(is_empty());

        let arriving = Opener::new().arriving(std::io::Cursor::new(stream.clone())).unwrap();
        let error = arriving.into_disk(&Opener::new(), &()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);

        for chunk in CHUNKS {
            let sink = target(scratch.path()).create(None).unwrap();
            let mut conversion = StreamConvert::new(&Opener::new(), sink);
            let pushed = stream.chunks(chunk).try_for_each(|chunk| conversion.push(chunk));
            assert_eq!(pushed.unwrap_err().to_string(), error.to_string(), "by {chunk}");
            assert_eq!(conversion.finish(&()).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert!(is_empty(), "by {chunk}");
        }
    }
    let opener = wanting(Some("two.vmdk"));
    let arriving = opener.arriving(std::io::Cursor::new(bytes)).unwrap();
    convert_stream(arriving, target(scratch.path()).create(None).unwrap(), &ConvertOptions::default(), &())
        .unwrap();
    assert!(std::fs::read(scratch.path().join("disk.raw")).unwrap() == disk);
}

#[test]
fn a_compressed_ova_is_opened_and_converted_as_the_disk_in_it() {
    let bytes = ova(&[("disk.vmdk", &image("stream.vmdk"))]);
    let expected = disk_of(&Opener::new(), &bytes).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("box.ova.gz");
    std::fs::write(&path, gz(&bytes)).unwrap();
    let opener = Opener::new();
    let disk = opener.open(&path).unwrap();
    assert_eq!((disk.member(), disk.wrapper()), (Some("disk.vmdk"), Some(Wrapper::Gzip)));
    assert!(read_all(&disk).unwrap() == expected);
    let inspection = opener.inspect(&path).unwrap();
    assert_eq!(inspection.info, of_file(&opener, &bytes).unwrap());
    assert_eq!(inspection.wrapper, Some(Wrapper::Gzip));
    let Input::Arriving(arriving) = opener.input(&path).unwrap() else { panic!("it is compressed") };
    let sink = MemorySink::new(64 << 20);
    convert_stream(arriving, Box::new(sink.clone()), &ConvertOptions::default(), &()).unwrap();
    assert!(sink.bytes() == expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_cuts_tell_the_same_as_the_file(
        archive in 0_usize..17,
        damage in proptest::collection::vec((0_usize..8192, any::<u8>()), 0..3),
        wrapped in any::<bool>(),
        sizes in proptest::collection::vec(1_usize..100_000, 1..20),
    ) {
        let (_, member, mut bytes) = archives().swap_remove(archive);
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let opener = wanting(member);
        let expected = told(&of_file(&opener, &bytes));
        let stream = if wrapped { gz(&bytes) } else { bytes };
        let mut prober = Prober::with(&opener);
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            prober.push(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(told(&prober.finish().image), expected);
    }
}
