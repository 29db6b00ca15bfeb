//! Following names in an image to files in its own directory.
//!
//! [`names`] reads a name as a path, [`within`] decides which paths are followed in one directory, [`search_path`] looks
//! in several. [`read_alone`] refuses the names in a member of an archive. `unix` and `plain` open files in a directory with the calls of the system.

mod names;
#[cfg(not(unix))]
mod plain;
mod read_alone;
mod search_path;
mod unfollowed;
#[cfg(unix)]
mod unix;
mod within;

#[cfg(not(unix))]
use plain::Directory;
#[cfg(unix)]
use unix::Directory;

pub(crate) use names::{chain_loops, relative_to, same_file};
pub(crate) use read_alone::ReadAlone;
pub use search_path::SearchPath;
pub use unfollowed::Unfollowed;
pub use within::WithinDirectory;
