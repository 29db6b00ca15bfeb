//! Compressed files around an image: gzip, xz and zstd.

mod content_size;
mod decompress_options;
mod decompress_reader;
mod decompressor;
mod gzip;
mod stream_codec;
#[cfg(test)]
mod tests;
mod xz;
mod xz_dictionary;
mod zstd;

pub use decompress_options::DecompressOptions;
pub use decompress_reader::DecompressReader;
pub use decompressor::Decompressor;
