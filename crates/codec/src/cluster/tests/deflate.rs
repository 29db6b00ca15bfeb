//! Deflate and zstd clusters: levels, windows, outputs that are too small.

use std::io::Write;
use std::process::{Command, Stdio};

use diskimg_core::ErrorKind;

use super::super::{Deflater, Inflater, ZstdDecoder, ZstdEncoder};
use super::{deflated, echo, wide, words};

#[test]
fn cluster_survives_every_level() {
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
fn level_out_of_range_is_refused() {
    for level in [-1, 0, 10, i32::MIN, i32::MAX] {
        assert_eq!(Deflater::new(Some(level)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    for level in [23, i32::MIN, i32::MAX] {
        assert_eq!(ZstdEncoder::new(Some(level)).err().unwrap().kind(), ErrorKind::InvalidInput);
    }
}

/// Inflates a raw deflate stream with Python and a window of 4 KiB, 1000 bytes at a time. `None` if Python refuses
/// it, `Err` if there is no Python.
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
fn distances_are_within_a_window_of_4_kib() {
    let wide = wide(&echo(5000, 65536), false);
    match python_with_a_12_bit_window(&wide) {
        Ok(bytes) => assert!(bytes.is_none(), "the test would not detect a wider window"),
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
fn stream_with_a_window_of_32_kib_is_read() {
    let cluster = echo(30_000, 1 << 20);
    let mut back = vec![0; cluster.len()];
    Inflater::new().raw_deflate(&wide(&cluster, false), &mut back).unwrap();
    assert!(back == cluster);
}

#[test]
fn bytes_after_a_deflate_stream_are_ignored() {
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
fn deflate_stream_longer_than_the_output_fills_it() {
    let long = words(7, 100_000);
    let mut back = vec![0; 65536];
    Inflater::new().raw_deflate(&deflated(6, &long), &mut back).unwrap();
    assert!(back == long[..65536]);
}

#[test]
fn deflate_stream_without_end_of_block_code_is_read() {
    // QEMU accepts Z_BUF_ERROR if the cluster is full, so the end-of-block code may be missing.
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
fn short_deflate_stream_is_corrupt() {
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
fn deflater_returns_none_for_a_cluster_that_does_not_fit() {
    let noise: Vec<u8> = echo(65536, 65536);
    let mut output = vec![0; 65535];
    assert_eq!(Deflater::new(None).unwrap().raw_deflate(&noise, &mut output).unwrap(), None);
    assert_eq!(ZstdEncoder::new(None).unwrap().encode(&noise, &mut output).unwrap(), None);
    assert_eq!(Deflater::new(None).unwrap().raw_deflate(&noise, &mut []).unwrap(), None);
    assert_eq!(ZstdEncoder::new(None).unwrap().encode(&noise, &mut []).unwrap(), None);
}

#[test]
fn deflater_works_after_many_outputs_that_were_too_short() {
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
fn cluster_that_fits_exactly_is_returned() {
    let cluster = words(12, 65536);
    let len = deflated(6, &cluster).len();
    let mut output = vec![0; len];
    assert_eq!(Deflater::new(None).unwrap().raw_deflate(&cluster, &mut output).unwrap(), Some(len));
    assert_eq!(Deflater::new(None).unwrap().raw_deflate(&cluster, &mut output[..len - 1]).unwrap(), None);
}

#[test]
fn output_does_not_depend_on_earlier_calls() {
    let mut deflater = Deflater::new(None).unwrap();
    let mut encoder = ZstdEncoder::new(None).unwrap();
    let mut output = vec![0; 70_000];
    for seed in 0..20 {
        let cluster = words(seed, 65536 - usize::try_from(seed).unwrap() * 1000);
        // A call that runs out of output must not affect the next one.
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
fn decoders_work_after_an_error() {
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
