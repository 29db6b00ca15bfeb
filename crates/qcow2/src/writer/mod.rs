//! Writes qcow2 images.
//!
//! Guest clusters get places in the image file in the order in which they are written, each L2 table right
//! before the first cluster that it maps, so that what is written in the order of the disk can be read as a
//! stream. Host clusters are given out by a cursor that only goes up: no byte of the file is read back or
//! moved, and tables in memory are bounded. The header is written last, so that nothing is a valid image
//! before the writer is finished.
//!
//! From the bytes of the header up: [`header`] encodes it, [`layout`] checks the shape, [`refcounts`] and
//! [`allocator`] give out places, [`tables`] maps guest clusters to them, [`guest_map`] puts both together,
//! [`compress`] packs clusters, [`job`] takes segments through it, [`sink`] is the writer.

mod allocator;
mod compress;
mod encoded_cluster;
mod error;
mod guest_map;
mod header;
mod job;
mod layout;
mod measure;
mod options;
mod refcounts;
mod settings;
mod sink;
mod tables;
#[cfg(test)]
mod tests;

pub use measure::measure;
pub use options::{BackingName, Preallocation, Version, WriterOptions};
pub use settings::{SETTINGS, create};
pub use sink::Writer;
