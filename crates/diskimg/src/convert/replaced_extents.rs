//! The other files of an image that is replaced.

use std::io;
use std::path::{Path, PathBuf};

use diskimg_core::{BlockSource, ErrorKind, Limits, ReferenceRole, Result};
use diskimg_raw::FileSource;

use super::directory_calls::directory_of;
use super::target::at_path;
use crate::drivers::driver_of;
use crate::sniff::{Sniffed, sniff};

/// The extent files of the image at `target` that belong to it alone: regular files in its directory that are named
/// after it, as writers of VMDK name them. An image may name any file as its extent, so no other name counts.
///
/// # Errors
/// [`ErrorKind::Io`] if the system cannot read it. A file that is no image, or does not exist, has no extents.
pub(super) fn replaced_extents(target: &Path) -> Result<Vec<PathBuf>> {
    let Some(image_name) = target.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    if target.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    let names = match extent_names(target) {
        Err(error) if error.kind() == ErrorKind::Io => return Err(at_path(error, target)),
        names => names.unwrap_or_default(),
    };
    let own = names.iter().filter(|name| is_extent_name(image_name, name));
    let paths = own.map(|name| directory_of(target).join(name));
    Ok(paths.filter(|path| path.symlink_metadata().is_ok_and(|there| there.is_file())).collect())
}

fn extent_names(target: &Path) -> Result<Vec<String>> {
    let source = FileSource::open(target)?;
    if source.size() == 0 {
        return Ok(Vec::new());
    }
    let Sniffed::Image(format) = sniff(&source)? else { return Ok(Vec::new()) };
    let info = (driver_of(format)?.inspect)(&source, &Limits::default())?;
    let extents = info.references.into_iter().filter(|reference| reference.role == ReferenceRole::Extent);
    Ok(extents.filter_map(|extent| String::from_utf8(extent.name).ok()).collect())
}

#[cfg(feature = "vmdk")]
fn is_extent_name(image_name: &str, name: &str) -> bool {
    diskimg_vmdk::is_extent_name(image_name, name)
}

#[cfg(not(feature = "vmdk"))]
fn is_extent_name(_: &str, _: &str) -> bool {
    false
}
