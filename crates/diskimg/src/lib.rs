//! Virtual-disk images: recognise, inspect, read, compare and convert them, safely.
//!
//! Everything that can be read is a [`BlockSource`], everything that can be written a [`BlockSink`]. An
//! [`Opener`] turns a file into a [`Disk`]; [`convert()`] turns a source into a sink; a [`Target`] makes the
//! sink of a file that appears whole or not at all.
//!
//! The bytes of an image, and every name inside it, may come from a stranger: nothing a name points to is
//! opened unless a [`Resolver`] allows it, raw is never guessed, every cost is bounded by [`Limits`], and
//! bad input gives one [`Error`] that names format, field, byte offset, what was found and what was
//! expected.
//!
//! ```
//! use diskimg::{BlockSource, ConvertOptions, Opener, Target, convert, driver, inspect};
//! # let dir = tempfile::tempdir().unwrap();
//! # let (source, target) = (dir.path().join("disk.qcow2"), dir.path().join("disk.raw"));
//! # Target::file(&source, driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
//! println!("{} bytes", inspect(&source)?.info.virtual_size);
//!
//! let disk = Opener::new().open(&source)?;
//! let sink = Target::file(&target, driver("raw")?.format).create(Some(disk.size()))?;
//! convert(&disk, sink, &ConvertOptions::default(), &())?;
//! # Ok::<(), diskimg::Error>(())
//! ```
//!
//! This is a library, not a process: it keeps no global state, installs no signal handler, prints nothing,
//! and leaves no thread running after a call.
#![forbid(unsafe_code)]

mod archive;
mod byte_stream;
mod check;
mod compare;
mod convert;
mod decompress;
mod disk;
mod drivers;
mod foreign_formats;
mod host_file;
mod host_id;
mod inspect;
mod inspection;
#[cfg(feature = "json")]
pub mod json;
mod layers;
mod measure;
mod null_sink;
mod opener;
mod opening;
mod probe;
mod resolve;
mod sniff;
mod spool;
mod stream_input;
mod tail;
#[cfg_attr(not(feature = "wrappers"), path = "no_wrappers.rs")]
mod wrappers;

pub use archive::ArchivedDisk;
pub use check::Checked;
pub use compare::{CompareOptions, Comparison, Difference, Status, compare};
pub use convert::{ConvertOptions, Converted, Sparse, StreamConvert, Target, convert, convert_stream};
pub use disk::Disk;
pub use diskimg_codec::Wrapper;
pub use diskimg_core::{
    Batch, BlockSink, BlockSource, Budget, Cancel, Chain, CheckReport, CreateOptions, DenyReferences, Detail,
    Driver, Error, ErrorKind, Extent, ExtentKind, Extents, Finding, Format, FormatProber, FormatReport,
    HostRange, Identity, Image, ImageInfo, LimitKind, Limits, Location, Measured, Memory, MemorySink,
    OpenOptions, Printable, Probed, Problem, ProblemKind, Progress, Reference, ReferenceRole, Remedy,
    Resolver, Result, Segment, Setting, SettingHelp, Severity, Siblings, SinkProperties, Snapshot,
    SnapshotSelector, SpillFile, StreamDecoder, Verdict, Window, WriteOrder, check_range,
};
pub use diskimg_raw::{
    Content, Copies, FileSink, FileSource, Preallocation, SinkOptions, SourceOptions, StreamSink,
};
pub use drivers::{driver, drivers};
pub use inspect::inspect;
pub use inspection::Inspection;
pub use opener::Opener;
pub use opening::Input;
pub use probe::{ProbeReport, Prober};
pub use resolve::WithinDirectory;
pub use sniff::{Sniffed, looks_like_image, sniff, sniff_head};
pub use spool::Spool;
pub use stream_input::StreamInput;
