//! Host files and block devices as disks, and what is on them.
//!
//! - [`FileSource`] reads a file or block device, holes told as zeros; [`MappedFile`] maps one into memory.
//! - [`FileSink`] writes one, with holes, preallocation, copies inside the kernel or direct I/O;
//!   [`StreamSink`] writes a pipe.
//! - [`recognise`] says what a raw disk begins with: a partition table, a file system, an optical disc.
//! - [`DRIVER`] is the format `raw`: every byte of the file is a byte of the disk. It is never guessed; a
//!   caller who wants a file to be raw says so, or asks [`recognise`] first.
//!
//! ```
//! use diskimg_core::BlockSource;
//! use diskimg_raw::{Content, FileSource, recognise};
//!
//! let path = std::env::temp_dir().join(format!("diskimg-doc-raw-{}", std::process::id()));
//! std::fs::write(&path, vec![0; 1 << 20])?;
//! let disk = FileSource::open(&path)?;
//! assert_eq!(recognise(&disk)?, Some(Content::Zeros));
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

mod aligned;
mod content;
mod coverage;
mod decoder;
mod driver;
mod error;
mod file_ops;
mod file_sink;
mod file_source;
mod holes;
mod image;
mod mapped_file;
mod optical;
mod partitions;
mod platform;
mod raw_sink;
mod stream_sink;
mod superblocks;

pub use content::{Content, HEAD, findings, recognise, recognise_head};
pub use driver::DRIVER;
pub use error::RAW;
pub use file_sink::{Copies, FileSink, Preallocation, SinkOptions};
pub use file_source::{FileSource, SourceOptions};
pub use image::RawImage;
pub use mapped_file::MappedFile;
pub use stream_sink::StreamSink;
