//! VDI images of VirtualBox: read safely from hostile bytes, and written.
//!
//! Dynamic, fixed, differencing and undo images of header versions 0 and 1, with blocks of any power of two from
//! 512 bytes to 1 GiB, as a file or as a stream. Written are dynamic and fixed images of version 1.1.
#![forbid(unsafe_code)]

mod addr;
mod block_map;
mod check;
mod describe;
mod driver;
mod errors;
mod fields;
mod header;
mod open;
mod read;
mod reverse_map;
mod stream;
mod writer;

pub use driver::DRIVER;
pub use errors::FORMAT;
pub use open::{Vdi, inspect};
pub use writer::{Allocation, ImageWriter, SETTINGS, WriterOptions, create, measure};
