//! The files of an archive with random access.

use std::ops::ControlFlow;

use diskimg_core::{BlockSource, Result, range};

use super::tar::{RefusedMember, TarEntry, TarHeaders, TarMember, truncated};
use super::tar_header::{BLOCK, BLOCK_LEN};

/// A file of an archive, or a member that cannot be read.
pub(super) enum ListedMember {
    File(TarMember),
    Refused(RefusedMember),
}

/// Calls `found` for the members of an archive, in order, until it breaks. Returns the offset at which the archive ends.
///
/// # Errors
/// As [`TarHeaders`] and `found`; [`diskimg_core::ErrorKind::Truncated`] for an entry that extends past the end of the
/// source.
pub(super) fn for_each_member(
    source: &dyn BlockSource,
    mut found: impl FnMut(ListedMember) -> Result<ControlFlow<()>>,
) -> Result<u64> {
    let mut headers = TarHeaders::default();
    let size = source.size();
    while range::len(&(headers.next()..size)) >= BLOCK {
        let mut block = [0; BLOCK_LEN];
        let offset = headers.next();
        source.read_at(offset, &mut block)?;
        let Some(mut entry) = headers.header(&block)? else { return Ok(offset.saturating_add(BLOCK)) };
        while let TarEntry::SparseBlock(range) = &entry {
            check_end(&entry, size)?;
            source.read_at(range.start, &mut block)?;
            entry = headers.sparse_block(&block)?;
        }
        check_end(&entry, size)?;
        let flow = match entry {
            TarEntry::File(member) => found(ListedMember::File(member))?,
            TarEntry::Refused(member, _) => found(ListedMember::Refused(member))?,
            TarEntry::Extension(kind, data) => {
                let mut bytes = vec![0; range::buffer_len(&data)];
                source.read_at(data.start, &mut bytes)?;
                headers.extend(kind, &bytes, data.start)?;
                ControlFlow::Continue(())
            }
            TarEntry::Skipped(_) | TarEntry::SparseBlock(_) => ControlFlow::Continue(()),
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(size)
}

fn check_end(entry: &TarEntry, size: u64) -> Result<()> {
    if entry.range().end > size { Err(truncated(entry.range(), size)) } else { Ok(()) }
}
