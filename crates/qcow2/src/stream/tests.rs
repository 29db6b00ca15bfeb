//! A stream decodes to the bytes that the file has, or to an error.

use std::collections::BTreeSet;
use std::sync::Arc;

use diskimg_core::conformance::{Numbers, painted};
use diskimg_core::{
    BlockSink, BlockSource, CreateOptions, ErrorKind, Limits, Memory, MemorySink, OpenOptions, Result,
    Setting,
};
use proptest::prelude::*;

use super::spill::tests::SharedSpillFile;
use crate::DRIVER;
use crate::entry_bits::{COMPRESSED, COPIED};

/// The size limit of the sinks: larger than any disk of these tests.
const ROOM: u64 = 64 << 20;

/// Pushes an image in chunks and returns the disk.
fn streamed(
    image: &[u8],
    chunk: usize,
    limits: &Limits,
    spill_file: Option<SharedSpillFile>,
) -> Result<Vec<u8>> {
    let mut decoder = (DRIVER.stream.unwrap())(limits)?;
    if let Some(file) = spill_file {
        decoder.use_spill_file(Box::new(file));
    }
    let sink = MemorySink::new(ROOM);
    for chunk in image.chunks(chunk) {
        decoder.push(chunk, &sink)?;
    }
    let size = decoder.finish(&sink)?;
    let disk = sink.bytes();
    assert_eq!(disk.len() as u64, size, "every byte is written or zeroed");
    Ok(disk)
}

/// Reads the whole disk from the file.
fn read(image: &[u8]) -> Result<Vec<u8>> {
    let source = (DRIVER.open)(Arc::new(Memory::new(image.to_vec())), &OpenOptions::default())?;
    let mut disk = vec![0xA5; usize::try_from(source.size()).unwrap()];
    source.read_at(0, &mut disk)?;
    Ok(disk)
}

fn limits(metadata_cache: u64) -> Limits {
    Limits { metadata_cache, ..Limits::default() }
}

/// A disk of text, noise, zeros and paint.
fn mixed(len: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(len as u64);
    let mut disk = Vec::with_capacity(len);
    while disk.len() < len {
        let piece = usize::try_from(1 + numbers.below(90_000)).unwrap();
        match numbers.below(4) {
            0 => disk.resize(disk.len() + piece, 0),
            1 => disk.extend((0..piece).map(|_| u8::try_from(numbers.below(256)).unwrap())),
            2 => disk.extend(b"so it goes ".iter().cycle().take(piece)),
            _ => disk.extend(painted(disk.len() as u64, piece)),
        }
    }
    disk.truncate(len);
    disk
}

/// An image made by the writer of this crate.
fn written(disk: &[u8], compress: bool, settings: &str) -> Vec<u8> {
    let options = CreateOptions {
        virtual_size: disk.len() as u64,
        compress,
        settings: Setting::parse_list(settings).unwrap(),
        ..CreateOptions::default()
    };
    let file = MemorySink::new(ROOM);
    let sink = (DRIVER.create.unwrap())(Box::new(file.clone()), &options).unwrap();
    let cluster = usize::try_from(sink.properties().granularity).unwrap();
    for (index, piece) in disk.chunks(cluster).enumerate() {
        sink.write_at((index * cluster) as u64, piece).unwrap();
    }
    sink.finish().unwrap();
    file.bytes()
}

#[test]
fn images_of_the_writer_are_decoded_in_little_memory() {
    let disk = mixed(3 << 20);
    let forms = [
        "cluster_size=512",
        "cluster_size=4k,compat=v2",
        "cluster_size=64k",
        "cluster_size=2M",
        "cluster_size=4k,compression_type=zstd",
        "cluster_size=16k,extended_l2=on",
    ];
    for settings in forms {
        for compress in [false, true] {
            let image = written(&disk, compress, settings);
            for chunk in [1, 511, 512, 513, 64 << 10, 1 << 20, usize::MAX] {
                // Single bytes take long; one form is enough.
                if chunk == 1 && settings != "cluster_size=4k,compat=v2" {
                    continue;
                }
                let found = streamed(&image, chunk, &limits(256 << 10), None);
                assert!(found.unwrap() == disk, "{settings}, compress {compress}, by {chunk}");
            }
        }
    }
}

/// A version 3 image with clusters of 4 KiB, laid out by the test.
struct ImageBuilder {
    bytes: Vec<u8>,
}

const BYTES: usize = 4096;
const CLUSTER: u64 = BYTES as u64;

impl ImageBuilder {
    fn new(size: u64, clusters: u64, l1: u64) -> Self {
        let mut layout = Self { bytes: vec![0; usize::try_from(clusters * CLUSTER).unwrap()] };
        layout.put(0, b"QFI\xfb\0\0\0\x03");
        let l1_entries = u32::try_from(size.div_ceil(2 << 20)).unwrap();
        for (at, value) in [(20, 12), (36, l1_entries), (56, 1), (96, 4), (100, 104)] {
            layout.put(at, &u32::to_be_bytes(value));
        }
        layout.word(24, size);
        layout.word(40, l1 * CLUSTER);
        layout.word(48, CLUSTER);
        layout
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes[usize::try_from(at).unwrap()..][..bytes.len()].copy_from_slice(bytes);
    }

    fn word(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_be_bytes());
    }

    /// Fills a cluster with data and refers to it in an L2 table.
    fn data(&mut self, table: u64, index: u64, cluster: u64) {
        self.put(cluster * CLUSTER, &painted(cluster * 7, BYTES));
        self.word(table * CLUSTER + index * 8, COPIED | (cluster * CLUSTER));
    }
}

/// An image of two L2 tables with data before and after each. With `last`, the L1 table is at the end.
fn scattered(last: bool) -> Vec<u8> {
    let l1 = if last { 40 } else { 2 };
    let mut layout = ImageBuilder::new(4 << 20, 41, l1);
    layout.word(l1 * CLUSTER, COPIED | (10 * CLUSTER));
    layout.word(l1 * CLUSTER + 8, COPIED | (20 * CLUSTER));
    for (table, clusters) in [(10, [5, 6, 11, 30]), (20, [7, 15, 21, 31])] {
        for (index, cluster) in [0, 1, 100, 511].into_iter().zip(clusters) {
            layout.data(table, index, cluster);
        }
    }
    layout.bytes
}

#[test]
fn data_before_its_table_is_read_from_memory_or_the_temporary_file() {
    for image in [scattered(false), scattered(true)] {
        let disk = read(&image).unwrap();
        for chunk in [1000, usize::MAX] {
            assert!(streamed(&image, chunk, &Limits::default(), None).unwrap() == disk);
            // Memory for the tables, the claims and a cluster or two.
            let file = SharedSpillFile::default();
            assert!(streamed(&image, chunk, &limits(40 << 10), Some(file.clone())).unwrap() == disk);
            assert!(!file.0.lock().unwrap().is_empty());
        }
    }
}

#[test]
fn data_before_its_table_needs_seeking_without_temporary_file_and_memory() {
    for image in [scattered(false), scattered(true)] {
        let error = streamed(&image, 5000, &limits(16 << 10), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsSeek);
        assert!(error.remedy().is_some() && error.offset().is_some());
    }
}

#[test]
fn cluster_with_several_references_is_written_for_each() {
    let mut layout = ImageBuilder::new(4 << 20, 12, 2);
    layout.word(2 * CLUSTER, COPIED | (4 * CLUSTER));
    layout.word(2 * CLUSTER + 8, COPIED | (8 * CLUSTER));
    layout.data(4, 0, 6);
    // Without the flag for a refcount of one: three references from the first table, two from a later one.
    for at in [4 * CLUSTER, 4 * CLUSTER + 8, 4 * CLUSTER + 16, 8 * CLUSTER + 8, 8 * CLUSTER + 4088] {
        layout.word(at, 6 * CLUSTER);
    }
    let disk = read(&layout.bytes).unwrap();
    assert!(streamed(&layout.bytes, 100, &Limits::default(), None).unwrap() == disk);
}

#[test]
fn references_to_one_cluster_are_limited_by_memory() {
    let mut layout = ImageBuilder::new(2 << 20, 6, 2);
    layout.word(2 * CLUSTER, COPIED | (4 * CLUSTER));
    for index in 0..512 {
        layout.word(4 * CLUSTER + index * 8, 5 * CLUSTER);
    }
    assert!(streamed(&layout.bytes, 5000, &limits(1 << 20), None).is_ok());
    let error = streamed(&layout.bytes, 5000, &limits(16 << 10), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn table_with_more_references_than_memory_is_deferred_to_the_end() {
    // 1024 clusters after both tables, in an order in which no two form a run.
    let mut layout = ImageBuilder::new(4 << 20, 1032, 2);
    layout.word(2 * CLUSTER, COPIED | (4 * CLUSTER));
    layout.word(2 * CLUSTER + 8, COPIED | (5 * CLUSTER));
    for index in 0..1024 {
        layout.data(4 + index / 512, index % 512, 6 + index * 389 % 1024);
    }
    let disk = read(&layout.bytes).unwrap();
    assert!(streamed(&layout.bytes, 9000, &limits(1 << 20), None).unwrap() == disk);
    for memory in [20 << 10, 60 << 10] {
        let found = streamed(&layout.bytes, 9000, &limits(memory), Some(SharedSpillFile::default()));
        assert!(found.unwrap() == disk, "{memory}");
        let error = streamed(&layout.bytes, 9000, &limits(memory), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
    for len in [5 * CLUSTER + 100, 300 * CLUSTER, 1029 * CLUSTER] {
        let truncated = &layout.bytes[..usize::try_from(len).unwrap()];
        let error =
            streamed(truncated, 9000, &limits(20 << 10), Some(SharedSpillFile::default())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }
    // The last cluster may be truncated.
    let truncated = &layout.bytes[..usize::try_from(1029 * CLUSTER + 5).unwrap()];
    let found = streamed(truncated, 9000, &limits(20 << 10), Some(SharedSpillFile::default())).unwrap();
    assert!(found == read(truncated).unwrap());
}

#[test]
fn compressed_cluster_may_start_in_the_last_sector_of_another() {
    use diskimg_codec::cluster::Deflater;
    let compressed = |byte: u8| {
        let mut stream = vec![0; BYTES];
        let len = Deflater::new(None).unwrap().raw_deflate(&[byte; BYTES], &mut stream).unwrap();
        stream.truncate(len.unwrap());
        stream
    };
    let (first, second) = (compressed(1), compressed(2));
    let mut layout = ImageBuilder::new(4 << 20, 8, 2);
    layout.word(2 * CLUSTER, COPIED | (4 * CLUSTER));
    layout.word(2 * CLUSTER + 8, COPIED | (6 * CLUSTER));
    let end = 6 * CLUSTER;
    let at = end - 512;
    layout.put(at, &first);
    let next = at + first.len() as u64;
    layout.put(next, &second);
    assert!(next + (second.len() as u64) < end);
    layout.word(4 * CLUSTER, COMPRESSED | at);
    layout.word(6 * CLUSTER, COMPRESSED | next);
    let disk = read(&layout.bytes).unwrap();
    assert_eq!((disk[0], disk[2 << 20]), (1, 2));
    assert!(streamed(&layout.bytes, usize::MAX, &limits(16 << 10), None).unwrap() == disk);
}

#[test]
fn truncated_image_is_refused_where_the_reader_refuses_it() {
    let disk = mixed(100_000);
    let mut images = vec![scattered(false)[..45 * 1024].to_vec()];
    for (compress, settings) in [(false, "cluster_size=512"), (true, "cluster_size=1k")] {
        images.push(written(&disk, compress, settings));
    }
    for image in images {
        let lengths: BTreeSet<usize> = (0..image.len()).step_by(509).chain(0..120).collect();
        for len in lengths {
            let (file, stream) =
                (read(&image[..len]), streamed(&image[..len], 4096, &Limits::default(), None));
            match (file, stream) {
                (Ok(file), Ok(stream)) => assert!(file == stream, "{len} bytes"),
                (Err(file), Err(stream)) => {
                    assert_eq!(file.kind(), stream.kind(), "{len} bytes: {file}, {stream}");
                }
                (file, stream) => {
                    panic!("{len} bytes: {:?}, {:?}", file.map(|_| "whole"), stream.map(|_| "whole"))
                }
            }
        }
    }
}

#[test]
fn decoder_accepts_no_input_after_an_error_or_the_end() {
    let image = written(&mixed(10_000), false, "cluster_size=4k");
    let sink = MemorySink::new(ROOM);
    let mut decoder = (DRIVER.stream.unwrap())(&Limits::default()).unwrap();
    decoder.push(&image, &sink).unwrap();
    decoder.finish(&sink).unwrap();
    assert_eq!(decoder.push(&[0; 9000], &sink).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(decoder.finish(&sink).unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut failed = (DRIVER.stream.unwrap())(&Limits::default()).unwrap();
    assert_eq!(failed.push(&[0; 9000], &sink).unwrap_err().kind(), ErrorKind::UnknownFormat);
    assert_eq!(failed.push(&image, &sink).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn unallocated_ranges_are_zeroed() {
    // Like a device, this sink does not start as zeros.
    let mut layout = ImageBuilder::new((6 << 20) + 512, 8, 2);
    layout.word(2 * CLUSTER + 8, COPIED | (4 * CLUSTER));
    layout.data(4, 3, 6);
    layout.word(4 * CLUSTER + 32, (7 * CLUSTER) | 1);
    let sink = MemorySink::new(ROOM);
    sink.write_at(0, &vec![0xFF; (6 << 20) + 512]).unwrap();
    let mut decoder = (DRIVER.stream.unwrap())(&Limits::default()).unwrap();
    decoder.push(&layout.bytes, &sink).unwrap();
    assert_eq!(decoder.finish(&sink).unwrap(), (6 << 20) + 512);
    assert!(sink.bytes() == read(&layout.bytes).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn damaged_image_decodes_to_the_bytes_of_the_reader_or_an_error(
        damage in proptest::collection::vec((0_usize..12, 0_u64..512, 0_u64..42, any::<bool>()), 1..6),
        chunk in 1_usize..20_000,
        memory in 12_u64..22,
        has_file in any::<bool>(),
    ) {
        let mut image = scattered(damage.len() % 2 == 0);
        for (table, index, cluster, compressed) in damage {
            // Table entries that refer to some other cluster, perhaps a compressed one or one past the end.
            let table = [2, 10, 20, 40][table % 4] * CLUSTER;
            let flag = if compressed { COMPRESSED | 5 << 58 } else { COPIED };
            let at = usize::try_from(table + index % 16 * 8).unwrap();
            image[at..at + 8].copy_from_slice(&(flag | (cluster * CLUSTER)).to_be_bytes());
        }
        let file = has_file.then(SharedSpillFile::default);
        let stream = streamed(&image, chunk, &limits(1 << memory), file);
        match (stream, read(&image)) {
            (Ok(stream), Ok(file)) => prop_assert!(stream == file),
            (Ok(_), Err(error)) => prop_assert!(false, "the reader fails: {error}"),
            (Err(error), Ok(_)) => {
                prop_assert!(matches!(error.kind(), ErrorKind::NeedsSeek | ErrorKind::Limit), "{error}");
            }
            (Err(_), Err(_)) => {}
        }
    }
}

#[test]
fn refcount_table_past_its_end_hides_no_other_table() {
    let disk = mixed(1 << 20);
    for settings in ["cluster_size=512", "cluster_size=4k", "cluster_size=64k"] {
        let mut image = written(&disk, false, settings);
        let cluster = 1_u64 << image[23];
        image[48..56].copy_from_slice(&cluster.to_be_bytes());
        image[56..60].copy_from_slice(&65_536_u32.to_be_bytes());
        assert!(read(&image).unwrap() == disk, "{settings}");
        let streamed = streamed(&image, 700, &Limits::default(), Some(SharedSpillFile::default()));
        assert!(streamed.unwrap() == disk, "{settings}");
    }
}
