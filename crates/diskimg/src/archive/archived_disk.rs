//! The disks in an OVA that is a file.

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::{BlockSource, Format, Result, Window};

use super::disk_choice::{DiskChoice, DiskMatch};
use super::members::for_each_member;
use super::recognise::is_archive;
use super::tar::TarMember;
use crate::opener::Opener;
use crate::sniff::{Sniffed, sniff};

/// A disk image in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchivedDisk {
    /// The name of its member; not yet escaped for a terminal.
    pub(crate) name: String,
    /// Its bytes in the archive file.
    pub(crate) range: Range<u64>,
    /// Its format.
    pub(crate) format: Format,
}

impl Opener {
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
        for_each_disk(source, |disk| {
            if choice.add(&disk.name) == DiskMatch::Selected {
                selected = Some(disk);
            }
        })?;
        choice.check()?;
        Ok(selected)
    }
}

/// Calls `found` for the disk images in an archive, which are recognised by their bytes.
pub(super) fn for_each_disk(source: &dyn BlockSource, mut found: impl FnMut(ArchivedDisk)) -> Result<()> {
    for_each_member(source, |TarMember { name, range }| {
        if let Ok(Sniffed::Image(format)) = sniff(&Window::new(source, range.clone())?) {
            found(ArchivedDisk { name, range, format });
        }
        Ok(())
    })
}
