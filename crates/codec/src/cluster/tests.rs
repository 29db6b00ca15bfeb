use std::io::Write;
use std::process::{Command, Stdio};

use diskimg_core::ErrorKind;
use flate2::{Compress, Compression, FlushCompress, Status};
use proptest::prelude::*;

use super::{Deflater, Inflater, ZlibEncoder, ZstdDecoder, ZstdEncoder};

/// Text-like bytes: words from a small set, so that matches lie at all distances.
fn words(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        write!(bytes, "{:x} ", (state >> 40) % 5000).unwrap();
    }
    bytes.truncate(len);
    bytes
}

/// Bytes that repeat, but only at a distance of `distance`.
fn echo(distance: usize, len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let block: Vec<u8> = (0..distance)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[4]
        })
        .collect();
    block.iter().copied().cycle().take(len).collect()
}

/// A stream with a window of 32 KiB, as writers other than QEMU make them.
fn wide(input: &[u8], zlib: bool) -> Vec<u8> {
    let mut output = vec![0; input.len() + 1024];
    let mut stream = Compress::new_with_window_bits(Compression::new(6), zlib, 15);
    let status = stream.compress(input, &mut output, FlushCompress::Finish).unwrap();
    assert_eq!(status, Status::StreamEnd);
    output.truncate(usize::try_from(stream.total_out()).unwrap());
    output
}

fn deflated(level: i32, input: &[u8]) -> Vec<u8> {
    let mut output = vec![0; input.len() * 2 + 1024];
    let len = Deflater::new(Some(level)).unwrap().raw_deflate(input, &mut output).unwrap().unwrap();
    output.truncate(len);
    output
}

#[test]
fn a_cluster_survives_every_level() {
    for cluster in [words(1, 65536), echo(3000, 65536), vec![0; 2 << 20], words(2, 512), vec![9]] {
        for level in 1..=9 {
            let packed = deflated(level, &cluster);
            let mut back = vec![0xEE; cluster.len()];
            Inflater::new().raw_deflate(&packed, &mut back).unwrap();
            assert!(back == cluster, "level {level}, {} bytes", cluster.len());
        }
        for level in [-7, 0, 1, 3, 19, 22] {
            let mut packed = vec![0; cluster.len() + 1024];
            let len = ZstdEncoder::new(Some(level)).unwrap().encode(&cluster, &mut packed).unwrap().unwrap();
            let mut back = vec![0xEE; cluster.len()];
            ZstdDecoder::new().unwrap().decode(&packed[..len], &mut back).unwrap();
            assert!(back == cluster, "zstd level {level}, {} bytes", cluster.len());
        }
    }
}

#[test]
fn levels_outside_the_range_are_refused() {
    for level in [-1, 0, 10, i32::MIN, i32::MAX] {
        assert_eq!(Deflater::new(Some(level)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    for level in [23, i32::MIN, i32::MAX] {
        assert_eq!(ZstdEncoder::new(Some(level)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// What a Python whose inflater keeps a window of 4 KiB makes of a raw deflate stream, 1000 bytes at a time:
/// the bytes, or `None` if it refuses. `Err` when there is no Python.
fn python_with_a_12_bit_window(packed: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let program = "import sys, zlib\n\
                   inflater, packed = zlib.decompressobj(-12), sys.stdin.buffer.read()\n\
                   while not inflater.eof:\n\
                   \x20   piece = inflater.decompress(packed, 1000)\n\
                   \x20   packed = inflater.unconsumed_tail\n\
                   \x20   if not piece and not packed and not inflater.eof: sys.exit(1)\n\
                   \x20   sys.stdout.buffer.write(piece)\n";
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().unwrap().write_all(packed).unwrap();
    let output = child.wait_with_output().unwrap();
    Ok(output.status.success().then_some(output.stdout))
}

#[test]
fn no_distance_is_longer_than_the_window_of_4_kib() {
    let wide = wide(&echo(5000, 65536), false);
    match python_with_a_12_bit_window(&wide) {
        Ok(bytes) => assert!(bytes.is_none(), "the test would not see a wider window"),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "python3: {error}");
            eprintln!("skipped: python3 is not installed");
            return;
        }
    }
    for cluster in [words(4, 300_000), echo(4096, 65536), echo(5000, 65536), vec![0; 65536]] {
        for level in [1, 2, 4, 6, 9] {
            let bytes = python_with_a_12_bit_window(&deflated(level, &cluster)).unwrap();
            assert!(bytes.as_ref() == Some(&cluster), "level {level}");
        }
    }
}

#[test]
fn streams_with_a_wide_window_are_read() {
    let cluster = echo(30_000, 1 << 20);
    let mut back = vec![0; cluster.len()];
    Inflater::new().raw_deflate(&wide(&cluster, false), &mut back).unwrap();
    assert!(back == cluster);
}

#[test]
fn bytes_behind_a_deflate_stream_are_ignored() {
    let cluster = words(5, 65536);
    for tail in [vec![0; 511], vec![0xFF; 511], words(6, 100)] {
        let mut packed = deflated(6, &cluster);
        packed.extend_from_slice(&tail);
        let mut back = vec![0; 65536];
        Inflater::new().raw_deflate(&packed, &mut back).unwrap();
        assert!(back == cluster);
    }
}

#[test]
fn a_deflate_stream_that_goes_on_is_cut_at_the_full_output() {
    let long = words(7, 100_000);
    let mut back = vec![0; 65536];
    Inflater::new().raw_deflate(&deflated(6, &long), &mut back).unwrap();
    assert!(back == long[..65536]);
}

#[test]
fn a_deflate_stream_cut_behind_its_last_byte_of_output_is_read() {
    // QEMU takes Z_BUF_ERROR for success when the cluster is full: the end-of-block code may be missing.
    let cluster = words(8, 65536);
    let mut packed = deflated(6, &cluster);
    packed.pop();
    let mut back = vec![0; 65536];
    let result = Inflater::new().raw_deflate(&packed, &mut back);
    assert!(result.is_err() || back == cluster);
    let stored = [&[0_u8, 4, 0, 0xFB, 0xFF][..], b"abcd"].concat();
    let mut back = [0; 4];
    Inflater::new().raw_deflate(&stored, &mut back).unwrap();
    assert_eq!(&back, b"abcd");
}

#[test]
fn a_short_deflate_stream_is_corrupt() {
    let mut back = vec![0; 65536];
    let packed = deflated(6, &words(9, 65535));
    let error = Inflater::new().raw_deflate(&packed, &mut back).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), "the deflate stream ends after 65535 of 65536 bytes of output");
    for len in [0, 1, packed.len() / 2] {
        let error = Inflater::new().raw_deflate(&packed[..len], &mut back).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_grain_that_fills_less_than_the_output_tells_its_length() {
    let grain = words(10, 40_000);
    let mut packed = wide(&grain, true);
    packed.extend_from_slice(&[0; 300]);
    let mut back = vec![0; 65536];
    let len = Inflater::new().zlib(&packed, &mut back).unwrap();
    assert!(back[..len] == grain);
}

#[test]
fn a_broken_grain_is_corrupt() {
    let grain = words(11, 65536);
    let packed = wide(&grain, true);
    let mut back = vec![0; 65536];
    let mut wrong_sum = packed.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    for bad in [&wrong_sum[..], &packed[..packed.len() - 1], &packed[..100], &[], b"not zlib at all"] {
        assert_eq!(Inflater::new().zlib(bad, &mut back).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let error = Inflater::new().zlib(&packed, &mut back[..65535]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), "the zlib stream does not end within 65535 bytes of output");
}

#[test]
fn what_does_not_fit_is_none() {
    let noise: Vec<u8> = echo(65536, 65536);
    let mut output = vec![0; 65535];
    assert_eq!(Deflater::new(None).unwrap().raw_deflate(&noise, &mut output).unwrap(), None);
    assert_eq!(ZstdEncoder::new(None).unwrap().encode(&noise, &mut output).unwrap(), None);
    assert_eq!(Deflater::new(None).unwrap().raw_deflate(&noise, &mut []).unwrap(), None);
    assert_eq!(ZstdEncoder::new(None).unwrap().encode(&noise, &mut []).unwrap(), None);
}

#[test]
fn any_number_of_outputs_too_short_leaves_the_deflater_working() {
    let mut deflater = Deflater::new(None).unwrap();
    let noise = words(7, 4096);
    for _ in 0..2000 {
        assert_eq!(deflater.raw_deflate(&noise, &mut [0; 100]).unwrap(), None);
    }
    let mut output = vec![0; 8192];
    let len = deflater.raw_deflate(&noise, &mut output).unwrap().unwrap();
    assert_eq!(output[..len], deflated(6, &noise));
}

#[test]
fn what_fits_exactly_is_not_none() {
    let cluster = words(12, 65536);
    let len = deflated(6, &cluster).len();
    let mut output = vec![0; len];
    assert_eq!(Deflater::new(None).unwrap().raw_deflate(&cluster, &mut output).unwrap(), Some(len));
    assert_eq!(Deflater::new(None).unwrap().raw_deflate(&cluster, &mut output[..len - 1]).unwrap(), None);
}

#[test]
fn output_does_not_depend_on_what_came_before() {
    let mut deflater = Deflater::new(None).unwrap();
    let mut encoder = ZstdEncoder::new(None).unwrap();
    let mut output = vec![0; 70_000];
    for seed in 0..20 {
        let cluster = words(seed, 65536 - usize::try_from(seed).unwrap() * 1000);
        // A call that is cut short must leave nothing behind either.
        assert_eq!(deflater.raw_deflate(&cluster, &mut output[..100]).unwrap(), None);
        assert_eq!(encoder.encode(&cluster, &mut output[..100]).unwrap(), None);
        let len = deflater.raw_deflate(&cluster, &mut output).unwrap().unwrap();
        assert!(output[..len] == deflated(6, &cluster));
        let len = encoder.encode(&cluster, &mut output).unwrap().unwrap();
        let mut fresh = vec![0; 70_000];
        let fresh_len = ZstdEncoder::new(None).unwrap().encode(&cluster, &mut fresh).unwrap().unwrap();
        assert!(output[..len] == fresh[..fresh_len]);
    }
}

#[test]
fn a_decoder_works_again_after_an_error() {
    let cluster = words(13, 65536);
    let packed = deflated(6, &cluster);
    let grain = wide(&cluster, true);
    let frame = zstd::bulk::compress(&cluster, 3).unwrap();
    let (mut inflater, mut decoder) = (Inflater::new(), ZstdDecoder::new().unwrap());
    let mut back = vec![0; 65536];
    for _ in 0..3 {
        assert!(inflater.raw_deflate(&[0xFF; 100], &mut back).is_err());
        inflater.raw_deflate(&packed, &mut back).unwrap();
        assert!(back == cluster);
        assert!(inflater.zlib(&packed, &mut back).is_err());
        assert_eq!(inflater.zlib(&grain, &mut back).unwrap(), 65536);
        assert!(back == cluster);
        assert!(decoder.decode(&frame[..frame.len() / 2], &mut back).is_err());
        decoder.decode(&frame, &mut back).unwrap();
        assert!(back == cluster);
    }
}

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
fn a_zstd_cluster_with_a_checksum_is_checked() {
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
fn zstd_frames_that_do_not_make_the_cluster_are_corrupt() {
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
fn q34_a_zstd_window_above_8_mib_is_a_limit() {
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
    // A frame of a single segment, 2^23 + 1 bytes by its own account.
    let single = [0x28, 0xB5, 0x2F, 0xFD, 0xA0, 1, 0, 0x80, 0, 0x11, 0, 0, b'a', b'b'];
    assert_eq!(ZstdDecoder::new().unwrap().decode(&single, &mut back).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_zstd_frame_with_a_dictionary_is_unsupported() {
    let frame = [0x28, 0xB5, 0x2F, 0xFD, 1, 0, 7, 0x11, 0, 0, b'a', b'b'];
    let error = ZstdDecoder::new().unwrap().decode(&frame, &mut [0; 2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

proptest! {
    #[test]
    fn any_bytes_survive_any_level(data in prop::collection::vec(0..4_u8, 0..20_000), level in 1..=9, tail in 0..600_usize) {
        let mut packed = deflated(level, &data);
        packed.resize(packed.len() + tail, 0xA5);
        let mut back = vec![0xEE; data.len()];
        Inflater::new().raw_deflate(&packed, &mut back).unwrap();
        prop_assert!(back == data);
        let mut packed = vec![0; data.len() + 1024];
        let len = ZstdEncoder::new(Some(level)).unwrap().encode(&data, &mut packed).unwrap().unwrap();
        back.fill(0xEE);
        ZstdDecoder::new().unwrap().decode(&packed[..len + tail.min(packed.len() - len)], &mut back).unwrap();
        prop_assert!(back == data);
    }

    #[test]
    fn garbage_gives_an_error_or_bytes_but_no_panic(data in prop::collection::vec(any::<u8>(), 0..3000), room in 0..5000_usize) {
        let mut back = vec![0; room];
        let _ = Inflater::new().raw_deflate(&data, &mut back);
        let _ = Inflater::new().zlib(&data, &mut back);
        let _ = ZstdDecoder::new().unwrap().decode(&data, &mut back);
        let mut framed = vec![0x28, 0xB5, 0x2F, 0xFD];
        framed.extend_from_slice(&data);
        let _ = ZstdDecoder::new().unwrap().decode(&framed, &mut back);
    }

    #[test]
    fn a_flipped_bit_in_a_grain_is_never_silent(seed in any::<u64>(), bit in any::<prop::sample::Index>()) {
        let grain = words(seed, 5000);
        let mut packed = wide(&grain, true);
        let bit = bit.index(packed.len() * 8);
        packed[bit / 8] ^= 1 << (bit % 8);
        let mut back = vec![0; 5000];
        if let Ok(len) = Inflater::new().zlib(&packed, &mut back) {
            prop_assert!(back[..len] == grain);
        }
    }
}

#[test]
fn a_grain_survives_every_level_and_fits_the_promised_room() {
    for grain in [words(1, 65536), echo(60_000, 65536), vec![0; 1 << 20], words(2, 512), vec![9], vec![]] {
        for level in 1..=9 {
            let mut encoder = ZlibEncoder::new(Some(level)).unwrap();
            let mut packed = vec![0xEE; ZlibEncoder::most(grain.len())];
            let len = encoder.encode(&grain, &mut packed).unwrap().unwrap();
            let mut back = vec![0xEE; grain.len() + 1];
            let read = Inflater::new().zlib(&packed[..len], &mut back).unwrap();
            assert!(back[..read] == grain, "level {level}, {} bytes", grain.len());
        }
    }
}

#[test]
fn what_a_grain_encoder_did_before_changes_nothing() {
    let grain = words(3, 65536);
    let mut encoder = ZlibEncoder::new(None).unwrap();
    let mut first = vec![0; 65536];
    let len = encoder.encode(&grain, &mut first).unwrap().unwrap();
    assert_eq!(encoder.encode(&grain, &mut vec![0; len - 1]).unwrap(), None);
    assert_eq!(encoder.encode(&echo(60_000, 65536), &mut [0; 100]).unwrap(), None);
    let mut again = vec![0; 65536];
    assert_eq!(encoder.encode(&grain, &mut again).unwrap(), Some(len));
    assert_eq!(first, again);
    for level in [-1, 0, 10, i32::MAX] {
        assert_eq!(ZlibEncoder::new(Some(level)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
