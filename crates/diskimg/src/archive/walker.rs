//! The files of an archive that is pushed.

use std::ops::Range;

use diskimg_core::Result;

use super::tar::{BLOCK, Entry, Member, Walk, cut};

/// What passes by.
pub(super) enum Passing<'a> {
    /// A regular file begins.
    Member(Member),
    /// The next bytes of it.
    Bytes(&'a [u8]),
}

/// Walks through an archive as it is pushed, in any pieces. Keeps one header at a time, and does no I/O.
#[derive(Default)]
pub(super) struct Walker {
    walk: Walk,
    position: u64,
    part: Part,
    /// As much of a header or an extension as has passed.
    held: Vec<u8>,
}

/// What stands at a place of an archive.
#[derive(Default)]
enum Part {
    #[default]
    Header,
    Extension(u8, Range<u64>),
    File(Range<u64>),
    Other(Range<u64>),
    /// Zeros up to the next header.
    Padding,
    /// The block that ends the archive has passed.
    End,
}

impl Walker {
    /// Whether the archive has ended: whatever follows is no part of it.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.part, Part::End)
    }

    /// Takes the next bytes; the cut points change nothing.
    ///
    /// # Errors
    /// As [`Walk`], and what `out` gives. It takes no more then.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        out: &mut dyn FnMut(Passing<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut rest = chunk;
        while !self.has_ended() {
            let left = self.end().saturating_sub(self.position);
            if left == 0 {
                self.step(out)?;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_checked(most).unwrap_or((rest, &[]));
            match self.part {
                Part::Header | Part::Extension(..) => self.held.extend_from_slice(now),
                Part::File(_) => out(Passing::Bytes(now))?,
                Part::Other(_) | Part::Padding | Part::End => {}
            }
            self.position = self.position.saturating_add(now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    /// The archive has been pushed to its end. A header that was cut ends it, as it does in a file.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] when it ended inside an entry.
    pub(super) fn finish(&self) -> Result<()> {
        match &self.part {
            Part::Extension(_, range) | Part::File(range) | Part::Other(range)
                if self.position < range.end =>
            {
                Err(cut(range, self.position))
            }
            _ => Ok(()),
        }
    }

    /// Where the part at this place ends.
    fn end(&self) -> u64 {
        match &self.part {
            Part::Header => self.walk.next().saturating_add(BLOCK),
            Part::Extension(_, range) | Part::File(range) | Part::Other(range) => range.end,
            Part::Padding => self.walk.next(),
            Part::End => u64::MAX,
        }
    }

    /// All of a part has passed: goes on to the next.
    fn step(&mut self, out: &mut dyn FnMut(Passing<'_>) -> Result<()>) -> Result<()> {
        self.part = match std::mem::take(&mut self.part) {
            Part::Header => match self.held.first_chunk() {
                Some(block) => match self.walk.header(block)? {
                    Some(Entry::File(member)) => {
                        let range = member.range.clone();
                        out(Passing::Member(member))?;
                        Part::File(range)
                    }
                    Some(Entry::Extension(kind, range)) => Part::Extension(kind, range),
                    Some(Entry::Other(range)) => Part::Other(range),
                    None => Part::End,
                },
                None => Part::End,
            },
            Part::Extension(kind, range) => {
                self.walk.extend(kind, &self.held, range.start)?;
                Part::Padding
            }
            Part::File(_) | Part::Other(_) => Part::Padding,
            Part::Padding => Part::Header,
            Part::End => Part::End,
        };
        self.held.clear();
        Ok(())
    }
}
