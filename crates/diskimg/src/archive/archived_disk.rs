//! The disks in an OVA that is a file.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use diskimg_core::{BlockSource, Format, Result, Window};

use super::disk_choice::{DiskChoice, DiskMatch};
use super::members::Members;
use super::recognise::is_archive;
use crate::opener::Opener;
use crate::sniff::{Sniffed, sniff};

/// A disk image in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchivedDisk {
    /// The name of its member; not yet escaped for a terminal.
    pub name: String,
    /// Its bytes in the archive file.
    pub range: Range<u64>,
    /// Its format.
    pub format: Format,
}

impl Opener {
    /// Lists the disk images in an OVA, in the order of the archive. The list is empty if the file is no OVA.
    ///
    /// # Errors
    /// Defects of the archive. A member that is no image is not an error.
    pub fn archived(&self, path: impl AsRef<Path>) -> Result<Vec<ArchivedDisk>> {
        let source = self.file(path.as_ref())?;
        match is_archive(&source)? {
            true => disks(&source).collect(),
            false => Ok(Vec::new()),
        }
    }

    /// Returns the disk in an OVA with its name, or any other source unchanged.
    pub(crate) fn unpacked(
        &self,
        source: &Arc<dyn BlockSource>,
    ) -> Result<(Arc<dyn BlockSource>, Option<String>)> {
        Ok(match self.archived_in(source)? {
            Some(disk) => (Arc::new(Window::new(Arc::clone(source), disk.range)?), Some(disk.name)),
            None => (Arc::clone(source), None),
        })
    }

    /// The selected disk of an OVA: the only one, or the one that [`Opener::member`] names. `None` if the source is no
    /// OVA.
    pub(crate) fn archived_in(&self, source: &dyn BlockSource) -> Result<Option<ArchivedDisk>> {
        if !self.unpacks() || !is_archive(source)? {
            return Ok(None);
        }
        let mut choice = DiskChoice::new(self.member.as_deref());
        let mut selected = None;
        for disk in disks(source) {
            let disk = disk?;
            if choice.add(&disk.name) == DiskMatch::Selected {
                selected = Some(disk);
            }
        }
        choice.check()?;
        Ok(selected)
    }
}

/// The disk images in an archive, recognised by their bytes.
pub(super) fn disks(source: &dyn BlockSource) -> impl Iterator<Item = Result<ArchivedDisk>> {
    Members::new(source).filter_map(move |member| {
        let disk = member.and_then(|member| {
            let window = Window::new(source, member.range.clone())?;
            Ok(match sniff(&window) {
                Ok(Sniffed::Image(format)) => {
                    Some(ArchivedDisk { name: member.name, range: member.range, format })
                }
                _ => None,
            })
        });
        disk.transpose()
    })
}
