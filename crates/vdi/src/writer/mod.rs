//! Writes VDI images.
//!
//! Blocks get places in the image file in the order in which they are written; in a fixed image each has its
//! place from the beginning. The block map is written when all blocks are, and the header last, so that
//! nothing is a valid image before the writer is finished.
//!
//! [`layout`] says where things lie, [`blocks`] gives out places, [`job`] takes segments through it, [`header`]
//! encodes the header, [`sink`] is the writer; [`measure`](self::measure()) tells how long the file will be.

mod blocks;
mod header;
mod job;
mod layout;
mod measure;
mod options;
mod settings;
mod sink;
#[cfg(test)]
mod tests;

pub use measure::measure;
pub use options::{Allocation, WriterOptions};
pub use settings::{SETTINGS, create};
pub use sink::Writer;
