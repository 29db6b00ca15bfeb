use std::io::Write;

use diskimg_core::Limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use xz2::stream::{Check, MtStreamBuilder};
use xz2::write::XzEncoder;

use super::{run, run_to_findings, words};
use crate::{DecompressOptions, Wrapper};

/// Returns `data` as a file with checksums, in members, blocks or frames of `unit` bytes.
fn file(wrapper: Wrapper, data: &[u8], unit: usize) -> Vec<u8> {
    let pieces = || std::iter::once(&data[..0]).chain(data.chunks(unit));
    match wrapper {
        Wrapper::Gzip => pieces()
            .flat_map(|piece| {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::new(3));
                encoder.write_all(piece).unwrap();
                encoder.finish().unwrap()
            })
            .collect(),
        Wrapper::Xz => {
            let mut builder = MtStreamBuilder::new();
            builder.threads(1).preset(0).check(Check::Crc64).block_size(unit as u64);
            let mut encoder = XzEncoder::new_stream(Vec::new(), builder.encoder().unwrap());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Wrapper::Zstd => pieces()
            .flat_map(|piece| {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
                encoder.include_checksum(true).unwrap();
                encoder.write_all(piece).unwrap();
                encoder.finish().unwrap()
            })
            .collect(),
    }
}

fn wrappers() -> impl Strategy<Value = Wrapper> {
    prop::sample::select(Wrapper::ALL)
}

fn options() -> impl Strategy<Value = DecompressOptions> {
    (1..4_u32).prop_map(|threads| DecompressOptions { threads, ..DecompressOptions::default() })
}

fn chunks() -> impl Strategy<Value = usize> {
    prop_oneof![prop::sample::select(&super::CHUNKS[..]), 1..5000_usize]
}

proptest! {
    #[test]
    fn data_survives_pieces_of_any_size(
        wrapper in wrappers(), options in options(), chunk in chunks(),
        data in prop::collection::vec(0..5_u8, 0..9000), unit in 100..9000_usize,
    ) {
        let file = file(wrapper, &data, unit);
        let (disk, result) = run(wrapper, &file, chunk, &Limits::default(), &options);
        result.unwrap();
        prop_assert!(disk == data);
    }

    #[test]
    fn truncated_file_is_never_complete(
        wrapper in wrappers(), options in options(), chunk in chunks(),
        seed in any::<u64>(), unit in 500..9000_usize, end in any::<prop::sample::Index>(),
    ) {
        let data = words(seed, 5000);
        let file = file(wrapper, &data, unit);
        let len = end.index(file.len());
        let (disk, result) = run(wrapper, &file[..len], chunk, &Limits::default(), &options);
        prop_assert!(data.starts_with(&disk));
        // A file that ends between two members or frames is complete.
        if result.is_ok() {
            prop_assert!(wrapper != Wrapper::Xz);
            prop_assert!(disk.len() % unit == 0 && disk.len() < data.len());
        }
    }

    #[test]
    fn flipped_bit_is_detected_or_has_no_effect(
        wrapper in wrappers(), options in options(), chunk in chunks(),
        seed in any::<u64>(), unit in 500..9000_usize, bit in any::<prop::sample::Index>(),
    ) {
        let data = words(seed, 5000);
        let mut file = file(wrapper, &data, unit);
        let bit = bit.index(file.len() * 8);
        file[bit / 8] ^= 1 << (bit % 8);
        let (disk, result) = run_to_findings(wrapper, &file, chunk, &Limits::default(), &options);
        // A bit of a time stamp, for example, may have no effect, but no bit may change the disk.
        match result {
            Err(_) => {}
            // After a whole gzip member, bytes that begin no other one end the input and are reported.
            Ok(findings) if !findings.is_empty() => {
                prop_assert!(wrapper == Wrapper::Gzip && findings[0].check == "trailing_data");
                prop_assert!(data.starts_with(&disk) && disk.len() % unit == 0);
            }
            Ok(_) => prop_assert!(disk == data),
        }
    }

    #[test]
    fn garbage_does_not_panic(
        wrapper in wrappers(), options in options(), chunk in chunks(),
        garbage in prop::collection::vec(any::<u8>(), 1..3000), kept in 0..40_usize,
    ) {
        let mut file = file(wrapper, b"abcabcabc", 100);
        file.truncate(kept);
        file.extend_from_slice(&garbage);
        let _ = run(wrapper, &file, chunk, &Limits::default(), &options);
    }
}
