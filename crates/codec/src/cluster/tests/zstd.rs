//! zstd clusters of several, damaged or hostile frames.

use diskimg_core::ErrorKind;

use super::super::ZstdDecoder;
use super::words;

#[test]
fn several_zstd_frames_make_one_cluster() {
    let cluster = words(14, 65536);
    let mut packed = zstd::bulk::compress(&cluster[..10], 3).unwrap();
    packed.extend(zstd::bulk::compress(&[], 3).unwrap());
    packed.extend([0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    packed.extend(zstd::encode_all(&cluster[10..40_000], 1).unwrap());
    packed.extend(zstd::bulk::compress(&cluster[40_000..], 3).unwrap());
    packed.extend_from_slice(&[0; 200]);
    let mut back = vec![0; 65536];
    ZstdDecoder::new().unwrap().decode(&packed, &mut back).unwrap();
    assert!(back == cluster);
}

#[test]
fn checksum_of_a_zstd_frame_is_verified() {
    let cluster = words(15, 65536);
    let mut encoder = zstd::bulk::Compressor::new(3).unwrap();
    encoder.include_checksum(true).unwrap();
    let mut packed = encoder.compress(&cluster).unwrap();
    let mut back = vec![0; 65536];
    ZstdDecoder::new().unwrap().decode(&packed, &mut back).unwrap();
    assert!(back == cluster);
    *packed.last_mut().unwrap() ^= 1;
    let error = ZstdDecoder::new().unwrap().decode(&packed, &mut back).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[test]
fn zstd_frames_of_another_size_than_the_cluster_are_corrupt() {
    let cluster = words(16, 65536);
    let frame = zstd::bulk::compress(&cluster, 3).unwrap();
    let unknown_size = zstd::encode_all(&cluster[..], 3).unwrap();
    let mut back = vec![0; 65536];
    for frame in [&frame, &unknown_size] {
        for len in [0, 1, 3, 4, 5, 6, 9, frame.len() / 2, frame.len() - 1] {
            let error = ZstdDecoder::new().unwrap().decode(&frame[..len], &mut back).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{len} bytes: {error}");
        }
        for size in [1, 65535] {
            let error = ZstdDecoder::new().unwrap().decode(frame, &mut back[..size]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{size} bytes of room: {error}");
        }
        let error = ZstdDecoder::new().unwrap().decode(frame, &mut vec![0; 65537]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    assert_eq!(
        ZstdDecoder::new().unwrap().decode(b"not zstd at all", &mut back).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn zstd_window_above_8_mib_is_refused() {
    // A frame with this window descriptor and one raw block of "ab".
    let frame = |window: u8| [0x28, 0xB5, 0x2F, 0xFD, 0, window, 0x11, 0, 0, b'a', b'b'];
    let mut back = [0; 2];
    let exponent = |log: u8| (log - 10) << 3;
    ZstdDecoder::new().unwrap().decode(&frame(exponent(23)), &mut back).unwrap();
    assert_eq!(&back, b"ab");
    for window in [exponent(23) + 1, exponent(24), exponent(27), 0xFF] {
        let error = ZstdDecoder::new().unwrap().decode(&frame(window), &mut back).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{window:#x}");
    }
    // A frame of a single segment with a content size of 2^23 + 1 bytes.
    let single = [0x28, 0xB5, 0x2F, 0xFD, 0xA0, 1, 0, 0x80, 0, 0x11, 0, 0, b'a', b'b'];
    assert_eq!(ZstdDecoder::new().unwrap().decode(&single, &mut back).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn zstd_frame_with_a_dictionary_is_unsupported() {
    let frame = [0x28, 0xB5, 0x2F, 0xFD, 1, 0, 7, 0x11, 0, 0, b'a', b'b'];
    let error = ZstdDecoder::new().unwrap().decode(&frame, &mut [0; 2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
