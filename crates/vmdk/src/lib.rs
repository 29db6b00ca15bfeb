//! VMDK images: read safely from hostile bytes, and written.
#![forbid(unsafe_code)]

mod check;
mod cowd;
mod create_type;
mod decoder;
mod describe;
mod descriptor;
mod driver;
mod errors;
mod extent_line;
mod footer;
mod grain;
mod marker;
mod open;
mod parsed;
mod parts;
mod read;
mod sesparse;
mod sparse_header;
mod stream;
mod tables;
mod writer;

pub use driver::DRIVER;
pub use errors::FORMAT;
pub use open::{Vmdk, inspect};
pub use writer::{AdapterType, DEFAULT_CID, SETTINGS, Subformat, Writer, WriterOptions, create, measure};
