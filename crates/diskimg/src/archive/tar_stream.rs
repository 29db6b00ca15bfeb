//! The files of an archive that is pushed.

use diskimg_core::{Result, range};

use super::tar::{BLOCK, TarEntry, TarHeaders, TarMember, truncated};

/// A part of a file in a streamed archive.
pub(super) enum StreamedFile<'a> {
    /// A regular file begins.
    Start(TarMember),
    /// Its next bytes.
    Bytes(&'a [u8]),
}

/// Reads an archive that is pushed in chunks of any size. Buffers one header at a time, and does no I/O.
#[derive(Default)]
pub(super) struct TarStream {
    headers: TarHeaders,
    position: u64,
    section: TarSection,
    /// The bytes of a header or an extension so far.
    buffer: Vec<u8>,
}

/// The section of the archive at the current position.
#[derive(Default)]
enum TarSection {
    #[default]
    Header,
    Data(TarEntry),
    /// Zeros up to the next header.
    Padding,
    /// Anything after the block that ends the archive.
    End,
}

impl TarStream {
    /// Returns true if the archive has ended. Bytes after that are not part of it.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.section, TarSection::End)
    }

    /// Reads the next chunk. The result does not depend on how the stream is split.
    ///
    /// # Errors
    /// As [`TarHeaders::header`] and `out`. Do not push after an error.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        out: &mut dyn FnMut(StreamedFile<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut rest = chunk;
        while !self.has_ended() {
            let left = range::buffer_len(&(self.position..self.section_end()));
            if left == 0 {
                self.step(out)?;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at_checked(left).unwrap_or((rest, &[]));
            match self.section {
                TarSection::Header | TarSection::Data(TarEntry::Extension(..)) => {
                    self.buffer.extend_from_slice(now);
                }
                TarSection::Data(TarEntry::File(_)) => out(StreamedFile::Bytes(now))?,
                _ => {}
            }
            self.position = self.position.saturating_add(now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    /// Checks that the stream did not end inside an entry. A truncated header ends the archive, as it does in a file.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`].
    pub(super) fn finish(&self) -> Result<()> {
        match &self.section {
            TarSection::Data(entry) if self.position < entry.range().end => {
                Err(truncated(entry.range(), self.position))
            }
            _ => Ok(()),
        }
    }

    fn section_end(&self) -> u64 {
        match &self.section {
            TarSection::Header => self.headers.next().saturating_add(BLOCK),
            TarSection::Data(entry) => entry.range().end,
            TarSection::Padding => self.headers.next(),
            TarSection::End => u64::MAX,
        }
    }

    /// Goes on to the next section after the last byte of one.
    fn step(&mut self, out: &mut dyn FnMut(StreamedFile<'_>) -> Result<()>) -> Result<()> {
        self.section = match std::mem::take(&mut self.section) {
            TarSection::Header => {
                let entry = self.buffer.first_chunk().map_or(Ok(None), |block| self.headers.header(block))?;
                if let Some(TarEntry::File(member)) = &entry {
                    out(StreamedFile::Start(member.clone()))?;
                }
                entry.map_or(TarSection::End, TarSection::Data)
            }
            TarSection::Data(entry) => {
                if let TarEntry::Extension(kind, range) = entry {
                    self.headers.extend(kind, &self.buffer, range.start)?;
                }
                TarSection::Padding
            }
            TarSection::Padding => TarSection::Header,
            TarSection::End => TarSection::End,
        };
        self.buffer.clear();
        Ok(())
    }
}
