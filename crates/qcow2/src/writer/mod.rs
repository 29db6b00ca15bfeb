//! Writes qcow2 images.
//!
//! Host clusters are allocated in ascending order, as guest clusters are written. An L2 table is allocated just
//! before the first cluster that it maps, so that an image written in disk order can be read as a stream. No byte
//! of the file is read back or moved, and the memory for tables is limited. The header is written last, so that
//! the file is not a valid image until the writer is finished.
//!
//! From the bottom up: [`header`] encodes the header; [`image_geometry`] checks sizes; [`refcounts`] and
//! [`cluster_allocator`] allocate host clusters; [`l2_tables`] maps guest clusters to them; [`guest_map`] combines
//! both; [`cluster_encoder`] compresses clusters; [`cluster_store`] writes segments; [`image_writer`] is the sink.

mod cluster_allocator;
mod cluster_encoder;
mod cluster_store;
mod guest_map;
mod header;
mod image_geometry;
mod image_writer;
mod l2_tables;
mod measure;
mod options;
mod refcounts;
mod settings;
#[cfg(test)]
mod tests;

pub use image_writer::ImageWriter;
pub use measure::measure;
pub use options::{BackingName, ClusterPreallocation, Version, WriterOptions};
pub use settings::{SETTINGS, create};
