//! What lies in front of the grains: the descriptor, and the tables of those writers that put them there.

use diskimg_core::{Error, ErrorKind, Result};

use super::input_buffer::Intake;
use crate::errors::{FORMAT, corrupt, limit};

/// The structures in front of the grains, in the order of the file.
pub(super) struct Front {
    descriptor: Option<Part>,
    directory: Option<Part>,
    /// Sectors of grain tables that are still to come; ascending.
    tables: std::iter::Peekable<std::vec::IntoIter<u32>>,
    table_bytes: u64,
    /// Where the grains begin.
    end: u64,
}

/// A structure and where it begins, in bytes.
#[derive(Clone, Copy)]
struct Part {
    at: u64,
    len: u64,
}

/// One structure of the front, whole.
pub(super) enum Piece<'a> {
    Descriptor { at: u64, bytes: &'a [u8] },
    Directory { sector: u64, bytes: &'a [u8] },
    Table { sector: u64, bytes: &'a [u8] },
}

impl Front {
    /// A front that ends at byte `end` and has grain tables of `table_bytes`.
    pub(super) fn new(end: u64, table_bytes: u64) -> Self {
        Self {
            descriptor: None,
            directory: None,
            tables: Vec::new().into_iter().peekable(),
            table_bytes,
            end,
        }
    }

    /// There is a descriptor of `len` bytes at byte `at`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it does not lie in the front; [`ErrorKind::Limit`] when it is longer than
    /// `most`.
    pub(super) fn expect_descriptor(&mut self, at: u64, len: u64, most: u64) -> Result<()> {
        if len > most {
            return Err(limit("descSize")
                .at(36)
                .found(format_args!("{len} bytes"))
                .expected(format_args!("at most {most}")));
        }
        self.descriptor = Some(self.part("descriptor", at, len)?);
        Ok(())
    }

    /// There is a grain directory of `len` bytes at byte `at`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it does not lie in the front.
    pub(super) fn expect_directory(&mut self, at: u64, len: u64) -> Result<()> {
        self.directory = Some(self.part("grain directory", at, len)?);
        Ok(())
    }

    /// The directory has these entries. Tables behind the front have markers of their own.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] when one lay before `position`.
    pub(super) fn expect_tables(&mut self, entries: &[u32], position: u64) -> Result<()> {
        let in_front = |entry: &u32| *entry != 0 && u64::from(*entry).saturating_mul(512) < self.end;
        let mut tables: Vec<u32> = entries.iter().copied().filter(in_front).collect();
        tables.sort_unstable();
        tables.dedup();
        if let Some(first) = tables.first().map(|first| u64::from(*first).saturating_mul(512))
            && first < position
        {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .format(FORMAT)
                .field("grain table")
                .at(first)
                .because("it stands in front of the grain directory that names it"));
        }
        self.tables = tables.into_iter().peekable();
        Ok(())
    }

    /// Passes over what is of no use; then the next structure in `intake`, and how many bytes it has.
    ///
    /// `Ok(None)`: more has to arrive, or nothing is left; [`Front::is_past`] tells which.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when structures overlap.
    pub(super) fn next<'a, 'i: 'a>(
        &mut self,
        intake: &'a mut Intake,
        input: &mut &'i [u8],
    ) -> Result<Option<(Piece<'a>, usize)>> {
        let table = self.tables.peek().map(|sector| u64::from(*sector).saturating_mul(512));
        let starts = [self.descriptor.map(|part| part.at), self.directory.map(|part| part.at), table];
        let Some(at) = starts.into_iter().flatten().min() else {
            intake.skip_to(input, self.end);
            return Ok(None);
        };
        if at < intake.position() {
            return Err(corrupt("header, descriptor and tables").at(at).expected("not to overlap"));
        }
        if !intake.skip_to(input, at) {
            return Ok(None);
        }
        let [descriptor, directory, _] = starts.map(|start| start == Some(at));
        let part = match (self.descriptor, self.directory) {
            (Some(part), _) if descriptor => part,
            (_, Some(part)) if directory => part,
            _ => self.part("grain table", at, self.table_bytes)?,
        };
        let len = usize::try_from(part.len).unwrap_or(usize::MAX);
        let Some(bytes) = intake.peek(input, len)? else { return Ok(None) };
        let sector = at / 512;
        let piece = if descriptor {
            self.descriptor = None;
            Piece::Descriptor { at, bytes }
        } else if directory {
            self.directory = None;
            Piece::Directory { sector, bytes }
        } else {
            self.tables.next();
            Piece::Table { sector, bytes }
        };
        Ok(Some((piece, len)))
    }

    /// Whether all of the front lies before byte `position`.
    pub(super) fn is_past(&self, position: u64) -> bool {
        position >= self.end
    }

    fn part(&self, what: &str, at: u64, len: u64) -> Result<Part> {
        if at >= 512 && at.checked_add(len).is_some_and(|end| end <= self.end) {
            return Ok(Part { at, len });
        }
        Err(corrupt(what)
            .at(at)
            .found(format_args!("{len} bytes"))
            .expected(format_args!("to lie between the header and the first grain at byte {}", self.end)))
    }
}
