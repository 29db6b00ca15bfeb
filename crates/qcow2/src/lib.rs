//! Reader and writer of qcow2 images, versions 2 and 3. Hostile images are read safely.
#![forbid(unsafe_code)]

mod addr;
mod bitmap;
mod check;
mod cluster_codec;
mod compressed;
mod describe;
mod driver;
mod entry_bits;
mod errors;
mod extensions;
mod features;
mod file_window;
mod first_cluster;
mod header;
mod header_fields;
mod l1;
mod l2;
mod lookup;
mod luks;
mod metadata_area;
mod open;
mod read;
mod selected_l1;
mod settings_of;
mod short_cluster;
mod snapshot;
mod stream;
mod subcluster;
mod table_survey;
mod table_words;
mod writer;

pub use driver::DRIVER;
pub use errors::FORMAT;
pub use header::Compression;
pub use open::{Qcow2, inspect};
pub use writer::{
    BackingName, ClusterPreallocation, ImageWriter, SETTINGS, Version, WriterOptions, create, measure,
};
