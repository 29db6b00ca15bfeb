//! Random damage: errors, no panic, and the same result in chunks of any size.

use std::sync::Arc;

use diskimg_core::conformance::damaged;
use diskimg_core::{BlockSource, Limits, Memory, MemorySink, OpenOptions};
use diskimg_vmdk::Vmdk;
use proptest::prelude::*;

use crate::image::*;

/// The disk, or the error, of an image in chunks that end at `ends`.
fn outcome(bytes: &[u8], ends: &[usize]) -> Result<Vec<u8>, String> {
    let sink = MemorySink::new(4 << 20);
    let mut decoder = (diskimg_vmdk::DRIVER.stream.unwrap())(&Limits::default()).unwrap();
    let mut ends: Vec<usize> = ends.iter().map(|end| end % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        decoder.push(&bytes[start..end], &sink).map_err(|error| error.to_string())?;
        start = end;
    }
    decoder.finish(&sink).map_err(|error| error.to_string())?;
    Ok(sink.bytes())
}

/// The disk, or the error, of an image that is read as a file.
fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let source = Arc::new(Memory::new(bytes.to_vec()));
    let disk = Vmdk::open(source, &OpenOptions::default()).map_err(|error| error.to_string())?;
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(0, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[test]
fn damaged_stream_of_any_writer_never_panics() {
    for writer in WRITERS {
        let image = Image::new(writer);
        damaged(&image.bytes, image.bytes.len(), &|bytes| {
            assert_eq!(outcome(&bytes, &[]), outcome(&bytes, &[600, 513, 7]));
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn chunk_borders_change_nothing(
        writer in proptest::sample::select(WRITERS.to_vec()),
        ends in proptest::collection::vec(any::<usize>(), 0..40),
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..3),
    ) {
        let mut image = Image::new(writer);
        for (at, value) in damage {
            let len = image.bytes.len();
            image.bytes[at % len] = value;
        }
        prop_assert_eq!(outcome(&image.bytes, &ends), outcome(&image.bytes, &[]));
    }

    #[test]
    fn file_reads_as_its_stream_decodes(
        writer in proptest::sample::select(WRITERS.to_vec()),
        grains in proptest::sample::subsequence((0..11).collect::<Vec<u64>>(), 0..=11).prop_shuffle(),
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..2),
    ) {
        let mut image = Image::of(writer, &grains);
        for (at, value) in damage {
            let len = image.bytes.len();
            image.bytes[at % len] = value;
        }
        if let Ok(disk) = outcome(&image.bytes, &[]) {
            prop_assert_eq!(read(&image.bytes), Ok(disk));
        }
    }

    #[test]
    fn any_grains_in_any_order_decode_to_the_disk(
        writer in proptest::sample::select(WRITERS.to_vec()),
        grains in proptest::sample::subsequence((0..11).collect::<Vec<u64>>(), 0..=11).prop_shuffle(),
    ) {
        prop_assert_eq!(Image::of(writer, &grains).decode().unwrap(), disk(&grains));
    }
}
