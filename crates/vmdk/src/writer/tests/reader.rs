//! Images read back with this crate.

use std::sync::Mutex;

use diskimg_core::conformance::{Call, apply};
use diskimg_core::{BlockSource, Image, MemorySink};
use proptest::prelude::*;

use super::folder::{clean, open};
use super::*;
use crate::DRIVER;

#[test]
fn writer_passes_the_sink_conformance_suite() {
    for subformat in Subformat::ALL {
        for size in [1, 513, 300_000, 3_000_001] {
            let folder = Mutex::new(Folder::new());
            let whole = u64::next_multiple_of(size, 512);
            diskimg_core::conformance::sink(
                whole,
                4096,
                &|virtual_size| {
                    let options = WriterOptions {
                        virtual_size,
                        subformat,
                        grain_size: 4096,
                        ..WriterOptions::default()
                    };
                    *folder.lock().unwrap() = Folder::new();
                    Box::new(writer_in(&folder.lock().unwrap(), &options))
                },
                &|| Box::new(open(&folder.lock().unwrap())),
            );
        }
    }
}

#[test]
fn stream_optimized_image_is_decoded_as_a_stream() {
    let disk = mixed(5_000_192, 11);
    for grain_size in [4096, 65_536] {
        let options = WriterOptions { grain_size, ..options_for(&disk, Subformat::StreamOptimized) };
        let bytes = image(&options, |writer| batched(writer, &disk, 1 << 18, 2)).read(NAME);
        let guest = MemorySink::new(1 << 30);
        let mut decoder = (DRIVER.stream.unwrap())(&diskimg_core::Limits::default()).unwrap();
        for piece in bytes.chunks(100_001) {
            decoder.push(piece, &guest).unwrap();
        }
        decoder.finish(&guest).unwrap();
        let mut guest = guest.bytes();
        guest.resize(disk.len(), 0);
        assert!(guest == disk, "grains of {grain_size}");
    }
}

#[test]
fn image_info_states_the_options() {
    for subformat in Subformat::ALL {
        let options =
            WriterOptions { virtual_size: 1000, cid: Some(0xAB), subformat, ..WriterOptions::default() };
        let source = open(&image(&options, |_| ()));
        let info = source.info();
        assert_eq!(info.virtual_size, 1024);
        assert_eq!(info.subformat.as_deref(), Some(subformat.name()));
        assert_eq!(info.identity.content_id, Some(0xAB));
        // An image with other files has a finding that says so.
        assert_eq!(info.findings.len(), usize::from(subformat.has_siblings()), "{:?}", info.findings);
    }
}

const SIZE: usize = 200_000;

fn call() -> impl Strategy<Value = Call> {
    let edge = prop_oneof![0..SIZE, (0..SIZE / 4096).prop_map(|grain| grain * 4096)];
    let len = prop_oneof![1..10_000_usize, (1..8_usize).prop_map(|grains| grains * 4096)];
    prop_oneof![
        3 => (edge.clone(), len.clone(), any::<u8>()).prop_map(|(at, len, seed)| Call::Write { at, len, seed }),
        1 => (edge, len).prop_map(|(at, len)| Call::Zero { at, len }),
    ]
}

/// The calls with ascending offsets; the others are dropped.
fn ascending(mut calls: Vec<Call>) -> Vec<Call> {
    calls.sort_by_key(|call| match call {
        Call::Write { at, .. } | Call::Zero { at, .. } => *at,
    });
    let mut position = 0;
    calls.retain(|call| {
        let (Call::Write { at, len, .. } | Call::Zero { at, len }) = *call;
        let fits = at >= position;
        position = if fits { at + len } else { position };
        fits
    });
    calls
}

fn guest(folder: &Arc<Folder>) -> Vec<u8> {
    let source = open(folder);
    let mut disk = vec![0; usize::try_from(source.size()).unwrap()];
    source.read_at(0, &mut disk).unwrap();
    disk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn writes_in_any_order_are_read_back_and_pass_the_check(
        calls in prop::collection::vec(call(), 0..24),
        grain_bits in 12_u32..17,
        subformat in prop::sample::select(Subformat::ALL.to_vec()),
    ) {
        let grain_size = 1 << grain_bits;
        let options = WriterOptions {
            virtual_size: SIZE as u64, grain_size, subformat, ..WriterOptions::default()
        };
        let calls = if subformat == Subformat::StreamOptimized { ascending(calls) } else { calls };
        let mut disk = Vec::new();
        let folder = image(&options, |writer| disk = in_sectors(&apply(&calls, writer, SIZE)));
        prop_assert!(guest(&folder) == disk);
        clean(&folder);
    }

    #[test]
    fn mixed_bytes_in_batches_are_read_back_and_pass_the_check(
        seed in any::<u64>(),
        len in 1_usize..3_000_000,
        grain_bits in 12_u32..17,
        segment_bits in 16_u32..21,
        subformat in prop::sample::select(
            vec![Subformat::MonolithicSparse, Subformat::StreamOptimized, Subformat::TwoGbMaxExtentSparse]
        ),
    ) {
        let disk = mixed(len, seed);
        let options = WriterOptions { grain_size: 1 << grain_bits, ..options_for(&disk, subformat) };
        let folder = image(&options, |writer| batched(writer, &disk, 1 << segment_bits, 2));
        prop_assert!(guest(&folder) == in_sectors(&disk));
        clean(&folder);
    }
}
