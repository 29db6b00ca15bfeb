//! Tests of the whole-buffer codecs.

mod deflate;
mod properties;
mod zlib;
mod zstd;

use std::io::Write;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::Deflater;

/// Returns text-like bytes: words from a small set, with matches at all distances.
pub(super) fn words(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        write!(bytes, "{:x} ", (state >> 40) % 5000).unwrap();
    }
    bytes.truncate(len);
    bytes
}

/// Returns noise that repeats after `distance` bytes.
pub(super) fn echo(distance: usize, len: usize) -> Vec<u8> {
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

/// Returns a stream with a window of 32 KiB, as writers other than QEMU produce.
pub(super) fn wide(input: &[u8], zlib: bool) -> Vec<u8> {
    let mut output = vec![0; input.len() + 1024];
    let mut stream = Compress::new_with_window_bits(Compression::new(6), zlib, 15);
    let status = stream.compress(input, &mut output, FlushCompress::Finish).unwrap();
    assert_eq!(status, Status::StreamEnd);
    output.truncate(usize::try_from(stream.total_out()).unwrap());
    output
}

/// Returns `input` as a raw deflate stream of the [`Deflater`].
pub(super) fn deflated(level: i32, input: &[u8]) -> Vec<u8> {
    let mut output = vec![0; input.len() * 2 + 1024];
    let len = Deflater::new(Some(level)).unwrap().raw_deflate(input, &mut output).unwrap().unwrap();
    output.truncate(len);
    output
}

#[test]
fn codecs_are_send() {
    fn sends<T: Send>() {}
    sends::<super::Inflater>();
    sends::<Deflater>();
    sends::<super::ZlibEncoder>();
    sends::<super::ZstdDecoder>();
    sends::<super::ZstdEncoder>();
}
