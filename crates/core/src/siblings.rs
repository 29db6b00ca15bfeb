//! The other files of an image that consists of several.

use crate::{BlockSink, Result};

/// Makes the files that lie beside an image and belong to it: the extents of a VMDK.
///
/// A file is there once its sink is finished. Whoever writes an image finishes these first and the image's own
/// file last, so that no image is valid before all of it is.
pub trait Siblings: Send + Sync {
    /// The name of the image's own file, without folders: `disk.vmdk`. The names of the others follow from it.
    fn image_name(&self) -> &str;

    /// A new file `name`, without folders, in the folder of the image: of exactly `size` bytes, or growing
    /// while it is written.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] when it exists and may not be replaced; [`crate::ErrorKind::Io`].
    fn create(&self, name: &str, size: Option<u64>) -> Result<Box<dyn BlockSink>>;
}
