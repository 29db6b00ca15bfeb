//! Compressed files, pushed in pieces.

use diskimg::{Error, ErrorKind, Result, Wrapper};
use diskimg_codec::{Decoder, DecoderOptions};

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

/// Decodes in pieces whose sizes the first two bytes say, and in one: both have to end alike.
fn decode(wrapper: Wrapper, data: &[u8]) {
    let Some((&[a, b], file)) = data.split_first_chunk::<2>() else { return };
    let whole = pushed(wrapper, file, &[usize::MAX]);
    let pieces = pushed(wrapper, file, &[usize::from(a) + 1, usize::from(b) * 16 + 1]);
    assert_eq!(whole.outcome, pieces.outcome);
    if whole.outcome.is_ok() {
        assert!(whole.bytes == pieces.bytes, "the cut points change what comes out");
    }
}

struct Pushed {
    bytes: Vec<u8>,
    outcome: std::result::Result<(), ErrorKind>,
}

fn pushed(wrapper: Wrapper, file: &[u8], sizes: &[usize]) -> Pushed {
    let mut bytes = Vec::new();
    let outcome = run(wrapper, file, sizes, &mut bytes).map_err(|error| error.kind());
    Pushed { bytes, outcome }
}

fn run(wrapper: Wrapper, file: &[u8], sizes: &[usize], bytes: &mut Vec<u8>) -> Result<()> {
    let mut keep = |piece: &[u8]| {
        if bytes.len() + piece.len() > MOST {
            return Err(Error::new(ErrorKind::Limit).because("enough"));
        }
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let options = DecoderOptions { threads: 1, thread_memory: 1 << 20 };
    let mut decoder = Decoder::with_options(wrapper, &limits(), &options)?;
    let mut rest = file;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at((*size).min(rest.len()));
        decoder.push(piece, &mut keep)?;
        rest = later;
    }
    decoder.finish(&mut keep)
}
