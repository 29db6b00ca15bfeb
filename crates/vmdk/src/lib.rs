//! VMDK images: a reader that is safe on hostile input, a stream decoder, a checker and writers.
#![forbid(unsafe_code)]

mod addr;
mod check;
mod cowd;
mod create_type;
mod describe;
mod descriptor;
mod descriptor_keys;
mod descriptor_value;
mod disk_builder;
mod driver;
mod encoding;
mod entry_format;
mod errors;
mod extent_line;
mod extents;
mod file_head;
mod findings;
mod footer;
mod geometry;
mod grain_codec;
mod grain_directories;
mod grain_survey;
mod grain_tables;
mod lineage;
mod lookup;
mod marker;
mod metadata_areas;
mod open;
mod open_files;
mod own_size;
mod part;
mod read;
mod references;
mod sesparse;
mod settings_of;
mod sparse_extent;
mod sparse_header;
mod stream;
mod table_file;
mod table_ranges;

mod text_probe;
mod writer;

pub use driver::DRIVER;
pub use errors::FORMAT;
pub use open::{Vmdk, inspect};
pub use writer::{
    AdapterType, ImageWriter, SETTINGS, Subformat, WriterOptions, create, is_extent_name, measure,
};
