//! Decodes an image that is streamed.
//!
//! The [`decoder`] splits the stream into clusters. The [`table_reader`] reads each table as it is streamed and passes
//! its references to [`clusters`], which notes them as [`claims`] and writes the clusters to the guest offsets they
//! belong to. In images that converters write, each table precedes its data: they need one pass and little memory.
//!
//! In other images data precedes the table that refers to it. Clusters without a reference are spilled ([`spill`]):
//! to memory while there is room, then to the temporary file of the caller. Without a temporary file the oldest are
//! dropped; a later reference to them fails with [`diskimg_core::ErrorKind::NeedsSeek`]. A table with more references
//! than fit in memory is spilled with all its clusters and read at the end.
//!
//! Refcounts, snapshots and bitmaps are not read.

mod claims;
mod clusters;
mod decoder;
mod guest_output;
mod l2_table;
mod spill;
mod table_reader;
#[cfg(test)]
mod tests;

pub(crate) use decoder::stream;
