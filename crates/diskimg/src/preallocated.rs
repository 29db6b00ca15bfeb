//! Holes of preallocated images.

use std::collections::BTreeMap;
use std::fs::File;

use diskimg_core::{BlockSource, Extent, ExtentKind, Extents, Image, ReferenceRole, Result};
use diskimg_raw::FileSource;

use crate::disk::Disk;
use crate::inspection::allocated;

/// The files of a disk in which QEMU looks for holes below allocated data: those of fixed VDI images, and of qcow2 images
/// with preallocated metadata. Data in a hole reads as zeros.
pub struct PreallocatedFiles<'a> {
    disk: &'a Disk,
    /// The files by the depth of their layers.
    files: BTreeMap<u32, Option<FileSource>>,
}

impl<'a> PreallocatedFiles<'a> {
    /// The files of this disk. None is examined yet.
    #[must_use]
    pub fn new(disk: &'a Disk) -> Self {
        Self { disk, files: BTreeMap::new() }
    }

    /// Returns the file that stores an extent of the disk verbatim, if the extent's layer is preallocated and the extent
    /// is inside the file.
    ///
    /// # Errors
    /// Those of reading the metadata of the file.
    pub fn file_of(&mut self, extent: &Extent<'_>) -> Result<Option<&FileSource>> {
        let Some(host) = extent.location.host.filter(|_| extent.kind == ExtentKind::Data) else {
            return Ok(None);
        };
        if !self.files.contains_key(&extent.depth) {
            let depth = usize::try_from(extent.depth).unwrap_or(usize::MAX);
            let file = match self.disk.layers().get(depth) {
                Some(layer) if is_preallocated(&**layer, host.file)? => {
                    Some(FileSource::new(host.file.try_clone()?)?)
                }
                _ => None,
            };
            self.files.insert(extent.depth, file);
        }
        let end = host.offset.saturating_add(extent.len);
        Ok(self.files.get(&extent.depth).and_then(Option::as_ref).filter(|file| end <= file.size()))
    }

    /// Returns true if the beginning of an extent is stored, and the length in bytes of that beginning: at least one, and
    /// not more than the extent has.
    pub(crate) fn stored_run(&mut self, extent: &Extent<'_>) -> Result<(bool, u64)> {
        if extent.kind.reads_as_zeros() {
            return Ok((false, extent.len));
        }
        let (Some(file), Some(host)) = (self.file_of(extent)?, extent.location.host) else {
            return Ok((true, extent.len));
        };
        let range = host.offset..host.offset.saturating_add(extent.len);
        match Extents::new(file, range).next() {
            Some(run) => run.map(|run| (!run.kind.reads_as_zeros(), run.len.clamp(1, extent.len))),
            None => Ok((true, extent.len)),
        }
    }
}

/// Returns true for a fixed VDI, and for a qcow2 image whose file occupies clearly less space than its clusters need. QEMU
/// uses this rule to detect `preallocation=metadata`.
fn is_preallocated(layer: &dyn Image, file: &File) -> Result<bool> {
    let info = layer.info();
    let is = |format: &str| info.format.name() == format;
    if !is("qcow2") {
        return Ok(is("vdi") && info.subformat.as_deref() == Some("fixed"));
    }
    let outside = info.references.iter().any(|reference| reference.role == ReferenceRole::DataFile);
    let (Some(cluster), false) = (info.allocation_unit.filter(|unit| *unit > 0), outside) else {
        return Ok(false);
    };
    let metadata = file.metadata()?;
    let Some(allocated) = allocated(&metadata) else { return Ok(false) };
    let clusters = metadata.len().div_ceil(cluster);
    let filled = allocated.checked_div(cluster).unwrap_or(0);
    Ok(clusters >= (filled.saturating_mul(10) / 9).max(filled.saturating_add(2)))
}
