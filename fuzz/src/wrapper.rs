//! Compressed files, decompressed in chunks.

use diskimg::{Error, ErrorKind, Result, Wrapper};
use diskimg_codec::{DecompressOptions, Decompressor};

use crate::limits;

/// The largest number of bytes to decompress.
const MOST: usize = 4 << 20;

/// Decompresses bytes as gzip.
pub fn gz(data: &[u8]) {
    decode(Wrapper::Gzip, data);
}

/// Decompresses bytes as xz.
pub fn xz(data: &[u8]) {
    decode(Wrapper::Xz, data);
}

/// Decompresses bytes as zstd.
pub fn zst(data: &[u8]) {
    decode(Wrapper::Zstd, data);
}

/// Decompresses in chunks of the sizes in the first two bytes, and as a whole. Both must have the same outcome. The
/// output before an error depends on the chunks, so one output is then a prefix of the other, and the limit of this
/// harness may stop only one of them.
fn decode(wrapper: Wrapper, data: &[u8]) {
    let Some((&[a, b], file)) = data.split_first_chunk::<2>() else { return };
    let whole = pushed(wrapper, file, &[usize::MAX]);
    let chunked = pushed(wrapper, file, &[usize::from(a) + 1, usize::from(b) * 16 + 1]);
    let common = whole.bytes.len().min(chunked.bytes.len());
    assert!(whole.bytes[..common] == chunked.bytes[..common], "the chunk sizes change the output");
    match (whole.outcome, chunked.outcome) {
        (Outcome::Enough, other) | (other, Outcome::Enough) => assert_ne!(other, Outcome::Whole),
        (one, other) => assert_eq!(one, other),
    }
    if whole.outcome == Outcome::Whole {
        assert_eq!(whole.bytes.len(), chunked.bytes.len());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Whole,
    Failed(ErrorKind, Option<u64>),
    /// The output exceeded `MOST`, and the decompressor was stopped.
    Enough,
}

struct Pushed {
    bytes: Vec<u8>,
    outcome: Outcome,
}

fn pushed(wrapper: Wrapper, file: &[u8], sizes: &[usize]) -> Pushed {
    let mut bytes = Vec::new();
    let mut enough = false;
    let result = run(wrapper, file, sizes, &mut |chunk| {
        bytes.extend_from_slice(chunk);
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
        let (chunk, later) = rest.split_at((*size).min(rest.len()));
        decoder.push(chunk, keep)?;
        rest = later;
    }
    decoder.finish(keep)
}
