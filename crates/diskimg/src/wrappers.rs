//! The decompressors of compressed files.

use std::io::Read;

use diskimg_codec::{DecompressOptions, DecompressReader, Wrapper};
use diskimg_core::Result;

pub(crate) use diskimg_codec::Decompressor;

use crate::opener::Opener;

/// A decompressor of pushed bytes.
pub(crate) fn decompressor(wrapper: Wrapper, opener: &Opener) -> Result<Decompressor> {
    let options = DecompressOptions { threads: opener.threads, ..DecompressOptions::default() };
    Decompressor::with_options(wrapper, &opener.limits, &options)
}

/// The decompressed bytes of a stream.
pub(crate) fn decompress_reader(
    stream: impl Read + Send + 'static,
    wrapper: Wrapper,
    opener: &Opener,
) -> Result<Box<dyn Read + Send>> {
    Ok(Box::new(DecompressReader::new(stream, decompressor(wrapper, opener)?)))
}
