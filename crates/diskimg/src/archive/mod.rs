//! Disks in an OVA, opened where they lie.
//!
//! Source: DSP0243 (Open Virtualization Format) 1.1 section 5.3 and 2.1 section 6.4: an OVA is a tar whose first
//! member is the OVF descriptor.

mod tar;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use diskimg_core::{BlockSource, Error, ErrorKind, Format, Result, Window};

use crate::open::Opener;
use crate::sniff::{Sniffed, sniff};
use tar::{Member, is_tar, members};

const OVA: Format = Format::new("ova");

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
        match is_ova(&source)? {
            true => disks(&source),
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
        if self.format == Some(diskimg_raw::DRIVER.format) || !is_ova(source)? {
            return Ok(None);
        }
        choose(disks(source)?, self.member.as_deref()).map(Some)
    }
}

fn is_ova(source: &dyn BlockSource) -> Result<bool> {
    let mut head = [0; 512];
    if source.size() < head.len() as u64 {
        return Ok(false);
    }
    source.read_at(0, &mut head)?;
    // The name of the first member stands at the very beginning.
    let name = head.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(is_tar(&head) && name.to_ascii_lowercase().ends_with(b".ovf"))
}

fn disks(source: &dyn BlockSource) -> Result<Vec<ArchivedDisk>> {
    let mut disks = Vec::new();
    for Member { name, range } in members(source)? {
        let window = Window::new(source, range.clone())?;
        if let Ok(Sniffed::Image(format)) = sniff(&window) {
            disks.push(ArchivedDisk { name, range, format });
        }
    }
    Ok(disks)
}

fn choose(mut disks: Vec<ArchivedDisk>, wanted: Option<&str>) -> Result<ArchivedDisk> {
    let names: Vec<String> = disks.iter().map(|disk| disk.name.escape_debug().to_string()).collect();
    let error = Error::new(ErrorKind::InvalidInput).format(OVA).field("disk").found(names.join(", "));
    let index = match wanted {
        Some(wanted) => disks.iter().position(|disk| disk.name == wanted),
        None if disks.len() == 1 => Some(0),
        None if disks.is_empty() => {
            return Err(Error::new(ErrorKind::Unsupported).format(OVA).because("it holds no disk image"));
        }
        None => return Err(error.expected("one disk, or the name of one").hint("name the disk you mean")),
    };
    match index {
        Some(index) => Ok(disks.swap_remove(index)),
        None => Err(error.expected(format_args!("'{}'", wanted.unwrap_or_default().escape_debug()))),
    }
}
