//! Writes VDI images.
//!
//! A dynamic image allocates blocks in the order in which they are written; in a fixed image each block has its
//! offset from the start. The block map is written after all blocks, and the header last, so that the file is not a
//! valid image until the writer is finished.
//!
//! [`layout`] computes offsets, [`block_allocator`] allocates blocks, [`block_store`] writes segments, [`header`]
//! encodes the header, and [`image_writer`] is the sink. [`measure`](self::measure()) computes the file size.

mod block_allocator;
mod block_store;
mod header;
mod image_writer;
mod layout;
mod measure;
mod options;
mod settings;
#[cfg(test)]
mod tests;

pub use image_writer::ImageWriter;
pub use measure::measure;
pub use options::{Allocation, WriterOptions};
pub use settings::{SETTINGS, create};
