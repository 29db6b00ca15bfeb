//! The files of an archive that can be read anywhere.

use diskimg_core::{BlockSource, Result};

use super::tar::{BLOCK, BLOCK_LEN, Entry, Member, Walk, cut};

/// The regular files of an archive, in order; after an error there are no more.
///
/// Gives what [`Walk`] does, and [`diskimg_core::ErrorKind::Truncated`] for an entry that runs past the end.
pub(super) struct Members<'a> {
    source: &'a dyn BlockSource,
    walk: Walk,
    ended: bool,
}

impl<'a> Members<'a> {
    pub(super) fn new(source: &'a dyn BlockSource) -> Self {
        Self { source, walk: Walk::default(), ended: false }
    }

    fn advance(&mut self) -> Result<Option<Member>> {
        let size = self.source.size();
        while size.saturating_sub(self.walk.next()) >= BLOCK {
            let mut block = [0; BLOCK_LEN];
            self.source.read_at(self.walk.next(), &mut block)?;
            let Some(entry) = self.walk.header(&block)? else { return Ok(None) };
            let (Entry::File(Member { range, .. }) | Entry::Extension(_, range) | Entry::Other(range)) =
                &entry;
            if range.end > size {
                return Err(cut(range, size));
            }
            match entry {
                Entry::File(member) => return Ok(Some(member)),
                Entry::Extension(kind, range) => {
                    let len = range.end.saturating_sub(range.start);
                    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
                    self.source.read_at(range.start, &mut bytes)?;
                    self.walk.extend(kind, &bytes, range.start)?;
                }
                Entry::Other(_) => {}
            }
        }
        Ok(None)
    }
}

impl Iterator for Members<'_> {
    type Item = Result<Member>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let member = self.advance().transpose();
        self.ended = !matches!(member, Some(Ok(_)));
        member
    }
}
