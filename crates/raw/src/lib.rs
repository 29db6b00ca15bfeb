//! Host files and block devices as disks, and recognition of their content.
//!
//! - [`FileSource`] reads a file or block device and reports holes as zeros; [`MappedFile`] maps one into memory.
//! - [`FileSink`] writes one, with holes, preallocation, copies inside the kernel or direct I/O; [`StreamSink`] writes a
//!   pipe.
//! - [`recognise()`] recognises the content of a raw disk: a partition table, a file system, an optical disc.
//! - [`ImageLock`] holds QEMU's locks on a file, so that no two processes write an image, or write and read it.
//! - [`DRIVER`] is the format `raw`: every byte of the file is a byte of the disk. It is never guessed: a caller
//!   requests it explicitly, or calls [`recognise()`] first.
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
mod disk_file;
mod driver;
mod error;
mod existing_target;
mod file_ops;
mod file_sink;
mod file_source;
mod format;
mod head;
mod holes;
mod host_run;
mod image;
mod image_lock;
mod mapped_file;
mod open_mode;
mod optical;
mod partitions;
mod platform;
mod raw_sink;
mod recognise;
mod sink_options;
mod stored_zeros;
mod stream_sink;
mod superblocks;
mod target_file;

pub use content::Content;
pub use disk_file::MAX_FILE_LEN;
pub use driver::DRIVER;
pub use existing_target::open_target;
pub use file_sink::FileSink;
pub use file_source::{FileSource, SourceOptions};
pub use format::RAW;
pub use head::HEAD;
pub use image::RawImage;
pub use image_lock::{ImageLock, ImageUse};
pub use mapped_file::MappedFile;
pub use optical::findings;
pub use partitions::gpt_disk_size;
pub use recognise::{recognise, recognise_head};
pub use sink_options::{Copies, Preallocation, SinkOptions};
pub use stored_zeros::StoredZeros;
pub use stream_sink::StreamSink;
