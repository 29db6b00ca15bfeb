//! Following names in an image to files in its own directory.
//!
//! [`within`] decides which names are followed. `unix` and `plain` open files in a directory with the calls of the
//! system.

mod names;
#[cfg(not(unix))]
mod plain;
#[cfg(unix)]
mod unix;
mod within;

#[cfg(not(unix))]
use plain::Directory;
#[cfg(unix)]
use unix::Directory;

pub(crate) use names::{chain_loops, relative_to, same_file};
pub use within::WithinDirectory;
