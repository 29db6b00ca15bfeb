//! Vocabulary of the diskimg workspace.
//!
//! A [`BlockSource`] is a virtual disk that can be read: a host file, an image, a [`Window`] of one, a
//! [`Chain`] of layers, [`Memory`], or a caller's own type. A [`BlockSink`] is a virtual disk being written.
//! A format crate turns one source into another and describes itself with a [`Driver`]. [`Limits`] bound the cost
//! of an image. Every failure is an [`Error`] with an [`ErrorKind`].
//!
//! This crate does no file I/O and contains no format and no codec.
//!
//! ```
//! use diskimg_core::{BlockSource, ExtentKind, Extents, Memory};
//!
//! let disk = Memory::new(vec![7_u8; 4096]);
//! let mut first = [0_u8; 2];
//! disk.read_at(1024, &mut first)?;
//! assert_eq!(first, [7, 7]);
//!
//! let kinds: Vec<ExtentKind> =
//!     Extents::new(&disk, 0..disk.size()).map(|e| e.map(|e| e.kind)).collect::<Result<_, _>>()?;
//! assert_eq!(kinds, [ExtentKind::Data]);
//! # Ok::<(), diskimg_core::Error>(())
//! ```
#![forbid(unsafe_code)]

mod cache;
mod chain;
mod check;
mod chunks;
#[cfg(feature = "conformance")]
pub mod conformance;
mod driver;
mod error;
mod error_kind;
mod extent;
mod extents;
mod fault;
mod format;
mod identity;
mod image;
mod limit_kind;
mod limits;
mod measure;
mod memory;
mod null_sink;
mod offset;
mod printable;
mod progress;
pub mod range;
mod read_cursor;
mod reference;
mod reference_role;
mod remedy;
mod resolver;
mod setting;
mod siblings;
mod sink;
mod source;
mod stream;
mod stream_writer;
mod window;
pub mod writer;
pub mod zeros;

pub use cache::{CacheGroup, CacheShare, MetadataCache};
pub use chain::Chain;
pub use check::{CheckReport, Problem, ProblemKind};
pub use chunks::chunks;
pub use driver::{
    CheckFn, CreateFn, CreateOptions, Driver, InspectFn, MeasureFn, OpenFn, OpenOptions, ProbeFn,
    SettingsOfFn, SnapshotSelector, StreamFn, SurveyFn, Verdict,
};
pub use error::{Error, Result, ensure};
pub use error_kind::ErrorKind;
pub use extent::{Extent, ExtentKind, HostRange, Location};
pub use extents::Extents;
pub use fault::Fault;
pub use format::Format;
pub use identity::Identity;
pub use image::{Detail, Finding, Image, ImageInfo, Severity, Snapshot};
pub use limit_kind::LimitKind;
pub use limits::{Budget, Limits};
pub use measure::{Measured, Touched};
pub use memory::{Memory, MemorySink};
pub use null_sink::NullSink;
pub use offset::{GuestOffset, HostOffset};
pub use printable::{Printable, is_hidden};
pub use progress::{Cancel, Progress};
pub use read_cursor::ReadCursor;
pub use reference::Reference;
pub use reference_role::ReferenceRole;
pub use remedy::Remedy;
pub use resolver::{DenyReferences, ResolvedFile, Resolver};
pub use setting::{Setting, SettingHelp};
pub use siblings::Siblings;
pub use sink::{Batch, BlockSink, Segment, SinkProperties, WriteOrder};
pub use source::{BlockSource, check_extent_range, check_range};
pub use stream::{SpillFile, StreamDecoder};
pub use stream_writer::StreamWriter;
pub use window::Window;
