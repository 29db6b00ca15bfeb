//! VMDK images: read safely from hostile bytes, and written.
#![forbid(unsafe_code)]

mod addr;
mod check;
mod cowd;
mod create_type;
mod describe;
mod descriptor;
mod directories;
mod driver;
mod encoding;
mod errors;
mod extent_line;
mod extents;
mod footer;
mod grain_codec;
mod lookup;
mod marker;
mod open;
mod parsed;
mod read;
mod sesparse;
mod sparse_header;
mod stream;
mod table_ranges;
mod tables;
mod writer;

pub use driver::DRIVER;
pub use errors::FORMAT;
pub use open::{Vmdk, inspect};
pub use writer::{AdapterType, DEFAULT_CID, SETTINGS, Subformat, Writer, WriterOptions, create, measure};
