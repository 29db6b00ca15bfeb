//! The files of an archive with random access.

use diskimg_core::{BlockSource, Result, range};

use super::tar::{BLOCK, BLOCK_LEN, TarEntry, TarHeaders, TarMember, truncated};

/// Calls `found` for the regular files of an archive, in order.
///
/// # Errors
/// As [`TarHeaders`] and `found`; [`diskimg_core::ErrorKind::Truncated`] for an entry that extends past the end of the
/// source.
pub(super) fn for_each_member(
    source: &dyn BlockSource,
    mut found: impl FnMut(TarMember) -> Result<()>,
) -> Result<()> {
    let mut headers = TarHeaders::default();
    let size = source.size();
    while range::len(&(headers.next()..size)) >= BLOCK {
        let mut block = [0; BLOCK_LEN];
        source.read_at(headers.next(), &mut block)?;
        let Some(entry) = headers.header(&block)? else { break };
        if entry.range().end > size {
            return Err(truncated(entry.range(), size));
        }
        match entry {
            TarEntry::File(member) => found(member)?,
            TarEntry::Extension(kind, data) => {
                let mut bytes = vec![0; range::buffer_len(&data)];
                source.read_at(data.start, &mut bytes)?;
                headers.extend(kind, &bytes, data.start)?;
            }
            TarEntry::Skipped(_) => {}
        }
    }
    Ok(())
}
