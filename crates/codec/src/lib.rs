//! Codecs of the diskimg workspace.
//!
//! - [`Decoder`] and [`DecodeReader`]: compressed files around an image, gzip, xz and zstd, as streams.
//!   [`Wrapper`] recognises them.
//! - [`cluster`]: whole buffers in, whole buffers out: the compressed clusters of qcow2 and grains of VMDK.
//!   One object per thread, reused for every cluster.
//! - [`units`]: reading guest bytes from compressed clusters and grains, for all threads of an image.
//!
//! No I/O of its own happens here, and nothing is kept between files: whoever has the bytes hands them in.
#![forbid(unsafe_code)]

pub mod cluster;
mod codec;
mod decoder;
mod gzip;
mod reader;
#[cfg(test)]
mod tests;
pub mod units;
mod wrapper;
mod xz;
mod zstd_format;
mod zstd_stream;

pub use decoder::{Decoder, DecoderOptions};
pub use reader::DecodeReader;
pub use wrapper::Wrapper;
