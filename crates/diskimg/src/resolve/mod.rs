//! Following names inside an image, as far as its own directory.
//!
//! `unix` and `plain` open what lies in a directory, each as its system can; [`within`] decides what may be
//! opened at all.

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

/// Why a name in a directory was not opened.
enum Refused {
    /// It leads out of the directory.
    Outside,
    /// The system said so.
    System(std::io::Error),
}
