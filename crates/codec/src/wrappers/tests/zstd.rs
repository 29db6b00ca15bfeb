use std::io::Write;

use diskimg_core::{ErrorKind, LimitKind, Limits, Remedy};
use zstd::stream::raw::CParameter;

use super::{decode, decode_within, refused, refused_within, run, words};
use crate::{DecompressOptions, Decompressor, Wrapper};

const ZSTD: Wrapper = Wrapper::Zstd;
const SKIPPABLE: [u8; 11] = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];

fn frame(data: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Returns a frame of one raw block, "ab", with this window descriptor.
fn with_window(descriptor: u8) -> Vec<u8> {
    vec![0x28, 0xB5, 0x2F, 0xFD, 0, descriptor, 0x11, 0, 0, b'a', b'b']
}

#[test]
fn zstd_file_truncated_anywhere_is_an_error() {
    let file = frame(&words(1, 3000));
    for len in 0..file.len() {
        let error = refused(ZSTD, &file[..len], ErrorKind::Truncated, "frame");
        assert_eq!(error.offset(), Some(len as u64));
    }
    let two = [&file[..], &SKIPPABLE].concat();
    for len in file.len() + 1..two.len() {
        refused(ZSTD, &two[..len], ErrorKind::Truncated, "frame");
    }
}

#[test]
fn zstd_checksum_mismatch_is_corrupt() {
    let good = frame(&words(2, 5000));
    for at in good.len() - 4..good.len() {
        let mut file = good.clone();
        file[at] ^= 4;
        refused(ZSTD, &file, ErrorKind::Corrupt, "checksum");
    }
}

#[test]
fn zstd_frame_shorter_than_its_content_size_is_corrupt() {
    // Content size 56 and one empty last block, alone and followed by another frame.
    let short = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 56, 1, 0, 0];
    refused(ZSTD, &short, ErrorKind::Corrupt, "frame");
    refused(ZSTD, &[&frame(b"disk")[..], &short, &frame(b"more")].concat(), ErrorKind::Corrupt, "frame");
}

#[test]
fn zstd_frames_are_concatenated_and_skippable_ones_skipped() {
    let disk = words(3, 400_000);
    let mut file = SKIPPABLE.to_vec();
    for piece in disk.chunks(77_777) {
        file.extend(frame(piece));
        file.extend(frame(&[]));
        file.extend(SKIPPABLE);
        file.extend(zstd::bulk::compress(&[], 1).unwrap());
    }
    assert!(decode(ZSTD, &file).unwrap() == disk);
}

#[test]
fn bytes_after_the_last_zstd_frame_are_trailing_data() {
    let good = frame(b"disk");
    for tail in [&b"xxxx"[..], &[0; 600], &[0x28, 0xB5, 0x2F, 0xFC, 0]] {
        let error = refused(ZSTD, &[&good, tail].concat(), ErrorKind::Corrupt, "trailing data");
        assert_eq!(error.offset(), Some(good.len() as u64));
    }
    refused(ZSTD, b"not zstd", ErrorKind::Corrupt, "magic");
}

#[test]
fn zstd_file_may_begin_with_skippable_and_empty_frames() {
    for magic in 0x50..=0x5F {
        let skipped = [&[magic, 0x2A, 0x4D, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let nothing = [magic, 0x2A, 0x4D, 0x18, 0, 0, 0, 0];
        let file = [&skipped[..], &nothing, &frame(&[]), &skipped, &frame(b"disk")].concat();
        assert_eq!(Wrapper::recognise(&file), Some(ZSTD));
        assert_eq!(decode(ZSTD, &file).unwrap(), b"disk");
        let lz4 = [&skipped[..], &[4, 0x22, 0x4D, 0x18, 0x64, 0x40, 0xA7]].concat();
        let error = refused(ZSTD, &lz4, ErrorKind::Corrupt, "LZ4");
        assert_eq!(error.offset(), Some(11));
    }
}

#[test]
fn zstd_window_above_the_limit_is_refused() {
    let exponent = |log: u8| (log - 10) << 3;
    assert_eq!(decode(ZSTD, &with_window(exponent(27))).unwrap(), b"ab");
    for window in [exponent(27) + 1, exponent(28)] {
        let error = refused(ZSTD, &with_window(window), ErrorKind::Limit, "window");
        assert_eq!(error.remedy(), Some(Remedy::RaiseLimitTo(LimitKind::DecoderMemory, 256 << 20)));
        assert!(error.to_string().contains("(limit decoder-memory)"), "{error}");
        let limits = Limits { decoder_memory: 256 << 20, ..Limits::default() };
        assert_eq!(decode_within(ZSTD, &with_window(window), &limits).unwrap(), b"ab");
    }
    let error = refused(ZSTD, &with_window(exponent(31)), ErrorKind::Limit, "window");
    assert_eq!(error.remedy(), Some(Remedy::RaiseLimitTo(LimitKind::DecoderMemory, 2 << 30)));
    let error = refused(ZSTD, &with_window(0xFF), ErrorKind::Limit, "libzstd supports no larger window");
    assert_eq!(error.remedy(), None, "no limit helps");
    let limits = Limits { decoder_memory: 3 << 20, ..Limits::default() };
    assert_eq!(decode_within(ZSTD, &with_window(exponent(21)), &limits).unwrap(), b"ab");
    refused_within(ZSTD, &with_window(exponent(22)), &limits, ErrorKind::Limit, "2097152");
    let limits = Limits { decoder_memory: 0, ..Limits::default() };
    refused_within(ZSTD, &with_window(exponent(20)), &limits, ErrorKind::Limit, "window");
}

#[test]
fn long_window_within_the_limit_is_read() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.set_parameter(CParameter::WindowLog(27)).unwrap();
    encoder.set_parameter(CParameter::EnableLongDistanceMatching(true)).unwrap();
    let disk = words(4, 1 << 20);
    encoder.write_all(&disk).unwrap();
    let file = encoder.finish().unwrap();
    let (back, result) = run(ZSTD, &file, 65536, &Limits::default(), &DecompressOptions::default());
    result.unwrap();
    assert!(back == disk);
}

#[test]
fn zstd_dictionary_or_reserved_bit_is_unsupported() {
    let dictionary = [0x28, 0xB5, 0x2F, 0xFD, 1, 0, 7, 0x11, 0, 0, b'a', b'b'];
    refused(ZSTD, &dictionary, ErrorKind::Unsupported, "dictionary");
    let mut reserved = with_window(0);
    reserved[4] |= 8;
    refused(ZSTD, &reserved, ErrorKind::Unsupported, "frame");
}

#[test]
fn endless_empty_frames_are_refused() {
    for unit in [frame(&[]), SKIPPABLE.to_vec()] {
        for chunk in [1 << 10, usize::MAX] {
            let (_, result) =
                run(ZSTD, &unit.repeat(20_000), chunk, &Limits::default(), &DecompressOptions::default());
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit);
        }
    }
    let mut skip = SKIPPABLE[..4].to_vec();
    skip.extend(u32::MAX.to_le_bytes());
    skip.resize(70 << 20, 0);
    let (_, result) = run(ZSTD, &skip, 1 << 20, &Limits::default(), &DecompressOptions::default());
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn frame_without_checksum_decodes_as_in_libzstd() {
    let good = zstd::bulk::compress(&words(5, 3000), 5).unwrap();
    for at in 5..good.len() {
        let mut file = good.clone();
        file[at] ^= 1 << (at % 8);
        let (disk, result) = run(ZSTD, &file, usize::MAX, &Limits::default(), &DecompressOptions::default());
        match zstd::decode_all(&file[..]) {
            Ok(theirs) => assert!(result.is_ok() && disk == theirs, "byte {at}"),
            Err(_) => assert!(result.is_err(), "byte {at}"),
        }
    }
}

#[test]
fn error_does_not_depend_on_how_the_input_is_split() {
    // A reserved bit in the header, an unknown kind of block, a wrong checksum.
    let mut checksum = frame(&words(5, 5000));
    *checksum.last_mut().unwrap() ^= 1;
    let reserved = vec![0x28, 0xB5, 0x2F, 0xFD, 8, 80, 0x11, 0, 0, b'a', b'b'];
    let block = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 80, 7, 0, 0, b'a', b'b'];
    for bad in [checksum, reserved, block] {
        let file = [frame(b"disk"), bad].concat();
        for chunk in super::CHUNKS {
            let error =
                run(ZSTD, &file, chunk, &Limits::default(), &DecompressOptions::default()).1.unwrap_err();
            assert_eq!(error.offset(), Some(frame(b"disk").len() as u64), "pieces of {chunk} bytes: {error}");
            assert_eq!(error.to_string().matches("zstd:").count(), 1, "{error}");
        }
    }
}

/// libzstd would decode the inner frame if a piece of input started with it, five bytes into the outer one.
#[test]
fn frame_within_a_frame_header_is_never_decoded() {
    let inner = [&[0x28, 0xB5, 0x2F, 0xFD, 0x20, 5, 0x29, 0, 0][..], b"hello"].concat();
    assert_eq!(decode(ZSTD, &inner).unwrap(), b"hello");
    let outer = [&[0x28, 0xB5, 0x2F, 0xFD, 0x40][..], &inner].concat();
    refused(ZSTD, &outer, ErrorKind::Corrupt, "frame");
    for at in 1..outer.len() {
        let mut decompressor = Decompressor::new(ZSTD, &Limits::default()).unwrap();
        let mut nothing = |piece: &[u8]| panic!("{} bytes came out, split at {at}", piece.len());
        let (first, second) = outer.split_at(at);
        let result =
            decompressor.push(first, &mut nothing).and_then(|()| decompressor.push(second, &mut nothing));
        assert_eq!(result.unwrap_err().offset(), Some(0));
    }
}

#[test]
fn empty_compressed_block_does_not_depend_on_how_the_input_is_split() {
    let file = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0, 5, 0, 0];
    assert_eq!(decode(ZSTD, &file).unwrap(), b"");
}
