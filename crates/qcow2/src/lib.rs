//! qcow2 images, versions 2 and 3: read safely from hostile bytes, and written.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the reader over these structures follows")]

mod addr;
mod errors;
mod extensions;
mod features;
mod header;

pub use header::FORMAT;
