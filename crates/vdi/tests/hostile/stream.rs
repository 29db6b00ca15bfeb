//! Streamed images.

use std::ops::Range;
use std::sync::Mutex;

use diskimg_core::conformance::{Numbers, painted};
use diskimg_core::{
    BlockSink, BlockSource, Error, ErrorKind, Limits, MemorySink, Result, SinkProperties, StreamDecoder,
    WriteOrder,
};
use diskimg_vdi::DRIVER;
use proptest::prelude::*;

use crate::image::*;

fn decoder(limits: &Limits) -> Box<dyn StreamDecoder> {
    (DRIVER.stream.unwrap())(limits).unwrap()
}

fn decode_into(image: &[u8], chunk: usize, sink: &dyn BlockSink) -> Result<u64> {
    let mut decoder = decoder(&Limits::default());
    for piece in image.chunks(chunk) {
        decoder.push(piece, sink)?;
    }
    decoder.finish(sink)
}

/// A sink that accepts only ascending offsets and whole units.
struct Ascending(Mutex<Vec<u8>>, u64);

impl Ascending {
    fn new(granularity: u64) -> Self {
        Self(Mutex::default(), granularity)
    }

    fn append(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut bytes = self.0.lock().unwrap();
        assert!(offset >= bytes.len() as u64, "{offset} follows {}", bytes.len());
        assert_eq!(offset % self.1, 0, "whole units only");
        bytes.resize(offset as usize, 0);
        bytes.extend(data);
        Ok(())
    }
}

impl BlockSink for Ascending {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.append(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.append(range.start, &vec![0; (range.end - range.start) as usize])
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties { order: WriteOrder::Ascending, granularity: self.1, ..SinkProperties::default() }
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A sink that does not start as zeros.
fn dirty() -> MemorySink {
    let sink = MemorySink::new(2 * SIZE);
    sink.write_at(0, &vec![0xDD; SIZE as usize]).unwrap();
    sink
}

#[track_caller]
fn same(got: &[u8], want: &[u8]) {
    assert_eq!(got.len(), want.len());
    assert_eq!(got.iter().zip(want).position(|(a, b)| a != b), None, "first different guest byte");
}

fn guest(image: &Image) -> Vec<u8> {
    let disk = image.open().unwrap();
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

/// An image of data, zero and free blocks. File blocks are in guest order, one of them unused.
fn ascending(extra: u32) -> Image {
    let mut image = Image::with_extra(extra);
    image.entry(1, ZERO);
    image.add(&[0xCC; BLOCK as usize]);
    for block in [2, 3, 7, 8, 100, 101, 102, 255] {
        let mut bytes = painted(u64::from(block) * 7, BLOCK as usize);
        if block % 2 == 0 {
            bytes.fill(0);
        }
        image.block(block, &bytes);
    }
    image.bytes.extend([0xCC; 5000]);
    image
}

/// An image whose file blocks are in random order.
fn shuffled(extra: u32) -> Image {
    let mut image = Image::with_extra(extra);
    let mut blocks: Vec<u32> = (1..BLOCKS).collect();
    let mut numbers = Numbers::new(3);
    for i in (1..blocks.len()).rev() {
        blocks.swap(i, numbers.below(i as u64 + 1) as usize);
    }
    for block in &blocks[..150] {
        image.block(*block, &painted(u64::from(*block) * 7, BLOCK as usize));
    }
    image.entry(blocks[200], ZERO);
    image
}

fn all() -> Vec<Image> {
    let odd = ascending(0).with(|image| image.u64(DISK, SIZE - 1000));
    let early = ascending(0).with(|image| image.u64(DISK, 101 * BLOCK + 5));
    let v0 = Image::v0().with(|image| {
        let index = image.add(&painted(9, BLOCK as usize));
        image.entry(200, index);
    });
    let mut all: Vec<Image> =
        [0, 4, 512].into_iter().flat_map(|extra| [ascending(extra), shuffled(extra)]).collect();
    all.extend([odd, early, v0, Image::fixed(), Image::new()]);
    all
}

#[test]
fn stream_decodes_to_the_bytes_of_the_reader_in_chunks_of_any_size() {
    for image in all() {
        let want = guest(&image);
        for chunk in [1, 511, 512, 513, 4096, 70_000, 1 << 20, usize::MAX] {
            let sink = MemorySink::new(2 * SIZE);
            sink.write_at(0, &vec![0xDD; want.len()]).unwrap();
            assert_eq!(decode_into(&image.bytes, chunk, &sink).unwrap(), want.len() as u64);
            same(&sink.bytes(), &want);
        }
    }
}

#[test]
fn ascending_sink_gets_whole_units_in_order() {
    for image in [ascending(0), ascending(512), Image::fixed(), Image::v0(), Image::new()] {
        for unit in [1, 512, 4096, 65_536, 1 << 20] {
            for chunk in [997, 1 << 20] {
                let sink = Ascending::new(unit);
                decode_into(&image.bytes, chunk, &sink).unwrap();
                same(&sink.0.into_inner().unwrap(), &guest(&image));
            }
        }
    }
}

#[test]
fn ascending_sink_needs_an_ascending_map() {
    let sink = Ascending::new(1);
    let error = decode_into(&shuffled(0).bytes, 4096, &sink).unwrap_err();
    assert_error(&error, ErrorKind::NeedsSeek, None, None);
    assert!(sink.0.lock().unwrap().is_empty(), "nothing was written");
}

#[test]
fn stream_that_ends_before_its_last_block_is_truncated() {
    for image in [Image::new(), Image::v0(), ascending(0), shuffled(512)] {
        let blocks_end = image.checked().image_end.unwrap() as usize;
        let lengths = (0..blocks_end).step_by(1009).chain([71, 72, 419, 455, 456, blocks_end - 1]);
        for len in lengths {
            let error = decode_into(&image.bytes[..len], 4096, &dirty()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{len} bytes: {error}");
        }
        assert!(decode_into(&image.bytes[..blocks_end], 4096, &dirty()).is_ok());
    }
}

#[test]
fn last_block_may_end_with_the_disk() {
    let mut image = Image::new();
    image.u64(DISK, SIZE - BLOCK + 1000);
    image.block(BLOCKS - 1, &painted(5, 1000));
    let sink = MemorySink::new(SIZE);
    decode_into(&image.bytes, 4096, &sink).unwrap();
    same(&sink.bytes(), &guest(&image));
    image.bytes.pop();
    let error = decode_into(&image.bytes, 4096, &sink).unwrap_err();
    assert_error(&error, ErrorKind::Truncated, Some(DATA + BLOCK), Some(SIZE - BLOCK));
}

#[test]
fn empty_disk_ends_with_its_header() {
    let image = Image::new().with(|image| {
        image.u64(DISK, 0);
        image.u32(COUNT, 0);
        image.bytes.truncate(512);
    });
    assert_eq!(decode_into(&image.bytes, 100, &MemorySink::new(0)).unwrap(), 0);
    let error = decode_into(&image.bytes[..500], 100, &MemorySink::new(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

fn refused(image: &Image, limits: &Limits) -> Error {
    let mut decoder = decoder(limits);
    let sink = dirty();
    let error = decoder.push(&image.bytes, &sink).unwrap_err();
    assert!(decoder.push(&image.bytes, &sink).is_err(), "no input is accepted after an error");
    assert!(decoder.finish(&sink).is_err());
    assert_eq!(sink.bytes()[0], 0xDD, "nothing was written");
    error
}

#[test]
fn stream_with_a_parent_is_denied() {
    let image = Image::new().with(|image| image.u32(TYPE, 4));
    assert_error(&refused(&image, &Limits::default()), ErrorKind::Denied, Some(424), None);
}

#[test]
fn invalid_entries_are_corrupt_before_a_block_is_written() {
    for entry in [BLOCKS, 0xFFFF_FFFD] {
        let image = Image::new().with(|image| image.entry(9, entry));
        let error = refused(&image, &Limits::default());
        assert_error(&error, ErrorKind::Corrupt, Some(image.entry_at(9)), Some(9 * BLOCK));
    }
}

#[test]
fn block_used_several_times_is_written_for_each() {
    let twice = Image::new().with(|image| image.entry(1, 0));
    let all = Image::new().with(|image| (0..BLOCKS).for_each(|block| image.entry(block, 0)));
    let among_others = shuffled(512).with(|image| {
        for (block, index) in [(0, 7), (3, 7), (BLOCKS - 1, 149), (4, 149), (5, 7)] {
            image.entry(block, index);
        }
    });
    let clipped = twice.clone().with(|image| image.u64(DISK, BLOCK + 1000));
    for image in [twice, all, among_others, clipped] {
        let want = guest(&image);
        for chunk in [1, 1000, 1 << 20] {
            let sink = dirty();
            assert_eq!(decode_into(&image.bytes, chunk, &sink).unwrap(), want.len() as u64);
            same(&sink.bytes()[..want.len()], &want);
        }
        let ascending = Ascending::new(1);
        let error = decode_into(&image.bytes, 4096, &ascending).unwrap_err();
        assert_error(&error, ErrorKind::NeedsSeek, None, None);
    }
}

#[test]
fn header_errors_of_a_stream_are_those_of_a_file() {
    for (at, value) in [(68, 0x0002_0000), (TYPE, 5), (BLOCK_SIZE, 3), (DATA_OFFSET, 512), (FLAGS, 2)] {
        let image = Image::new().with(|image| image.u32(at, value));
        let error = refused(&image, &Limits::default());
        assert_eq!(error.to_string(), image.refused().to_string());
    }
}

#[test]
fn map_past_its_limit_needs_seeking_and_is_refused_by_the_header() {
    let limits = Limits { metadata_cache: 4 * u64::from(BLOCKS) - 1, ..Limits::default() };
    for image in [Image::fixed(), Image::fixed().with(|image| image.u32(ALLOCATED, u32::MAX))] {
        assert_error(&refused(&image, &limits), ErrorKind::NeedsSeek, Some(ALLOCATED), None);
        let error = decoder(&limits).push(&image.bytes[..456], &dirty()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsSeek, "{error}");
    }
    let small = Limits { virtual_size: SIZE - 1, ..Limits::default() };
    assert_error(&refused(&Image::new(), &small), ErrorKind::Limit, Some(DISK), None);
}

#[test]
fn map_within_its_limit_is_decoded_in_any_order() {
    let limits = Limits { metadata_cache: 4 * 151, ..Limits::default() };
    for image in [Image::new(), ascending(0), shuffled(0)] {
        let sink = dirty();
        let mut decoder = decoder(&limits);
        decoder.push(&image.bytes, &sink).unwrap();
        decoder.finish(&sink).unwrap();
        same(&sink.bytes(), &guest(&image));
    }
}

#[test]
fn map_with_more_blocks_than_its_header_counts_respects_its_limit() {
    let limits = Limits { metadata_cache: 4 * u64::from(BLOCKS) - 1, ..Limits::default() };
    let image = Image::fixed().with(|image| image.u32(ALLOCATED, 3));
    assert_error(&refused(&image, &limits), ErrorKind::NeedsSeek, None, None);
    let shared = Image::new().with(|image| (0..BLOCKS).for_each(|block| image.entry(block, 0)));
    let limits = Limits { metadata_cache: 4 + 8 * 200, ..Limits::default() };
    let error = decoder(&limits).push(&shared.bytes, &dirty()).unwrap_err();
    assert_error(&error, ErrorKind::NeedsSeek, None, None);
}

#[test]
fn failing_sink_ends_the_stream() {
    let image = Image::fixed();
    let sink = MemorySink::new(10 * BLOCK);
    let error = decode_into(&image.bytes, 4096, &sink).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_order_of_blocks_decodes_to_the_bytes_of_the_reader(
        blocks in proptest::sample::subsequence((1..BLOCKS).collect::<Vec<_>>(), 0..60).prop_shuffle(),
        pieces in proptest::collection::vec(1_usize..20_000, 1..8),
        extra in prop_oneof![Just(0_u32), Just(2), Just(512)],
        unit in 0_u32..18,
    ) {
        let mut image = Image::with_extra(extra);
        for block in &blocks {
            image.block(*block, &painted(u64::from(*block) * 7, BLOCK as usize));
        }
        let sorted = blocks.is_sorted();
        let ascending = Ascending::new(1 << unit);
        let sink = dirty();
        let targets: [&dyn BlockSink; 2] = [&sink, &ascending];
        for target in &targets[..1 + usize::from(sorted)] {
            let mut decoder = decoder(&Limits::default());
            let mut rest = &image.bytes[..];
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                decoder.push(now, *target).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            decoder.finish(*target).unwrap();
        }
        prop_assert!(sink.bytes() == guest(&image));
        if sorted {
            prop_assert!(*ascending.0.lock().unwrap() == guest(&image));
        }
    }
}

#[test]
fn map_entry_past_the_end_of_the_disk_is_ignored_as_in_a_file() {
    for entry in [BLOCKS + 7, 0, 1, BLOCKS - 1] {
        let image = Image::new().with(|image| {
            image.block(5, &painted(9, BLOCK as usize));
            image.u64(DISK, SIZE - BLOCK - 512);
            image.entry(BLOCKS - 1, entry);
        });
        let size = (SIZE - BLOCK - 512) as usize;
        let mut file = vec![0xA5; size];
        image.open().unwrap().read_at(0, &mut file).unwrap();
        let sink = MemorySink::new(SIZE);
        assert_eq!(decode_into(&image.bytes, 1000, &sink).unwrap(), size as u64, "{entry}");
        assert!(sink.bytes() == file, "{entry}");
        let ascending = Ascending::new(512);
        assert_eq!(decode_into(&image.bytes, 1000, &ascending).unwrap(), size as u64, "{entry}");
        assert!(ascending.0.into_inner().unwrap() == file, "{entry}");
    }
}
