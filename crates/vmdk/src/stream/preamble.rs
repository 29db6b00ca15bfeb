//! The structures before the grains: the descriptor, and the tables of some writers.

use diskimg_core::{Error, ErrorKind, HostOffset, Result};

use super::input_buffer::InputBuffer;
use crate::addr::{SECTOR, sector_offset};
use crate::errors::{FORMAT, corrupt, limit};

/// The structures before the grains that have not been streamed yet.
pub(super) struct Preamble {
    descriptor: Option<PreambleRange>,
    directory: Option<PreambleRange>,
    /// The sectors of the grain tables, ascending.
    tables: std::iter::Peekable<std::vec::IntoIter<u32>>,
    table_bytes: u64,
    /// The offset of the first grain.
    end: HostOffset,
}

/// The place of a structure.
#[derive(Clone, Copy)]
struct PreambleRange {
    at: HostOffset,
    len: u64,
}

/// The bytes of one structure.
pub(super) enum PreambleItem<'a> {
    Descriptor { at: HostOffset, bytes: &'a [u8] },
    Directory { sector: u64, bytes: &'a [u8] },
    Table { sector: u64, bytes: &'a [u8] },
}

impl Preamble {
    /// A preamble that ends at `end`. Grain tables have `table_bytes`.
    pub(super) fn new(end: HostOffset, table_bytes: u64) -> Self {
        Self {
            descriptor: None,
            directory: None,
            tables: Vec::new().into_iter().peekable(),
            table_bytes,
            end,
        }
    }

    /// Adds a descriptor of `len` bytes at `at`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is not within the preamble, [`ErrorKind::Limit`] if it is longer than `max`.
    pub(super) fn expect_descriptor(&mut self, at: HostOffset, len: u64, max: u64) -> Result<()> {
        if len > max {
            return Err(limit("descSize")
                .at(36)
                .found(format_args!("{len} bytes"))
                .expected(format_args!("at most {max}")));
        }
        self.descriptor = Some(self.structure("descriptor", at, len)?);
        Ok(())
    }

    /// Adds a grain directory of `len` bytes at `at`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is not within the preamble.
    pub(super) fn expect_directory(&mut self, at: HostOffset, len: u64) -> Result<()> {
        self.directory = Some(self.structure("grain directory", at, len)?);
        Ok(())
    }

    /// Adds the grain tables of the directory's `entries`. Tables past the preamble have markers and are not added.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] if one is before `position`.
    pub(super) fn expect_tables(&mut self, entries: &[u32], position: HostOffset) -> Result<()> {
        let is_inside = |entry: &u32| *entry != 0 && sector_offset((*entry).into()) < self.end;
        let mut tables: Vec<u32> = entries.iter().copied().filter(is_inside).collect();
        tables.sort_unstable();
        tables.dedup();
        if let Some(first) = tables.first().map(|first| sector_offset((*first).into()))
            && first < position
        {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .format(FORMAT)
                .field("grain table")
                .at(first.0)
                .because("it precedes the grain directory that refers to it"));
        }
        self.tables = tables.into_iter().peekable();
        Ok(())
    }

    /// Skips to the next structure and returns its bytes and their number, without consuming them.
    ///
    /// Returns `None` if more input is needed or, as [`Preamble::is_past`] reports then, the preamble has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if structures overlap.
    pub(super) fn next<'a, 'i: 'a>(
        &mut self,
        buffer: &'a mut InputBuffer,
        input: &mut &'i [u8],
    ) -> Result<Option<(PreambleItem<'a>, usize)>> {
        let table = self.tables.peek().map(|sector| sector_offset((*sector).into()));
        let starts = [self.descriptor.map(|it| it.at), self.directory.map(|it| it.at), table];
        let Some(at) = starts.into_iter().flatten().min() else {
            buffer.skip_to(input, self.end);
            return Ok(None);
        };
        if at < buffer.position() {
            return Err(corrupt("header, descriptor and tables").at(at.0).expected("not to overlap"));
        }
        if !buffer.skip_to(input, at) {
            return Ok(None);
        }
        let [descriptor, directory, _] = starts.map(|start| start == Some(at));
        let structure = match (self.descriptor, self.directory) {
            (Some(structure), _) if descriptor => structure,
            (_, Some(structure)) if directory => structure,
            _ => self.structure("grain table", at, self.table_bytes)?,
        };
        let len = usize::try_from(structure.len).unwrap_or(usize::MAX);
        let Some(bytes) = buffer.peek(input, len)? else { return Ok(None) };
        let sector = at.0 / SECTOR;
        let item = if descriptor {
            self.descriptor = None;
            PreambleItem::Descriptor { at, bytes }
        } else if directory {
            self.directory = None;
            PreambleItem::Directory { sector, bytes }
        } else {
            self.tables.next();
            PreambleItem::Table { sector, bytes }
        };
        Ok(Some((item, len)))
    }

    /// Returns true if the preamble ends at or before `position`.
    pub(super) fn is_past(&self, position: HostOffset) -> bool {
        position >= self.end
    }

    /// Checks that a structure is between the header and the first grain.
    fn structure(&self, what: &str, at: HostOffset, len: u64) -> Result<PreambleRange> {
        if at.0 >= SECTOR && at.0.checked_add(len).is_some_and(|end| end <= self.end.0) {
            return Ok(PreambleRange { at, len });
        }
        Err(corrupt(what)
            .at(at.0)
            .found(format_args!("{len} bytes"))
            .expected(format_args!("a place between the header and the first grain at byte {}", self.end.0)))
    }
}
