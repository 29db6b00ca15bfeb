//! Disks in an OVA: opened where they lie in a file, or taken out of a stream as they pass.
//!
//! Source: DSP0243 (Open Virtualization Format) 1.1 section 5.3 and 2.1 section 6.4: an OVA is a tar whose first
//! member is the OVF descriptor.
//!
//! Both read the same headers ([`tar`]) and choose by the same rules ([`choice`]). A file is read at its headers
//! alone ([`members`]); a stream is walked through ([`walker`]), and the disk handed on ([`unpacker`]).

mod choice;
mod members;
mod reader;
mod tar;
#[cfg(test)]
mod tests;
mod unpacker;
mod walker;

pub(crate) use reader::DiskReader;
pub(crate) use unpacker::{Piece, Unpacker};

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use diskimg_core::{BlockSource, Format, Result, Verdict, Window};

use crate::opener::Opener;
use crate::sniff::{Sniffed, sniff};
use choice::{Choice, Met};
use members::Members;
use tar::{BLOCK_LEN, NAME_LEN, is_tar};

pub(crate) const OVA: Format = Format::new("ova");

/// A disk image in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchivedDisk {
    /// The name of its file in the archive; not yet escaped for a terminal.
    pub name: String,
    /// Where its bytes lie in the archive file.
    pub range: Range<u64>,
    /// Its format.
    pub format: Format,
}

impl Opener {
    /// The disk images in an OVA, in the order of the archive. Empty for a file that is none.
    ///
    /// # Errors
    /// What is wrong with the archive; a member that holds no image is no error.
    pub fn archived(&self, path: impl AsRef<Path>) -> Result<Vec<ArchivedDisk>> {
        let source = self.file(path.as_ref())?;
        match is_archive(&source)? {
            true => disks(&source).collect(),
            false => Ok(Vec::new()),
        }
    }

    /// What `source` holds: of an OVA its disk, and that disk's name.
    pub(crate) fn unpacked(
        &self,
        source: &Arc<dyn BlockSource>,
    ) -> Result<(Arc<dyn BlockSource>, Option<String>)> {
        Ok(match self.archived_in(source)? {
            Some(disk) => (Arc::new(Window::new(Arc::clone(source), disk.range)?), Some(disk.name)),
            None => (Arc::clone(source), None),
        })
    }

    /// The disk meant in an OVA: the only one, or that which [`Opener::member`] names.
    pub(crate) fn archived_in(&self, source: &dyn BlockSource) -> Result<Option<ArchivedDisk>> {
        if !self.unpacks() || !is_archive(source)? {
            return Ok(None);
        }
        let mut choice = Choice::new(self.member.as_deref());
        let mut meant = None;
        for disk in disks(source) {
            let disk = disk?;
            if choice.meet(&disk.name) == Met::Meant {
                meant = Some(disk);
            }
        }
        choice.check()?;
        Ok(meant)
    }
}

fn is_archive(source: &dyn BlockSource) -> Result<bool> {
    let mut head = [0; BLOCK_LEN];
    if source.size() < head.len() as u64 {
        return Ok(false);
    }
    source.read_at(0, &mut head)?;
    Ok(is_ova(&head))
}

/// Whether a file with these first bytes is an OVA.
pub(crate) fn is_ova(head: &[u8]) -> bool {
    probe(head) == Verdict::Yes
}

/// Recognises an OVA by the header of its first member.
fn probe(head: &[u8]) -> Verdict {
    // The name stands at the very beginning, and ends with its field or before.
    let field = head.get(..NAME_LEN).unwrap_or(head);
    let name = field.split(|byte| *byte == 0).next().unwrap_or_default();
    if name.len() == head.len() && name.len() < NAME_LEN {
        return Verdict::NeedBytes(NAME_LEN);
    }
    match head.get(..BLOCK_LEN) {
        _ if !name.to_ascii_lowercase().ends_with(b".ovf") => Verdict::No,
        None => Verdict::NeedBytes(BLOCK_LEN),
        Some(header) if is_tar(header) => Verdict::Yes,
        Some(_) => Verdict::No,
    }
}

/// The disk images in an archive, by their bytes alone; or what is wrong with it.
fn disks(source: &dyn BlockSource) -> impl Iterator<Item = Result<ArchivedDisk>> {
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
