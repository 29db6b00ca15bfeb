use std::io::Write;

use diskimg_core::{ErrorKind, LimitKind, Limits, Remedy};
use flate2::Crc;
use xz2::stream::{Check, Filters, LzmaOptions, MtStreamBuilder, Stream};
use xz2::write::XzEncoder;

use super::{decode, decode_within, refused, refused_within, run, words};
use crate::{DecompressOptions, Wrapper};

const XZ: Wrapper = Wrapper::Xz;
const HEADER_LEN: usize = 12;

fn encode(data: &[u8], stream: Stream) -> Vec<u8> {
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn one_block(data: &[u8], check: Check) -> Vec<u8> {
    encode(data, Stream::new_easy_encoder(1, check).unwrap())
}

fn file(data: &[u8]) -> Vec<u8> {
    one_block(data, Check::Crc64)
}

/// Returns a stream of blocks of `block` bytes with their sizes in their headers, as multi-threaded encoders write
/// them.
fn many_blocks(data: &[u8], block: u64) -> Vec<u8> {
    encode(data, MtStreamBuilder::new().threads(2).preset(1).block_size(block).encoder().unwrap())
}

/// Writes the CRC32 of the `len` bytes at `start` after them.
fn seal(file: &mut [u8], start: usize, len: usize) {
    let mut crc = Crc::new();
    crc.update(&file[start..start + len]);
    file[start + len..start + len + 4].copy_from_slice(&crc.sum().to_le_bytes());
}

/// Returns the file with `change` applied to its first block header, without the CRC of the header.
fn with_block_header(good: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut file = good.to_vec();
    let len = usize::from(file[HEADER_LEN]) * 4;
    change(&mut file[HEADER_LEN..HEADER_LEN + len]);
    seal(&mut file, HEADER_LEN, len);
    file
}

#[test]
fn every_check_is_verified() {
    let disk = words(1, 100_000);
    for check in [Check::None, Check::Crc32, Check::Crc64, Check::Sha256] {
        assert!(decode(XZ, &one_block(&disk, check)).unwrap() == disk);
    }
    for (check, len) in [(Check::Crc32, 4), (Check::Crc64, 8), (Check::Sha256, 32)] {
        let mut file = one_block(&disk[..5000], check);
        // From the end: a footer of 12 bytes, an index of 12 (one record of 1 + 3 + 2 bytes or so), the check.
        let index = footer_backward_size(&file);
        let at = file.len() - 12 - index - len;
        file[at] ^= 1;
        refused(XZ, &file, ErrorKind::Corrupt, "compressed data");
    }
}

/// Returns the size of the index in bytes as stored in the footer.
fn footer_backward_size(file: &[u8]) -> usize {
    let at = file.len() - 8;
    let stored = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    (usize::try_from(stored).unwrap() + 1) * 4
}

#[test]
fn xz_file_truncated_anywhere_is_an_error() {
    for file in [file(&words(2, 2000)), many_blocks(&words(2, 2000), 1000)] {
        for len in 0..file.len() {
            let error = refused(XZ, &file[..len], ErrorKind::Truncated, "");
            assert_eq!(error.offset(), Some(len as u64));
        }
    }
}

#[test]
fn bytes_after_the_last_stream_are_trailing_data() {
    let good = file(b"disk");
    for (zeros, tail) in [(0, &b"x"[..]), (0, &[0xFD, b'7', b'x']), (4, &[1]), (8, &[0xFF; 600])] {
        let mut file = good.clone();
        file.resize(good.len() + zeros, 0);
        file.extend_from_slice(tail);
        let error = refused(XZ, &file, ErrorKind::Corrupt, "trailing data");
        assert_eq!(error.offset(), Some((good.len() + zeros) as u64));
    }
    refused(XZ, b"not an xz file", ErrorKind::Corrupt, "magic");
}

#[test]
fn dictionary_above_the_limit_is_refused_before_it_is_allocated() {
    let mut good = encode(b"disk", {
        let mut options = LzmaOptions::new_preset(0).unwrap();
        options.dict_size(4096);
        Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc32).unwrap()
    });
    // Block header: size, flags, filter id 0x21, 1 byte of properties: the size of the dictionary.
    assert_eq!(good[HEADER_LEN + 2..HEADER_LEN + 4], [0x21, 1]);
    for (bits, gib) in [(37, 2), (38, 4), (39, 4), (40, 8)] {
        good = with_block_header(&good, |header| header[4] = bits);
        let error = refused(XZ, &good, ErrorKind::Limit, "dictionary");
        assert_eq!(error.remedy(), Some(Remedy::RaiseLimitTo(LimitKind::DecoderMemory, gib << 30)), "{bits}");
        assert!(error.to_string().contains("(limit decoder-memory)"), "{error}");
    }
    good = with_block_header(&good, |header| header[4] = 28);
    assert_eq!(decode(XZ, &good).unwrap(), b"disk", "a dictionary of 64 MiB");
    let limits = Limits { decoder_memory: 32 << 20, ..Limits::default() };
    let error = refused_within(XZ, &good, &limits, ErrorKind::Limit, "dictionary");
    let Some(Remedy::RaiseLimitTo(LimitKind::DecoderMemory, memory)) = error.remedy() else {
        panic!("{error}")
    };
    let limits = Limits { decoder_memory: memory, ..Limits::default() };
    assert_eq!(decode_within(XZ, &good, &limits).unwrap(), b"disk", "the recommended limit of {memory}");
    let limits = Limits { decoder_memory: 0, ..Limits::default() };
    refused_within(XZ, &good, &limits, ErrorKind::Limit, "dictionary");
}

#[test]
fn integer_of_more_than_nine_bytes_is_corrupt() {
    let good = many_blocks(b"disk", 1000);
    assert_eq!(good[HEADER_LEN + 1] & 0xC0, 0xC0, "both sizes are in the header");
    let file = with_block_header(&good, |header| header[2..12].fill(0xFF));
    refused(XZ, &file, ErrorKind::Corrupt, "compressed data");
}

#[test]
fn xz_header_crc_mismatch_is_corrupt() {
    let good = file(b"disk");
    for at in 8..12 {
        let mut file = good.clone();
        file[at] ^= 1;
        assert_eq!(refused(XZ, &file, ErrorKind::Corrupt, "stream header crc32").offset(), Some(8));
    }
    let mut file = good.clone();
    let crc = HEADER_LEN + usize::from(good[HEADER_LEN]) * 4;
    file[crc] ^= 1;
    refused(XZ, &file, ErrorKind::Corrupt, "compressed data");
}

#[test]
fn index_or_footer_that_contradicts_the_blocks_is_corrupt() {
    let good = file(&words(3, 1000));
    let footer = good.len() - 12;
    let index = footer - footer_backward_size(&good);
    for at in index..good.len() {
        let mut file = good.clone();
        file[at] ^= 0x04;
        let error = decode(XZ, &file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}");
    }
    // A wrong record with a valid CRC of the index.
    let mut file = good.clone();
    file[index + 2] ^= 0x04;
    seal(&mut file, index, footer - index - 4);
    refused(XZ, &file, ErrorKind::Corrupt, "compressed data");
}

#[test]
fn stream_padding_is_a_multiple_of_four() {
    let good = file(b"disk");
    for zeros in [4, 8, 512, 100_000] {
        let mut file = good.clone();
        file.resize(good.len() + zeros, 0);
        assert_eq!(decode(XZ, &file).unwrap(), b"disk");
        file.extend_from_slice(&good);
        assert_eq!(decode(XZ, &file).unwrap(), b"diskdisk");
    }
    for zeros in [1, 2, 3, 5, 511] {
        let mut file = good.clone();
        file.resize(good.len() + zeros, 0);
        let error = refused(XZ, &file, ErrorKind::Corrupt, "stream padding");
        assert_eq!(error.offset(), Some(good.len() as u64));
        file.extend_from_slice(&good);
        refused(XZ, &file, ErrorKind::Corrupt, "stream padding");
    }
}

#[test]
fn unknown_check_or_filter_is_unsupported() {
    let good = file(b"disk");
    for check in [2, 3, 5, 9, 11, 15] {
        let mut file = good.clone();
        file[7] = check;
        seal(&mut file, 6, 2);
        assert_eq!(refused(XZ, &file, ErrorKind::Unsupported, "check").offset(), Some(7));
    }
    for (at, flags) in [(6, 1), (7, 0x11)] {
        let mut file = good.clone();
        file[at] = flags;
        seal(&mut file, 6, 2);
        refused(XZ, &file, ErrorKind::Unsupported, "");
    }
    for filter in [0x02, 0x20, 0x22, 0x7F] {
        let file = with_block_header(&good, |header| header[2] = filter);
        refused(XZ, &file, ErrorKind::Unsupported, "filters");
    }
}

#[test]
fn streams_and_blocks_are_concatenated() {
    let disk = words(4, 600_000);
    assert!(decode(XZ, &many_blocks(&disk, 50_000)).unwrap() == disk);
    let mut several = Vec::new();
    for (n, piece) in disk.chunks(150_000).enumerate() {
        several.extend(if n % 2 == 0 { many_blocks(piece, 40_000) } else { file(piece) });
        several.extend(file(&[]));
        several.resize(several.len() + 4 * n, 0);
    }
    assert!(decode(XZ, &several).unwrap() == disk);
}

#[test]
fn machine_code_filters_are_read() {
    let disk = words(5, 50_000);
    let options = LzmaOptions::new_preset(1).unwrap();
    let stream = Stream::new_stream_encoder(Filters::new().x86().lzma2(&options), Check::Crc32).unwrap();
    assert!(decode(XZ, &encode(&disk, stream)).unwrap() == disk);
}

#[test]
fn blocks_too_large_for_several_threads_are_read_by_one() {
    let disk = words(6, 3 << 20);
    let file = many_blocks(&disk, 1 << 20);
    for thread_memory in [0, 1 << 20, 3 << 20, u64::MAX] {
        let options = DecompressOptions { threads: 3, thread_memory };
        let (back, result) = run(XZ, &file, 64 << 10, &Limits::default(), &options);
        result.unwrap();
        assert!(back == disk);
    }
    let options = DecompressOptions { threads: u32::MAX, ..DecompressOptions::default() };
    let (back, result) = run(XZ, &file, 64 << 10, &Limits::default(), &options);
    result.unwrap();
    assert!(back == disk);
}

#[test]
fn endless_empty_streams_are_refused() {
    let empty = file(&[]);
    for threads in [1, 2] {
        let options = DecompressOptions { threads, ..DecompressOptions::default() };
        let (_, result) = run(XZ, &empty.repeat(17_000), 1 << 10, &Limits::default(), &options);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit);
    }
    let some = empty.repeat(100);
    assert_eq!(
        decode_within(XZ, &[&some[..], &file(b"a"), &some].concat(), &Limits::default()).unwrap(),
        b"a"
    );
}

#[test]
fn endless_stream_padding_is_refused() {
    let mut file = file(&[]);
    file.resize(65 << 20, 0);
    let (_, result) = run(XZ, &file, 1 << 20, &Limits::default(), &DecompressOptions::default());
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit);
}
