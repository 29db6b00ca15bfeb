//! The files of an archive with random access.

use diskimg_core::{BlockSource, Result, range};

use super::tar::{BLOCK, BLOCK_LEN, TarEntry, TarHeaders, TarMember, truncated};

/// The regular files of an archive, in order. It ends after an error.
///
/// Items are errors of [`TarHeaders`], and [`diskimg_core::ErrorKind::Truncated`] for an entry that extends past the end
/// of the source.
pub(super) struct Members<'a> {
    source: &'a dyn BlockSource,
    headers: TarHeaders,
    has_ended: bool,
}

impl<'a> Members<'a> {
    pub(super) fn new(source: &'a dyn BlockSource) -> Self {
        Self { source, headers: TarHeaders::default(), has_ended: false }
    }

    fn advance(&mut self) -> Result<Option<TarMember>> {
        let size = self.source.size();
        while size.saturating_sub(self.headers.next()) >= BLOCK {
            let mut block = [0; BLOCK_LEN];
            self.source.read_at(self.headers.next(), &mut block)?;
            let Some(entry) = self.headers.header(&block)? else { return Ok(None) };
            let data = entry.range();
            if data.end > size {
                return Err(truncated(data, size));
            }
            match entry {
                TarEntry::File(member) => return Ok(Some(member)),
                TarEntry::Extension(kind, data) => {
                    let mut bytes = vec![0; range::buffer_len(&data)];
                    self.source.read_at(data.start, &mut bytes)?;
                    self.headers.extend(kind, &bytes, data.start)?;
                }
                TarEntry::Skipped(_) => {}
            }
        }
        Ok(None)
    }
}

impl Iterator for Members<'_> {
    type Item = Result<TarMember>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let member = self.advance().transpose();
        self.has_ended = !matches!(member, Some(Ok(_)));
        member
    }
}
