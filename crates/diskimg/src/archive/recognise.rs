//! Recognising an OVA by its first bytes.

use diskimg_core::{BlockSource, Format, Result, Verdict};

use super::tar::{BLOCK_LEN, NAME_LEN, is_tar};

pub(crate) const OVA: Format = Format::new("ova");

/// Returns true if a source is an OVA.
pub(super) fn is_archive(source: &dyn BlockSource) -> Result<bool> {
    let mut head = [0; BLOCK_LEN];
    if source.size() < head.len() as u64 {
        return Ok(false);
    }
    source.read_at(0, &mut head)?;
    Ok(is_ova(&head))
}

/// Returns true if a file with these first bytes is an OVA.
pub(crate) fn is_ova(head: &[u8]) -> bool {
    probe(head) == Verdict::Yes
}

/// Recognises an OVA by the header of its first member.
pub(super) fn probe(head: &[u8]) -> Verdict {
    // The name is the first field, and is padded with NULs.
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
