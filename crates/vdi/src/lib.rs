//! Reads and writes VDI images of VirtualBox. Safe on hostile bytes.
//!
//! Reads dynamic, fixed, differencing and undo images of header versions 0 and 1, with blocks of any power of two
//! from 512 bytes to 1 GiB, from a file or a stream. Writes dynamic and fixed images of version 1.1.
#![forbid(unsafe_code)]

mod addr;
mod block_map;
mod check;
mod describe;
mod driver;
mod errors;
mod header;
mod header_fields;
mod map_survey;
mod open;
mod read;
mod reverse_map;
mod settings_of;
mod stream;
mod writer;

pub use driver::DRIVER;
pub use errors::FORMAT;
pub use open::{Vdi, inspect};
pub use writer::{Allocation, ImageWriter, SETTINGS, WriterOptions, create, measure};
