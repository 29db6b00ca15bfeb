//! Compressed files, pushed in pieces.

use diskimg::{Error, ErrorKind, Result, Wrapper};
use diskimg_codec::{Decompressor, DecompressOptions};

use crate::limits;

/// The most that is let out of a file.
const MOST: usize = 4 << 20;

/// Decodes as gzip.
pub fn gz(data: &[u8]) {
    decode(Wrapper::Gzip, data);
}

/// Decodes as xz.
pub fn xz(data: &[u8]) {
    decode(Wrapper::Xz, data);
}

/// Decodes as zstd.
pub fn zst(data: &[u8]) {
    decode(Wrapper::Zstd, data);
}

/// Decodes in pieces whose sizes the first two bytes say, and in one: both have to end alike, and neither may
/// let out what the other does not. What was decoded before an error comes out or not as the pieces fall, so
/// there one is the start of the other; and so the bound of this harness may stop only one of them.
fn decode(wrapper: Wrapper, data: &[u8]) {
    let Some((&[a, b], file)) = data.split_first_chunk::<2>() else { return };
    let whole = pushed(wrapper, file, &[usize::MAX]);
    let pieces = pushed(wrapper, file, &[usize::from(a) + 1, usize::from(b) * 16 + 1]);
    let common = whole.bytes.len().min(pieces.bytes.len());
    assert!(whole.bytes[..common] == pieces.bytes[..common], "the cut points change what comes out");
    match (whole.outcome, pieces.outcome) {
        (Outcome::Enough, other) | (other, Outcome::Enough) => assert_ne!(other, Outcome::Whole),
        (one, other) => assert_eq!(one, other),
    }
    if whole.outcome == Outcome::Whole {
        assert_eq!(whole.bytes.len(), pieces.bytes.len());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Whole,
    Failed(ErrorKind, Option<u64>),
    /// More than `MOST` came out, and the decoder was stopped.
    Enough,
}

struct Pushed {
    bytes: Vec<u8>,
    outcome: Outcome,
}

fn pushed(wrapper: Wrapper, file: &[u8], sizes: &[usize]) -> Pushed {
    let mut bytes = Vec::new();
    let mut enough = false;
    let result = run(wrapper, file, sizes, &mut |piece| {
        bytes.extend_from_slice(piece);
        enough = bytes.len() > MOST;
        if enough { Err(Error::new(ErrorKind::Cancelled)) } else { Ok(()) }
    });
    let outcome = match result {
        Ok(()) => Outcome::Whole,
        Err(_) if enough => Outcome::Enough,
        Err(error) => Outcome::Failed(error.kind(), error.offset()),
    };
    Pushed { bytes, outcome }
}

fn run(
    wrapper: Wrapper,
    file: &[u8],
    sizes: &[usize],
    keep: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let options = DecompressOptions { threads: 1, thread_memory: 1 << 20 };
    let mut decoder = Decompressor::with_options(wrapper, &limits(), &options)?;
    let mut rest = file;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at((*size).min(rest.len()));
        decoder.push(piece, keep)?;
        rest = later;
    }
    decoder.finish(keep)
}
