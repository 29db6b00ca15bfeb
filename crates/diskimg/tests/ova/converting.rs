//! Converting a streamed OVA.

use std::path::Path;

use diskimg::core::{CreateOptions, WriteOrder};
use diskimg::{
    ConvertOptions, ErrorKind, Format, Input, MemorySink, Opener, Result, Setting, Spool, StreamConvert,
    Target, Wrapper, driver,
};
use diskimg_core::conformance::{Numbers, painted};
use proptest::prelude::*;

use crate::common::{convert_stream, ova, read_all};
use crate::{CHUNKS, archives, converted, disk_of, gz, image, of_file, requesting};

#[test]
fn streamed_ova_converts_in_one_pass_for_any_split() {
    for (what, member, bytes) in archives() {
        let mut opener = requesting(member);
        let Ok(expected) = disk_of(&opener, &bytes) else { continue };
        opener.spool = Spool::Never;
        for chunk in CHUNKS {
            let disk = converted(&opener, &bytes, chunk).unwrap_or_else(|e| panic!("{what} by {chunk}: {e}"));
            assert!(disk == expected, "{what} by {chunk}");
        }
        assert!(converted(&opener, &gz(&bytes), 1000).unwrap() == expected, "{what} in gz");
        let input = opener.stream(std::io::Cursor::new(bytes)).unwrap();
        assert!(input.streams(WriteOrder::Any), "{what}");
        let sink = MemorySink::new(64 << 20);
        convert_stream(input, Box::new(sink.clone()), &ConvertOptions::default(), &()).unwrap();
        assert!(sink.bytes() == expected, "{what} input");
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
fn only_the_disk_of_an_ova_is_spooled() {
    let disk = painted(3, 256 << 10);
    // Its grains have no order.
    let vmdk = vmdk("monolithicSparse", &disk);
    let bytes = ova(&[("a", &painted(0, 1 << 20)), ("disk.vmdk", &vmdk), ("b", &painted(0, 1 << 20))]);
    let mut opener = Opener::new();
    opener.spool = Spool::Temporary { directory: None, limit: vmdk.len() as u64 };
    for chunk in [511, 1 << 20] {
        assert!(converted(&opener, &bytes, chunk).unwrap() == disk, "{chunk}");
    }
    let input = opener.stream(std::io::Cursor::new(bytes.clone())).unwrap();
    assert_eq!((input.member(), input.format().name()), (Some("disk.vmdk"), "vmdk"));
    let spooled = input.into_disk(&()).unwrap();
    assert_eq!(spooled.member(), Some("disk.vmdk"));
    assert!(read_all(&spooled).unwrap() == disk);

    opener.spool = Spool::Never;
    assert_eq!(converted(&opener, &bytes, 4096).unwrap_err().kind(), ErrorKind::NeedsSeek);
}

/// A target in an empty directory.
fn target(directory: &Path) -> Target {
    let mut target = Target::file(directory.join("disk.raw"), driver("raw").unwrap().format);
    target.durable = false;
    target
}

#[test]
fn ova_with_two_disks_creates_no_target_unless_one_is_named() {
    // Noise does not shrink, so that the first disk is converted before the second is read.
    let mut numbers = Numbers::new(5);
    let disk: Vec<u8> = (0..1 << 20).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
    let vmdk = vmdk("streamOptimized", &disk);
    assert!(vmdk.len() > 1 << 20);
    let bytes = ova(&[("one.vmdk", &vmdk), ("two.vmdk", &vmdk), ("three.vmdk", &vmdk)]);
    let scratch = tempfile::tempdir().unwrap();
    let is_empty = || std::fs::read_dir(scratch.path()).unwrap().next().is_none();
    for stream in [bytes.clone(), gz(&bytes)] {
        let input = Opener::new().stream(std::io::Cursor::new(stream.clone())).unwrap();
        let sink = target(scratch.path()).create(None).unwrap();
        let error = convert_stream(input, sink, &ConvertOptions::default(), &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("one.vmdk, two.vmdk"), "{error}");
        assert!(is_empty());

        let input = Opener::new().stream(std::io::Cursor::new(stream.clone())).unwrap();
        let error = input.into_disk(&()).err().unwrap();
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
    let opener = requesting(Some("two.vmdk"));
    let input = opener.stream(std::io::Cursor::new(bytes)).unwrap();
    convert_stream(input, target(scratch.path()).create(None).unwrap(), &ConvertOptions::default(), &())
        .unwrap();
    assert!(std::fs::read(scratch.path().join("disk.raw")).unwrap() == disk);
}

#[test]
fn compressed_ova_opens_and_converts_as_its_disk() {
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
    let Input::Stream(input) = opener.input(&path).unwrap() else { panic!("it is compressed") };
    let sink = MemorySink::new(64 << 20);
    convert_stream(input, Box::new(sink.clone()), &ConvertOptions::default(), &()).unwrap();
    assert!(sink.bytes() == expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damaged_streamed_ova_is_refused_or_converts_like_its_file(
        archive in 0_usize..19,
        damage in proptest::collection::vec((0_usize..8192, any::<u8>()), 1..4),
        chunk in 1_usize..5000,
    ) {
        let (_, member, mut bytes) = archives().swap_remove(archive);
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let mut opener = requesting(member);
        opener.limits.virtual_size = 16 << 20;
        opener.spool = Spool::Never;
        let pieces = converted(&opener, &bytes, chunk);
        let whole = converted(&opener, &bytes, usize::MAX);
        let text = |result: &Result<Vec<u8>>| result.as_ref().err().map(ToString::to_string);
        prop_assert_eq!(text(&pieces), text(&whole));
        match (pieces, disk_of(&opener, &bytes)) {
            (Ok(disk), Ok(expected)) => prop_assert!(disk == expected && whole.unwrap() == expected),
            // A VMDK that is read by its tables does not show damage between the grains.
            (Err(error), Ok(_)) => prop_assert!(
                error.format_name() == Some(Format::new("vmdk")) || error.kind() == ErrorKind::NeedsSeek,
                "{error}"
            ),
            // A compressed member is stored before it is read in any order.
            (Ok(_), Err(error)) => prop_assert!(
                error.kind() == ErrorKind::NeedsSeek,
                "only the file is refused: {error}"
            ),
            (Err(_), Err(_)) => {}
        }
    }
}
