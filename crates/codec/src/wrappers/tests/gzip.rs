use std::io::Write;

use diskimg_core::{ErrorKind, Finding, Limits, Severity};
use flate2::write::GzEncoder;
use flate2::{Compression, Crc, GzBuilder};

use super::{CHUNKS, decode, decode_within, refused, refused_within, run, run_to_findings, words};
use crate::{DecompressOptions, Wrapper};

const GZIP: Wrapper = Wrapper::Gzip;

/// Offset of the flags in a member.
const FLAGS: usize = 3;

fn member(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Returns a member with every optional header field.
fn full_header(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new()
        .filename("disk.raw")
        .comment("a comment")
        .extra(vec![b'A', b'p', 2, 0, 7, 7])
        .mtime(1_700_000_000)
        .write(Vec::new(), Compression::new(6));
    encoder.write_all(data).unwrap();
    with_header_crc(&encoder.finish().unwrap(), 10 + 2 + 6 + 9 + 10)
}

/// Returns the member with the CRC16 of its header added after the first `len` bytes.
fn with_header_crc(member: &[u8], len: usize) -> Vec<u8> {
    let mut file = member[..len].to_vec();
    file[FLAGS] |= 2;
    let mut crc = Crc::new();
    crc.update(&file);
    file.extend_from_slice(&crc.sum().to_le_bytes()[..2]);
    file.extend_from_slice(&member[len..]);
    file
}

#[test]
fn member_with_all_header_fields_is_read() {
    let disk = words(1, 300_000);
    assert!(decode(GZIP, &full_header(&disk)).unwrap() == disk);
    assert!(decode(GZIP, &member(&disk)).unwrap() == disk);
    assert_eq!(decode(GZIP, &member(&[])).unwrap(), []);
    // An empty extra field.
    let mut empty = member(b"ab");
    empty[FLAGS] = 4;
    empty.splice(10..10, [0, 0]);
    assert_eq!(decode(GZIP, &empty).unwrap(), b"ab");
    assert_eq!(decode(GZIP, &with_header_crc(&empty, 12)).unwrap(), b"ab");
}

#[test]
fn gzip_file_truncated_anywhere_is_an_error() {
    let file = full_header(&words(2, 2000));
    for len in 0..file.len() {
        let place = match len {
            0..39 => "header",
            _ if len >= file.len() - 8 => "trailer",
            _ => "deflate data",
        };
        let error = refused(GZIP, &file[..len], ErrorKind::Truncated, place);
        assert_eq!(error.offset(), Some(len as u64));
    }
}

#[test]
fn truncated_second_member_is_an_error() {
    let first = member(b"first");
    let file = [first.clone(), full_header(b"second")].concat();
    for len in first.len() + 1..file.len() {
        refused(GZIP, &file[..len], ErrorKind::Truncated, "");
    }
}

#[test]
fn gzip_crc_mismatch_is_corrupt() {
    let disk = words(3, 5000);
    let good = member(&disk);
    for at in good.len() - 8..good.len() - 4 {
        let mut file = good.clone();
        file[at] ^= 0x40;
        let error = refused(GZIP, &file, ErrorKind::Corrupt, "crc32");
        assert_eq!(error.offset(), Some(good.len() as u64 - 8));
    }
}

#[test]
fn gzip_isize_mismatch_is_corrupt() {
    let good = member(&words(4, 5000));
    for at in good.len() - 4..good.len() {
        let mut file = good.clone();
        file[at] ^= 1;
        let error = refused(GZIP, &file, ErrorKind::Corrupt, "isize");
        assert_eq!(error.offset(), Some(good.len() as u64 - 4));
    }
}

#[test]
fn gzip_header_crc_mismatch_is_corrupt() {
    let good = full_header(b"data");
    for at in [37, 38] {
        let mut file = good.clone();
        file[at] ^= 0x10;
        let error = refused(GZIP, &file, ErrorKind::Corrupt, "header crc16");
        assert_eq!(error.offset(), Some(37));
    }
    let mut file = good;
    file[20] ^= 1;
    refused(GZIP, &file, ErrorKind::Corrupt, "header crc16");
}

#[test]
fn invalid_deflate_data_is_corrupt() {
    // A block of the reserved type 3.
    let mut file = member(b"data")[..10].to_vec();
    file.push(0x07);
    file.resize(100, 0);
    refused(GZIP, &file, ErrorKind::Corrupt, "deflate data");
}

#[test]
fn gzip_members_are_concatenated() {
    let disk = words(5, 200_000);
    let mut file = Vec::new();
    for piece in disk.chunks(33_333) {
        file.extend(member(piece));
        file.extend(member(&[]));
        file.extend(full_header(&[]));
    }
    assert!(decode(GZIP, &file).unwrap() == disk);
}

#[test]
fn zeros_after_the_last_member_are_padding() {
    let good = member(b"disk");
    for zeros in [1, 2, 9, 10, 511, 512, 70_000] {
        let mut file = good.clone();
        file.resize(good.len() + zeros, 0);
        assert_eq!(decode(GZIP, &file).unwrap(), b"disk");
    }
}

/// Bytes that do not begin a member, without zeros.
const NOT_A_MEMBER: [&[u8]; 5] =
    [b"x", &[0x1E; 600], &[0x1F, 0x8C, 8], &[0x1F, 0x1F, 0x8B, 8], b"FWx0\x1F\x8B\x08"];

#[test]
fn bytes_after_the_last_member_are_ignored_with_a_finding() {
    let good = [member(b"one "), member(b"disk")].concat();
    for (zeros, tail) in NOT_A_MEMBER.into_iter().flat_map(|tail| [(0, tail), (1, tail), (600, tail)]) {
        let file = [&good[..], &vec![0; zeros], tail].concat();
        assert_eq!(decode(GZIP, &file).unwrap(), b"one disk", "{zeros} zeros, {tail:?}");
        for chunk in CHUNKS {
            let found = findings(&file, chunk);
            let start = (good.len() + zeros) as u64;
            let message = format!("ends at byte {start}, and the {} bytes after it were ignored", tail.len());
            assert_eq!(found.len(), 1, "{zeros} zeros, {tail:?} in pieces of {chunk}");
            assert_eq!((found[0].check, found[0].severity), ("trailing_data", Severity::Warning));
            assert_eq!(found[0].offset, Some(start), "{tail:?} in pieces of {chunk}");
            assert!(found[0].message.contains(&message), "{} lacks {message}", found[0].message);
        }
    }
    assert_eq!(findings(&[&good[..], &[0; 700]].concat(), 512), []);
}

/// The findings about a file, pushed in pieces of `chunk` bytes.
fn findings(file: &[u8], chunk: usize) -> Vec<Finding> {
    run_to_findings(GZIP, file, chunk, &Limits::default(), &DecompressOptions::default()).1.unwrap()
}

#[test]
fn second_member_with_a_damaged_magic_is_refused_or_reported() {
    let good = member(b"one ");
    for bit in 0..16 {
        let mut second = member(b"disk");
        second[bit / 8] ^= 1 << (bit % 8);
        let file = [&good[..], &second].concat();
        let (disk, result) =
            run_to_findings(GZIP, &file, 512, &Limits::default(), &DecompressOptions::default());
        if let Ok(findings) = result {
            assert_eq!(disk, b"one ", "bit {bit}");
            assert_eq!(findings[0].offset, Some(good.len() as u64), "bit {bit}");
        }
    }
}

#[test]
fn ignored_bytes_may_be_longer_than_the_limit_of_input_without_content() {
    for byte in [0, b'x'] {
        let mut decompressor = crate::Decompressor::new(GZIP, &Limits::default()).unwrap();
        decompressor.push(&member(b"disk"), &mut |_| Ok(())).unwrap();
        for _ in 0..80 {
            decompressor.push(&vec![byte; 1 << 20], &mut |_| Ok(())).unwrap();
        }
        decompressor.finish(&mut |_| Ok(())).unwrap();
    }
}

#[test]
fn bytes_that_begin_a_member_are_never_ignored() {
    let good = member(b"disk");
    refused(GZIP, &[&good[..], &[0x1F]].concat(), ErrorKind::Truncated, "header");
    refused(GZIP, &[&good[..], &[0, 0x1F]].concat(), ErrorKind::Truncated, "header");
    refused(GZIP, &[&good[..], &[0x1F, 0x8B]].concat(), ErrorKind::Truncated, "header");
    refused(GZIP, &[&good[..], &[0x1F, 0x8B, 7, 0]].concat(), ErrorKind::Corrupt, "compression method");
    let padded = [&good[..], &[0; 3], &member(b"more")].concat();
    let error = refused(GZIP, &padded, ErrorKind::Corrupt, "trailing data");
    assert_eq!(error.offset(), Some(good.len() as u64 + 3));
}

#[test]
fn bytes_after_a_block_of_bgzf_or_mgzip_are_an_error() {
    let block = |extra: &[u8]| {
        let mut encoder = GzBuilder::new().extra(extra).write(Vec::new(), Compression::new(6));
        encoder.write_all(b"disk").unwrap();
        encoder.finish().unwrap()
    };
    let marks: [&[u8]; 5] = [
        b"BC\x02\0\x1b\0",
        b"SZ\x04\0\0\0\0\0",
        b"IG\x04\0\0\0\0\0",
        b"MZ\x04\0\0\0\0\0",
        b"Ap\x01\0BBC\x02\0\0\0",
    ];
    for extra in marks {
        let good = block(extra);
        assert_eq!(decode(GZIP, &[&good[..], &[0; 600]].concat()).unwrap(), b"disk");
        for tail in NOT_A_MEMBER {
            let error = refused(GZIP, &[&good[..], tail].concat(), ErrorKind::Corrupt, "trailing data");
            assert_eq!(error.offset(), Some(good.len() as u64), "{extra:?} {tail:?}");
            refused(GZIP, &[&good[..], &[0; 5], tail].concat(), ErrorKind::Corrupt, "trailing data");
        }
    }
    // The id is data of another subfield, and the last member is not a block.
    for file in [block(b"Ap\x02\0BC"), [block(b"BC\x02\0\x1b\0"), member(b"")].concat()] {
        assert_eq!(decode(GZIP, &[&file[..], b"x"].concat()).unwrap(), b"disk");
    }
}

#[test]
fn endless_name_in_a_member_header_is_refused() {
    for flag in [8, 16] {
        let mut file = member(b"disk")[..10].to_vec();
        file[FLAGS] = flag;
        file.resize(200_000, b'n');
        let limits = Limits { header_bytes: 100_000, ..Limits::default() };
        refused_within(GZIP, &file, &limits, ErrorKind::Limit, "header");
    }
    // The default, and a header that just fits.
    let mut file = member(b"disk");
    file[FLAGS] = 8;
    let name = (4 << 20) - 11;
    file.splice(10..10, std::iter::repeat_n(b'n', name).chain([0]));
    let options = DecompressOptions::default();
    let (disk, result) = run(GZIP, &file, 64 << 10, &Limits::default(), &options);
    result.unwrap();
    assert_eq!(disk, b"disk");
    file.insert(10, b'n');
    let (_, result) = run(GZIP, &file, 64 << 10, &Limits::default(), &options);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn reserved_flags_and_other_methods_are_corrupt() {
    let good = member(b"disk");
    for flag in [0x20, 0x40, 0x80] {
        let mut file = good.clone();
        file[FLAGS] |= flag;
        assert_eq!(refused(GZIP, &file, ErrorKind::Corrupt, "flags").offset(), Some(3));
    }
    for method in [0, 7, 9, 255] {
        let mut file = good.clone();
        file[2] = method;
        assert_eq!(refused(GZIP, &file, ErrorKind::Corrupt, "compression method").offset(), Some(2));
        let file = [&good[..], &file].concat();
        refused(GZIP, &file, ErrorKind::Corrupt, "compression method");
    }
    refused(GZIP, b"not gzip", ErrorKind::Corrupt, "magic");
    refused(GZIP, &[0x1F, 0], ErrorKind::Corrupt, "magic");
}

#[test]
fn gzip_within_gzip_is_decompressed_once() {
    let inner = member(&member(b"disk"));
    assert_eq!(decode(GZIP, &member(&inner)).unwrap(), inner);
}

#[test]
fn error_of_the_caller_stops_the_decompressor() {
    let bomb = member(&vec![0; 8 << 20]);
    let mut decompressor = crate::Decompressor::new(GZIP, &Limits::default()).unwrap();
    let mut left = 1_usize << 20;
    let mut calls = 0;
    let error = decompressor
        .push(&bomb, &mut |piece| {
            calls += 1;
            left = left
                .checked_sub(piece.len())
                .ok_or_else(|| diskimg_core::Error::new(ErrorKind::Limit).field("output"))?;
            Ok(())
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.field_name()), (ErrorKind::Limit, Some("output")));
    assert!(calls <= 9, "{calls} pieces");
    let error = decompressor.push(&bomb, &mut |_| panic!("output after the end")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = decompressor.finish(&mut |_| panic!("output after the end")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn endless_empty_members_are_refused() {
    let empty = member(&[]);
    let limits = Limits::default();
    let options = DecompressOptions::default();
    for chunk in [1 << 10, usize::MAX] {
        let (_, result) = run(GZIP, &empty.repeat(20_000), chunk, &limits, &options);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit);
    }
    // As many as allowed, twice, with a byte between them.
    let some = empty.repeat(10_000);
    let file = [&some[..], &member(b"a"), &some].concat();
    assert_eq!(decode_within(GZIP, &file, &limits).unwrap(), b"a");
}

#[test]
fn endless_empty_deflate_blocks_are_refused() {
    let mut file = member(&[])[..10].to_vec();
    let empty_blocks = [0, 0, 0, 0xFF, 0xFF].repeat(1 << 20);
    let mut decompressor = crate::Decompressor::new(GZIP, &Limits::default()).unwrap();
    file.extend(&empty_blocks);
    decompressor.push(&file, &mut |_| panic!("no content")).unwrap();
    let error = (0..20).find_map(|_| decompressor.push(&empty_blocks, &mut |_| panic!("no content")).err());
    assert_eq!(error.unwrap().kind(), ErrorKind::Limit);
}
