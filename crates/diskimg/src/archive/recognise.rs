//! Recognising an archive by its first bytes.

use diskimg_core::{BlockSource, Format, Result, Verdict};

use super::tar_header::{BLOCK_LEN, is_tar};
use crate::opener::Opener;

pub(crate) const OVA: Format = Format::new("ova");

/// Returns true if the disk in a source is read, and not the source itself.
pub(super) fn is_opened(source: &dyn BlockSource, opener: &Opener) -> Result<bool> {
    let mut head = [0; BLOCK_LEN];
    if source.size() < head.len() as u64 {
        return Ok(false);
    }
    source.read_at(0, &mut head)?;
    Ok(opens(&head, opener))
}

/// Returns true if the disk in a file with these first bytes is read, and not the file itself: if it is an archive and
/// not an image of the requested format.
pub(crate) fn opens(head: &[u8], opener: &Opener) -> bool {
    let is_requested =
        |format| opener.drivers.find(format).is_some_and(|driver| (driver.probe)(head) == Verdict::Yes);
    opener.unpacks() && is_tar(head) && !opener.format.is_some_and(is_requested)
}
