//! Codecs of the diskimg workspace.
//!
//! - [`cluster`]: decompresses and compresses whole buffers, the compressed clusters of qcow2 and grains of VMDK.
//!   An object serves one thread and is reused for every cluster. [`units`] reads an image's compressed units
//!   with them. Feature `clusters`.
//! - [`Wrapper`]: recognises gzip, xz and zstd files around an image. [`Decompressor`] and [`DecompressReader`]
//!   decompress them as streams. Feature `wrappers`, except for the recognition.
//!
//! The crate does no I/O of its own and keeps nothing between files.
#![forbid(unsafe_code)]

#[cfg(feature = "clusters")]
pub mod cluster;
#[cfg(feature = "clusters")]
pub mod units;
mod wrapper;
#[cfg(feature = "wrappers")]
mod wrappers;
#[cfg(any(feature = "clusters", feature = "wrappers"))]
mod zstd_errors;

pub use wrapper::{TRAILING_DATA, Wrapper};
#[cfg(feature = "wrappers")]
pub use wrappers::{DecompressOptions, DecompressReader, Decompressor};
