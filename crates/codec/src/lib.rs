//! Codecs of the diskimg workspace.
//!
//! - [`cluster`]: decompresses and compresses whole buffers, the compressed clusters of qcow2 and grains of VMDK.
//!   An object serves one thread and is reused for every cluster. [`units`] reads an image's compressed units
//!   with them. Feature `clusters`.
//! - [`Decompressor`] and [`DecompressReader`]: decompress a gzip, xz or zstd file around an image as a stream.
//!   [`Wrapper`] recognises such files. Feature `wrappers`.
//!
//! The crate does no I/O of its own and keeps nothing between files.
#![forbid(unsafe_code)]

#[cfg(feature = "clusters")]
pub mod cluster;
#[cfg(feature = "clusters")]
pub mod units;
#[cfg(feature = "wrappers")]
mod wrappers;
#[cfg(any(feature = "clusters", feature = "wrappers"))]
mod zstd_errors;

#[cfg(feature = "wrappers")]
pub use wrappers::{DecompressOptions, DecompressReader, Decompressor, Wrapper};
