//! Tests of the wrappers.

mod gzip;
mod properties;
mod reader;
mod tools;
mod xz;
mod zstd;

use std::io::Write;

use diskimg_core::{Error, ErrorKind, Finding, Limits, Result};

use crate::{DecompressOptions, Decompressor, Wrapper};

/// Sizes of pushed pieces: around a sector, around the internal buffers, everything in one call.
const CHUNKS: [usize; 6] = [1, 511, 512, 513, 64 << 10, usize::MAX];

/// Text-like bytes that compress to about a third.
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

/// Decompresses `file`, pushed in pieces of `chunk` bytes. Returns the output, and the findings or the error.
fn run_to_findings(
    wrapper: Wrapper,
    file: &[u8],
    chunk: usize,
    limits: &Limits,
    options: &DecompressOptions,
) -> (Vec<u8>, Result<Vec<Finding>>) {
    let mut disk = Vec::new();
    let mut keep = |piece: &[u8]| {
        assert!(!piece.is_empty() && piece.len() <= 128 << 10);
        disk.extend_from_slice(piece);
        Ok(())
    };
    let mut decompressor = Decompressor::with_options(wrapper, limits, options).unwrap();
    let result = file
        .chunks(chunk.min(file.len()).max(1))
        .try_for_each(|piece| decompressor.push(piece, &mut keep))
        .and_then(|()| decompressor.finish(&mut keep));
    let result = result.map(|()| decompressor.findings());
    (disk, result)
}

/// Does the same for files without findings to look at.
fn run(
    wrapper: Wrapper,
    file: &[u8],
    chunk: usize,
    limits: &Limits,
    options: &DecompressOptions,
) -> (Vec<u8>, Result<()>) {
    let (disk, result) = run_to_findings(wrapper, file, chunk, limits, options);
    (disk, result.map(drop))
}

/// Decompresses `file` in pieces of every size, xz with one thread and with four, and asserts that all results
/// agree.
fn decode_within(wrapper: Wrapper, file: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let mut all: Option<(Vec<u8>, Result<()>)> = None;
    for threads in [1, 4] {
        if threads > 1 && wrapper != Wrapper::Xz {
            continue;
        }
        let options = DecompressOptions { threads, ..DecompressOptions::default() };
        for chunk in CHUNKS {
            let (disk, result) = run(wrapper, file, chunk, limits, &options);
            match &all {
                None => all = Some((disk, result)),
                Some((other, Ok(()))) => {
                    result.unwrap();
                    assert!(disk == *other, "pieces of {chunk} bytes, {threads} threads");
                }
                Some((_, Err(other))) => {
                    let error = result.unwrap_err();
                    assert_eq!(
                        error.kind(),
                        other.kind(),
                        "pieces of {chunk} bytes, {threads} threads: {error}, but before: {other}"
                    );
                }
            }
        }
    }
    let (disk, result) = all.unwrap();
    result.map(|()| disk)
}

fn decode(wrapper: Wrapper, file: &[u8]) -> Result<Vec<u8>> {
    decode_within(wrapper, file, &Limits::default())
}

/// Asserts that `file` fails with an error of this kind that names the wrapper, has an offset within the file and
/// contains `word`.
#[track_caller]
fn refused(wrapper: Wrapper, file: &[u8], kind: ErrorKind, word: &str) -> Error {
    refused_within(wrapper, file, &Limits::default(), kind, word)
}

#[track_caller]
fn refused_within(wrapper: Wrapper, file: &[u8], limits: &Limits, kind: ErrorKind, word: &str) -> Error {
    let error = decode_within(wrapper, file, limits).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(word), "{text:?} does not name {word:?}");
    assert_eq!(error.format_name(), Some(wrapper.format()));
    assert!(text.starts_with(wrapper.name()), "{text}");
    assert!(error.offset().is_none_or(|offset| offset <= file.len() as u64), "{text}");
    error
}
