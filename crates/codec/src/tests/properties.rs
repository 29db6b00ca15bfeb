use std::io::Write;

use diskimg_core::Limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use xz2::stream::{Check, MtStreamBuilder};
use xz2::write::XzEncoder;

use super::{run, words};
use crate::{DecoderOptions, Wrapper};

/// `data` as a file that carries checksums: members, blocks or frames of `unit` bytes.
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

fn options() -> impl Strategy<Value = DecoderOptions> {
    (1..4_u32).prop_map(|threads| DecoderOptions { threads, ..DecoderOptions::default() })
}

fn chunks() -> impl Strategy<Value = usize> {
    prop_oneof![prop::sample::select(&super::CHUNKS[..]), 1..5000_usize]
}

proptest! {
    #[test]
    fn any_data_comes_back_whatever_the_pieces(
        wrapper in wrappers(), options in options(), chunk in chunks(),
        data in prop::collection::vec(0..5_u8, 0..9000), unit in 100..9000_usize,
    ) {
        let file = file(wrapper, &data, unit);
        let (disk, result) = run(wrapper, &file, chunk, &Limits::default(), &options);
        result.unwrap();
        prop_assert!(disk == data);
    }

    #[test]
    fn a_cut_file_is_never_taken_for_a_whole_one(
        wrapper in wrappers(), options in options(), chunk in chunks(),
        seed in any::<u64>(), unit in 500..9000_usize, cut in any::<prop::sample::Index>(),
    ) {
        let data = words(seed, 5000);
        let file = file(wrapper, &data, unit);
        let len = cut.index(file.len());
        let (disk, result) = run(wrapper, &file[..len], chunk, &Limits::default(), &options);
        prop_assert!(data.starts_with(&disk));
        // Members and frames are whole files too: a cut between two of them cannot be seen.
        if result.is_ok() {
            prop_assert!(wrapper != Wrapper::Xz);
            prop_assert!(disk.len().is_multiple_of(unit) && disk.len() < data.len());
        }
    }

    #[test]
    fn a_flipped_bit_is_never_silent(
        wrapper in wrappers(), options in options(), chunk in chunks(),
        seed in any::<u64>(), unit in 500..9000_usize, bit in any::<prop::sample::Index>(),
    ) {
        let data = words(seed, 5000);
        let mut file = file(wrapper, &data, unit);
        let bit = bit.index(file.len() * 8);
        file[bit / 8] ^= 1 << (bit % 8);
        let (disk, result) = run(wrapper, &file, chunk, &Limits::default(), &options);
        // A bit of a time stamp, say, may change nothing; no bit may change the disk.
        prop_assert!(result.is_err() || disk == data);
    }

    #[test]
    fn garbage_is_an_error_but_no_panic(
        wrapper in wrappers(), options in options(), chunk in chunks(),
        garbage in prop::collection::vec(any::<u8>(), 1..3000), kept in 0..40_usize,
    ) {
        let mut file = file(wrapper, b"abcabcabc", 100);
        file.truncate(kept);
        file.extend_from_slice(&garbage);
        let _ = run(wrapper, &file, chunk, &Limits::default(), &options);
    }
}
