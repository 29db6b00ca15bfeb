//! Writes VMDK images.
//!
//! A sparse extent begins with all its tables; grains follow in the order in which they are first written. A
//! stream-optimised extent has compressed grains in disk order, and each table after the grains that it maps. Flat
//! extents are the guest's bytes. No byte of a file is read back or moved, and the memory for tables is limited.
//! Headers and descriptor files are written last, so that the files are not a valid image until the writer is finished.
//!
//! From the bottom up: [`header`] and [`descriptor`] encode what their names say; [`file_names`] derives the names of
//! other files; [`extent_layout`] computes the sizes of a sparse extent; [`open_tables`] allocates grains for
//! [`sparse_writer`]; [`grain_encoder`] and [`stream_allocator`] make the records of [`stream_optimized_writer`];
//! [`extent_files`] lists the files of an image of several, and [`multi_file_writer`] writes them; [`image_writer`] is
//! the sink. [`measure`](self::measure()) computes the sizes of the files.

mod content_id;
mod descriptor;
mod encoded_header;
mod extent_files;
mod extent_layout;
mod file_names;
mod grain_encoder;
mod image_writer;
mod measure;
mod multi_file_writer;
mod open_tables;
mod options;
mod settings;
mod sparse_writer;
mod stream_allocator;
mod stream_optimized_writer;
#[cfg(test)]
#[cfg(unix)]
mod tests;

pub use file_names::is_extent_name;
pub use image_writer::ImageWriter;
pub use measure::measure;
pub use options::{AdapterType, Subformat, WriterOptions};
pub use settings::{SETTINGS, create};
