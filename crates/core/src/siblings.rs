//! The other files of an image of several files.

use crate::{BlockSink, Result};

/// Creates the sibling files that belong to an image: the extents of a VMDK.
///
/// A file exists once its sink is finished. The writer finishes the siblings first and the image's own file last, so
/// that no image is valid before all of its files are.
pub trait Siblings: Send + Sync {
    /// The name of the image's own file without directories: `disk.vmdk`. The names of the siblings derive from it.
    fn image_name(&self) -> &str;

    /// Creates the file `name`, without directories, in the directory of the image: of exactly `size` bytes, or
    /// growing as it is written.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Exists`] if it exists and may not be replaced; [`crate::ErrorKind::Io`].
    fn create(&self, name: &str, size: Option<u64>) -> Result<Box<dyn BlockSink>>;
}
