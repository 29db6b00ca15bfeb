//! Writes VMDK images.
//!
//! A sparse extent has all its tables in front and grains behind them in the order in which they are first
//! written; a stream-optimised one has compressed grains in the order of the disk and each table behind what
//! it maps; flat extents are the guest's bytes. No byte of a file is read back or moved, and tables in memory
//! are bounded. Headers and descriptor files are written last, so that nothing is a valid image before the
//! writer is finished.
//!
//! From the bytes up: [`header`] and [`descriptor`] are what stands in front, [`names`] the names of other
//! files, [`layout`] the numbers of a sparse extent; [`grains`] cuts segments into grains; [`tables`] gives
//! grains places for [`sparse`]; [`grain_encoder`] and [`stream_allocator`] make the records of [`stream_optimized`]; [`extent_files`]
//! says which files there are to be where there are several, and [`split`] puts them together; [`sink`] is the
//! writer, and [`measure`](self::measure()) tells how long the files will be.

mod descriptor;
mod error;
mod extent_files;
mod grain_encoder;
mod grains;
mod header;
mod layout;
mod ledger;
mod measure;
mod names;
mod options;
mod settings;
mod sink;
mod sparse;
mod split;
mod stream_allocator;
mod stream_optimized;
mod tables;
#[cfg(test)]
#[cfg(unix)]
mod tests;

pub use measure::measure;
pub use options::{AdapterType, DEFAULT_CID, Subformat, WriterOptions};
pub use settings::{SETTINGS, create};
pub use sink::Writer;
