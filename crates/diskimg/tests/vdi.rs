//! VDI images as files and streams, damaged, and as parents found by their UUID.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use common::read_all;
use diskimg::core::SinkProperties;
use diskimg::{
    BlockSink, BlockSource, Converted, Error, ErrorKind, Format, Memory, MemorySink, Opener, Result, Setting,
    Spool, StreamConvert, Target, WithinDirectory, convert,
};
use diskimg_core::conformance::painted;

const BLOCK: usize = 512;
/// Fields of a version 1 header.
const TYPE: usize = 76;
const MAP_OFFSET: usize = 340;
const DATA_OFFSET: usize = 344;
const SECTOR: usize = 360;
const SIZE: usize = 368;
const COUNT: usize = 384;
const ALLOCATED: usize = 388;

/// A VDI of these bytes, empty if they are zeros.
fn vdi(disk: &[u8], settings: &str) -> Vec<u8> {
    let file = MemorySink::new(256 << 20);
    let mut target = Target::sink(Box::new(file.clone()), Format::new("vdi"));
    target.settings = Setting::parse_list(settings).unwrap();
    let sink = target.create(Some(disk.len() as u64)).unwrap();
    if disk.iter().any(|byte| *byte != 0) {
        sink.write_at(0, disk).unwrap();
    }
    sink.finish().unwrap();
    file.bytes()
}

fn number(image: &[u8], at: usize) -> usize {
    u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize
}

fn put(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_entry(image: &mut [u8], block: usize, value: u32) {
    let map = number(image, MAP_OFFSET);
    put(image, map + 4 * block, value);
}

/// Converts an image that is pushed.
fn streamed(opener: &Opener, image: &[u8]) -> Result<Vec<u8>> {
    let sink = MemorySink::new(8 << 20);
    streamed_into(Box::new(sink.clone()), opener, image).map(|_| sink.bytes())
}

fn streamed_into(sink: Box<dyn BlockSink>, opener: &Opener, image: &[u8]) -> Result<Converted> {
    let mut conversion = StreamConvert::new(opener, sink);
    for piece in image.chunks(100_000) {
        conversion.push(piece)?;
    }
    conversion.finish(&())
}

/// A sink that discards everything.
struct Nothing;

impl BlockSink for Nothing {
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn zero(&self, _: Range<u64>) -> Result<()> {
        Ok(())
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn without_files(opener: &Opener) -> Opener {
    let mut opener = opener.clone();
    opener.spool = Spool::Never;
    opener
}

#[test]
fn stream_with_a_map_over_the_limit_is_spooled_if_allowed() {
    let blocks = 3000;
    let disk = painted(3, blocks * BLOCK);
    let ascending = vdi(&disk, "block_size=512");
    let mut swapped = ascending.clone();
    put_entry(&mut swapped, 7, 8);
    put_entry(&mut swapped, 8, 7);
    let mut opener = Opener::new();
    opener.limits.metadata_cache = 4 * blocks as u64;
    for image in [&ascending, &swapped] {
        let want = read_all(&opener.open_source(Arc::new(Memory::new(image.clone()))).unwrap()).unwrap();
        let input = |opener: &Opener| opener.stream(std::io::Cursor::new(image.clone())).unwrap();
        assert!(input(&opener).streams(diskimg::core::WriteOrder::Any), "a map that fits needs no file");
        assert!(streamed(&without_files(&opener), image).unwrap() == want);

        let mut tight = opener.clone();
        tight.limits.metadata_cache -= 1;
        assert!(!input(&tight).streams(diskimg::core::WriteOrder::Any));
        assert!(streamed(&tight, image).unwrap() == want);
        let error = streamed(&without_files(&tight), image).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsSeek, "{error}");
    }
}

/// A disk over four TiB with blocks of 1 MiB. Only the first is allocated, but the header counts all.
#[test]
fn stream_over_four_tib_with_all_blocks_counted_is_spooled() {
    let mut image = vdi(&[7; 1 << 20], "block_size=1M");
    let (map, data) = (number(&image, MAP_OFFSET), number(&image, DATA_OFFSET));
    let blocks = (4 << 20) + 1;
    let first = image.split_off(data);
    image.truncate(map + 4);
    image.resize(map + 4 * blocks, 0xFF);
    image.resize(image.len().next_multiple_of(512), 0);
    let count = u32::try_from(blocks).unwrap();
    let end = u32::try_from(image.len()).unwrap();
    for (at, value) in [(COUNT, count), (ALLOCATED, count), (DATA_OFFSET, end)] {
        put(&mut image, at, value);
    }
    image[SIZE..SIZE + 8].copy_from_slice(&((blocks as u64) << 20).to_le_bytes());
    image.extend(first);
    let done = streamed_into(Box::new(Nothing), &Opener::new(), &image).unwrap();
    assert_eq!((done.virtual_size, done.written), ((blocks as u64) << 20, 1 << 20));
    let error = streamed_into(Box::new(Nothing), &without_files(&Opener::new()), &image).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsSeek, "{error}");
}

#[test]
fn block_used_twice_reads_the_same_in_every_way_and_fails_its_check() {
    let disk = painted(3, 100 * BLOCK);
    let mut image = vdi(&disk, "block_size=512");
    put_entry(&mut image, 9, 2);
    let mut want = disk;
    want.copy_within(2 * BLOCK..3 * BLOCK, 9 * BLOCK);

    let source: Arc<dyn BlockSource> = Arc::new(Memory::new(image.clone()));
    let of_file = MemorySink::new(1 << 20);
    let opened = Opener::new().open_source(Arc::clone(&source)).unwrap();
    convert(&opened, Box::new(of_file.clone()), &diskimg::ConvertOptions::default(), &()).unwrap();
    assert!(of_file.bytes() == want);
    assert!(streamed(&without_files(&Opener::new()), &image).unwrap() == want);
    let input = Opener::new().stream(std::io::Cursor::new(image)).unwrap();
    assert!(read_all(&input.into_disk(&()).unwrap()).unwrap() == want);

    let report = Opener::new().check_source(source).unwrap().report;
    assert_eq!((report.corruptions, report.leaks), (1, 1), "{report:?}");
}

#[test]
fn damaged_header_without_its_text_is_never_a_raw_disk() {
    let mut raw = Opener::new();
    raw.allow_raw = true;
    for (at, value) in [(TYPE, 9), (SECTOR, 0), (ALLOCATED - 12, 3), (68, 0x7777_7777)] {
        let mut image = vdi(&painted(3, 300_000), "");
        image[..64].fill(0);
        put(&mut image, at, value);
        let refused = |error: Error| {
            assert_eq!(error.format_name(), Some(Format::new("vdi")), "{error}");
            assert_eq!(error.offset(), Some(at as u64), "{error}");
        };
        refused(raw.open_source(Arc::new(Memory::new(image.clone()))).err().unwrap());
        refused(streamed(&raw, &image).unwrap_err());
        // A boot sector may contain any four bytes.
        image[510..512].copy_from_slice(&[0x55, 0xAA]);
        let disk = raw.open_source(Arc::new(Memory::new(image.clone()))).unwrap();
        assert_eq!(disk.size(), image.len() as u64);
    }
}

/// An empty child, and parents with the UUID of its parent.
fn family(directory: &Path, parents: &[&str]) -> Opener {
    let uuids = "uuid=11111111-1111-1111-1111-111111111111,uuid_modify=22222222-2222-2222-2222-222222222222";
    let parent = vdi(&painted(3, 2 << 20), uuids);
    for name in parents {
        std::fs::write(directory.join(name), &parent).unwrap();
    }
    let mut child = vdi(&[0; 2 << 20], "");
    put(&mut child, TYPE, 4);
    put_entry(&mut child, 0, u32::MAX);
    put_entry(&mut child, 1, u32::MAX);
    child[424..440].fill(0x11);
    child[440..456].fill(0x22);
    std::fs::write(directory.join("child.vdi"), child).unwrap();
    let mut opener = Opener::new();
    opener.resolver = Arc::new(WithinDirectory::new(directory).unwrap());
    opener
}

#[test]
fn two_files_with_the_uuid_of_the_parent_are_ambiguous() {
    let scratch = tempfile::tempdir().unwrap();
    let opener = family(scratch.path(), &["base.vdi", "copy\n\u{1b}[2J.vdi"]);
    let error = opener.open(scratch.path().join("child.vdi")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Ambiguous, "{error}");
    let message = error.to_string();
    assert!(message.contains(r#""base.vdi" and "copy\n\u{1b}[2J.vdi""#), "{message}");
    assert!(!message.contains(char::is_control), "{message}");
    // A parent that the caller passes is used.
    let mut given = opener.clone();
    given.parents = vec![diskimg::ParentFile::open(&scratch.path().join("base.vdi")).unwrap()];
    let disk = given.open(scratch.path().join("child.vdi")).unwrap();
    assert!(read_all(&disk).unwrap() == painted(3, 2 << 20));
}

#[cfg(unix)]
#[test]
fn hard_link_to_the_parent_is_the_same_parent() {
    let scratch = tempfile::tempdir().unwrap();
    let opener = family(scratch.path(), &["base.vdi"]);
    std::fs::hard_link(scratch.path().join("base.vdi"), scratch.path().join("hard.vdi")).unwrap();
    std::os::unix::fs::symlink("base.vdi", scratch.path().join("soft.vdi")).unwrap();
    let disk = opener.open(scratch.path().join("child.vdi")).unwrap();
    assert!(read_all(&disk).unwrap() == painted(3, 2 << 20));
}
