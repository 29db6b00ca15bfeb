//! Virtual-disk images: recognise, inspect, read, compare and convert them, safely.
//!
//! An [`Opener`] opens a file, a source or a stream. A [`Disk`] is an opened image with all layers below it, read like
//! any [`BlockSource`]. An [`Input`] converts itself to a [`Target`], which appears complete or not at all.
//!
//! ```
//! use diskimg::{BlockSource, Opener, Target, convert_file, driver, inspect};
//! # let dir = tempfile::tempdir().unwrap();
//! # let (source, target) = (dir.path().join("disk.qcow2"), dir.path().join("disk.raw"));
//! # Target::file(&source, driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
//! println!("{} bytes", inspect(&source)?.info.virtual_size);
//!
//! let mut first_sector = [0; 512];
//! Opener::new().open(&source)?.read_at(0, &mut first_sector)?;
//!
//! convert_file(&source, &target, "raw")?;
//! # Ok::<(), diskimg::Error>(())
//! ```
//!
//! Images, and all names inside them, may come from untrusted sources. No name is followed unless a [`Resolver`] allows
//! it, raw is never assumed, memory and sizes are bounded by [`Limits`], and defects give one [`Error`] that names
//! format, field, byte offset, found and expected value.
//!
//! The library keeps no global state, installs no signal handler, prints nothing, and leaves no thread running after
//! a call.
//!
//! The modules [`core`] and [`raw`] export what custom sources, sinks, resolvers and formats need.
//! [`Opener::with_drivers`] reads formats of one's own, or fewer.
//!
//! # Features
//! `qcow2`, `vmdk`, `vdi` and `wrappers` (gz, xz and zst files) are on by default. A build without one of them
//! recognises such files and refuses them as unsupported. `bundled-xz`, on by default, links liblzma statically. `json`
//! adds the module `json`.
#![forbid(unsafe_code)]

mod archive;
mod below;
mod byte_stream;
mod check;
mod compare;
mod convert;
mod decompress;
mod disk;
mod drivers;
mod extent_name;
mod file_settings;
mod finding_log;
mod foreign_formats;
mod host_file;
mod host_id;
mod inspect;
mod inspect_below;
mod inspect_image;
mod inspection;
#[cfg(feature = "json")]
pub mod json;
mod layers;
mod locking;
mod measure;
mod opened_files;
mod opener;
mod opening;
mod other_files;
mod parent_file;
mod preallocated;
mod probe;
mod resolve;
mod signal_mask;
mod sniff;
mod spool;
mod stoppable;
mod stream_input;
mod tail;
mod workers;
#[cfg_attr(not(feature = "wrappers"), path = "no_wrappers.rs")]
mod wrappers;

pub use archive::ArchiveMember;
pub use check::Checked;
pub use compare::{CompareOptions, Comparison, Difference, Status, compare};
pub use convert::{
    ConvertOptions, Converted, Sparse, StreamConvert, Target, UnfinishedFiles, convert, convert_file,
};
pub use disk::Disk;
pub use diskimg_codec::Wrapper;
pub use diskimg_core as core;
pub use diskimg_core::{
    BlockSink, BlockSource, Cancel, Driver, Error, ErrorKind, Extent, ExtentKind, Extents, Fault, Finding,
    Format, Image, ImageInfo, LimitKind, Limits, Memory, MemorySink, Printable, Progress, Reference,
    ReferenceRole, Remedy, Resolver, Result, Setting, Severity, SnapshotSelector, Window,
};
pub use diskimg_raw as raw;
pub use diskimg_raw::{Content, FileSource, Preallocation};
pub use drivers::{driver, drivers};
pub use file_settings::settings;
pub use inspect::inspect;
pub use inspect_below::InspectionBelow;
pub use inspection::Inspection;
pub use locking::Locking;
pub use opener::Opener;
pub use opening::Input;
pub use other_files::OtherFile;
pub use parent_file::ParentFile;
pub use preallocated::PreallocatedFiles;
pub use probe::{ProbeReport, Probed, Prober};
pub use resolve::{SearchPath, Unfollowed, WithinDirectory};
pub use sniff::{Sniffed, looks_like_image, sniff, sniff_head};
pub use spool::Spool;
pub use stream_input::StreamInput;
