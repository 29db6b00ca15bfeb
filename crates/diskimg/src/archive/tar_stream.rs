//! The files of an archive that is pushed.

use diskimg_core::{Result, range};

use super::sparse_map::SparseMap;
use super::tar::{RefusedMember, TarEntry, TarHeaders, TarMember, truncated};
use super::tar_header::BLOCK;

/// A part of a file in a streamed archive.
pub(super) enum StreamedFile<'a> {
    /// A regular file begins.
    Start(TarMember),
    /// Its next bytes.
    Bytes(&'a [u8]),
    /// Its next bytes are this many zeros, which are not stored.
    Hole(u64),
    /// The file has ended.
    End,
    /// A member that cannot be read.
    Refused(RefusedMember),
}

/// Receives the parts, in order.
type StreamedFileFn<'a> = &'a mut dyn FnMut(StreamedFile<'_>) -> Result<()>;

/// Reads an archive that is pushed in chunks of any size. Buffers one header at a time, and does no I/O.
#[derive(Default)]
pub(super) struct TarStream {
    headers: TarHeaders,
    position: u64,
    section: TarSection,
    /// The bytes of a header or an extension so far.
    buffer: Vec<u8>,
    /// The position in a sparse file.
    sparse: SparseCursor,
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

    /// The number of bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads the next chunk. The result does not depend on how the stream is split.
    ///
    /// # Errors
    /// As [`TarHeaders::header`] and `out`. Do not push after an error.
    pub(super) fn push(&mut self, chunk: &[u8], out: StreamedFileFn<'_>) -> Result<()> {
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
            match &self.section {
                TarSection::Header | TarSection::Data(TarEntry::Extension(..) | TarEntry::SparseBlock(_)) => {
                    self.buffer.extend_from_slice(now);
                }
                TarSection::Data(TarEntry::File(TarMember { sparse: Some(map), .. })) => {
                    self.sparse.push(map, now, out)?;
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
    fn step(&mut self, out: StreamedFileFn<'_>) -> Result<()> {
        self.section = match std::mem::take(&mut self.section) {
            TarSection::Header => {
                let entry = self.buffer.first_chunk().map_or(Ok(None), |block| self.headers.header(block))?;
                entry.map_or(Ok(TarSection::End), |entry| self.begin(entry, out))?
            }
            TarSection::Data(TarEntry::SparseBlock(_)) => {
                let block = self.buffer.first_chunk().copied().unwrap_or([0; 512]);
                let entry = self.headers.sparse_block(&block)?;
                self.begin(entry, out)?
            }
            TarSection::Data(entry) => {
                match entry {
                    TarEntry::Extension(kind, range) => {
                        self.headers.extend(kind, &self.buffer, range.start)?;
                    }
                    TarEntry::File(member) => {
                        if let Some(map) = &member.sparse {
                            self.sparse.finish(map, out)?;
                        }
                        out(StreamedFile::End)?;
                    }
                    _ => {}
                }
                TarSection::Padding
            }
            TarSection::Padding => TarSection::Header,
            TarSection::End => TarSection::End,
        };
        self.buffer.clear();
        Ok(())
    }

    /// Begins the data of an entry.
    fn begin(&mut self, entry: TarEntry, out: StreamedFileFn<'_>) -> Result<TarSection> {
        Ok(TarSection::Data(match entry {
            TarEntry::File(member) => {
                self.sparse = SparseCursor::default();
                out(StreamedFile::Start(member.clone()))?;
                TarEntry::File(member)
            }
            TarEntry::Refused(member, range) => {
                out(StreamedFile::Refused(member))?;
                TarEntry::Skipped(range)
            }
            entry => entry,
        }))
    }
}

/// The position in a sparse file.
#[derive(Default)]
struct SparseCursor {
    /// The index of the stored range, and the number of its bytes that were read.
    index: usize,
    done: u64,
    /// The position in the file.
    position: u64,
}

impl SparseCursor {
    /// Passes on stored bytes, and the zeros before them.
    fn push(&mut self, map: &SparseMap, bytes: &[u8], out: StreamedFileFn<'_>) -> Result<()> {
        let mut rest = bytes;
        while let (Some(stored), false) = (map.range(self.index), rest.is_empty()) {
            self.skip_to(stored.offset, out)?;
            let left = range::buffer_len(&(self.done..stored.len));
            let (now, later) = rest.split_at_checked(left).unwrap_or((rest, &[]));
            out(StreamedFile::Bytes(now))?;
            self.done = self.done.saturating_add(now.len() as u64);
            self.position = self.position.saturating_add(now.len() as u64);
            if self.done == stored.len {
                (self.index, self.done) = (self.index.saturating_add(1), 0);
            }
            rest = later;
        }
        Ok(())
    }

    /// Passes on the zeros at the end of the file.
    fn finish(&mut self, map: &SparseMap, out: StreamedFileFn<'_>) -> Result<()> {
        self.skip_to(map.size(), out)
    }

    fn skip_to(&mut self, offset: u64, out: StreamedFileFn<'_>) -> Result<()> {
        let hole = range::len(&(self.position..offset));
        if hole > 0 {
            self.position = offset;
            out(StreamedFile::Hole(hole))?;
        }
        Ok(())
    }
}
