//! The parts that the writers of image formats share.
//!
//! An image stores the disk in units of one size: clusters, blocks or grains. A writer implements [`UnitImage`]:
//! it encodes a unit, and allocates space in the file for the units of a segment. [`SegmentJob`] splits a segment into
//! units, detects units of zeros, and executes the [`WritePlan`]. [`SegmentBatch`] is a job as a [`crate::Batch`].
//!
//! [`ImageFile`] is the file below. It counts segments that are allocated and not yet written, and remembers
//! failures, so that an image with a gap is never completed.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use diskimg_core::writer::{
//!     DiskUnits, EncodeBuffer, ImageFile, PreparedSegment, SegmentJob, SegmentUnit, UnitImage, WritePlan,
//! };
//! use diskimg_core::{Format, GuestOffset, HostOffset, MemorySink, Result};
//!
//! /// Appends the sectors of a disk that are not all zeros, in the order in which they are written.
//! struct Packed {
//!     file: ImageFile,
//!     end: AtomicU64,
//! }
//!
//! impl UnitImage for Packed {
//!     type UnitEncoder = ();
//!     type EncodedUnit = ();
//!
//!     fn units(&self) -> DiskUnits {
//!         DiskUnits { format: Format::new("packed"), disk_bytes: 4096, unit_bytes: 512, name: "sector" }
//!     }
//!
//!     fn file(&self) -> &ImageFile {
//!         &self.file
//!     }
//!
//!     fn encode(&self, (): &mut (), _: GuestOffset, _: &[u8], _: &mut EncodeBuffer) -> Result<()> {
//!         Ok(())
//!     }
//!
//!     fn place(&self, segment: &PreparedSegment<'_, ()>, plan: &mut WritePlan) -> Result<()> {
//!         for unit in segment.units {
//!             if let SegmentUnit::Data { guest, .. } = unit {
//!                 let bytes = guest.end.since(guest.start);
//!                 let host = HostOffset(self.end.fetch_add(bytes, Ordering::Relaxed));
//!                 plan.write_guest(guest.clone(), host, true);
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let sink = MemorySink::new(4096);
//! let file = ImageFile::new(Format::new("packed"), Box::new(sink.clone()));
//! let image = Packed { file, end: AtomicU64::new(0) };
//! let mut bytes = [0; 1536];
//! bytes[1024..].fill(7);
//! SegmentJob::new(()).write_at(&image, 0, &bytes)?;
//! image.file().ledger().check_complete()?;
//! assert_eq!(sink.bytes(), [7; 512]);
//! # Ok::<(), diskimg_core::Error>(())
//! ```

mod encode_buffer;
mod image_file;
mod segment_job;
mod settings;
#[cfg(test)]
mod tests;
mod write_ledger;
mod write_plan;

pub use encode_buffer::{EncodeBuffer, UnitPadding};
pub use image_file::ImageFile;
pub use segment_job::{DiskUnits, PreparedSegment, SegmentBatch, SegmentJob, SegmentUnit, UnitImage};
pub use settings::{choose, unknown_setting};
pub use write_ledger::{WriteLedger, lock};
pub use write_plan::{PlannedWrite, WritePlan};
