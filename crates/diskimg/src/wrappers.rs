//! The decompressors of compressed files.

use std::io::Read;

use diskimg_codec::{DecompressOptions, Wrapper};
use diskimg_core::{Limits, Result};

pub(crate) use diskimg_codec::{DecompressReader, Decompressor};

/// A decompressor of pushed bytes with this number of threads.
pub(crate) fn decompressor(wrapper: Wrapper, limits: &Limits, threads: u32) -> Result<Decompressor> {
    let options = DecompressOptions { threads, ..DecompressOptions::default() };
    Decompressor::with_options(wrapper, limits, &options)
}

/// The decompressed bytes of a stream, with this number of threads.
pub(crate) fn decompress_reader<R: Read + Send>(
    stream: R,
    wrapper: Wrapper,
    limits: &Limits,
    threads: u32,
) -> Result<DecompressReader<R>> {
    Ok(DecompressReader::new(stream, decompressor(wrapper, limits, threads)?))
}
