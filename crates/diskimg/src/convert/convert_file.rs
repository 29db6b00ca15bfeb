//! Converting a file in one call.

use std::path::Path;

use diskimg_core::Result;

use super::options::{ConvertOptions, Converted};
use super::target::Target;
use crate::drivers::driver;
use crate::opener::Opener;

/// Converts the image in a file to a new file of a format: `raw`, `qcow2`, `vmdk` or `vdi`.
///
/// All defaults are the safe ones. The format of the source is recognised and never assumed to be raw; a compressed file
/// is decompressed, and of an archive its disk is read; no other file is opened, whatever the image refers to. The target
/// must not exist, or be a block device that holds no image. A file appears under its name when it is complete and on
/// stable storage.
///
/// [`Input::convert_to`](crate::Input::convert_to) has options for all of this, and reports progress.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let (source, target) = (dir.path().join("disk.qcow2"), dir.path().join("disk.raw"));
/// # diskimg::Target::file(&source, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
/// let done = diskimg::convert_file(&source, &target, "raw")?;
/// assert_eq!(done.virtual_size, 1 << 20);
/// assert!(diskimg::convert_file(&source, &target, "raw").is_err(), "the target exists");
/// # Ok::<(), diskimg::Error>(())
/// ```
///
/// # Errors
/// As [`driver`], [`Opener::input`] and [`Input::convert_to`](crate::Input::convert_to). There is no target then.
pub fn convert_file(source: impl AsRef<Path>, target: impl AsRef<Path>, format: &str) -> Result<Converted> {
    let target = Target::file(target.as_ref(), driver(format)?.format);
    Opener::new().input(source)?.convert_to(&target, &ConvertOptions::default(), &())
}
