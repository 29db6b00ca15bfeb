//! The structures before the grains: the descriptor, and the tables of some writers.

use diskimg_core::{HostOffset, Result, ensure};

use super::input_buffer::StreamedBytes;
use crate::addr::{SECTOR, sector_offset};
use crate::errors::{corrupt, needs_seek};

/// The structures before the grains that have not been streamed yet.
pub(super) struct Preamble {
    /// The descriptor and the grain directory.
    others: Vec<PreambleItem>,
    /// The sectors of the grain tables, ascending.
    tables: std::iter::Peekable<std::vec::IntoIter<u32>>,
    table_bytes: u64,
    /// The offset of the first grain.
    end: HostOffset,
}

/// A structure and its place in the file.
#[derive(Clone, Copy)]
pub(super) struct PreambleItem {
    pub(super) kind: PreambleKind,
    pub(super) at: HostOffset,
    pub(super) len: u64,
}

/// The kind of a structure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PreambleKind {
    Descriptor,
    Directory,
    Table,
}

impl Preamble {
    /// A preamble that ends at `end`. Grain tables have `table_bytes`.
    pub(super) fn new(end: HostOffset, table_bytes: u64) -> Self {
        Self { others: Vec::new(), tables: Vec::new().into_iter().peekable(), table_bytes, end }
    }

    /// Adds a descriptor or a grain directory.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] if it is not within the preamble.
    pub(super) fn expect(&mut self, item: PreambleItem) -> Result<()> {
        self.check_inside(item)?;
        self.others.push(item);
        Ok(())
    }

    /// Adds the grain tables of the directory's `entries`. Tables past the preamble have markers and are not added.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::NeedsSeek`] if one is before `position`.
    pub(super) fn expect_tables(&mut self, entries: &[u32], position: HostOffset) -> Result<()> {
        let is_inside = |entry: &u32| *entry != 0 && sector_offset((*entry).into()) < self.end;
        let mut tables: Vec<u32> = entries.iter().copied().filter(is_inside).collect();
        tables.sort_unstable();
        tables.dedup();
        if let Some(first) = tables.first().map(|first| sector_offset((*first).into())) {
            if first < position {
                return Err(needs_seek("grain table")
                    .at(first.0)
                    .because("it precedes the grain directory that refers to it"));
            }
        }
        self.tables = tables.into_iter().peekable();
        Ok(())
    }

    /// Skips to the next structure and returns it with its bytes, without consuming them.
    ///
    /// Returns `None` if more input is needed or, as [`Preamble::is_past`] reports then, the preamble has ended.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] if structures overlap.
    pub(super) fn next<'a>(
        &mut self,
        input: &'a mut StreamedBytes<'_>,
    ) -> Result<Option<(PreambleItem, &'a [u8])>> {
        let (kind, len) = (PreambleKind::Table, self.table_bytes);
        let table = self.tables.peek().map(|sector| sector_offset((*sector).into()));
        let table = table.map(|at| PreambleItem { kind, at, len });
        let Some(item) = self.others.iter().copied().chain(table).min_by_key(|item| item.at) else {
            input.skip_to(self.end);
            return Ok(None);
        };
        ensure(item.at >= input.position(), || {
            corrupt("header, descriptor and tables").at(item.at.0).expected("not to overlap")
        })?;
        if !input.skip_to(item.at) {
            return Ok(None);
        }
        self.check_inside(item)?;
        let len = usize::try_from(item.len).unwrap_or(usize::MAX);
        let Some(bytes) = input.peek(len)? else { return Ok(None) };
        if item.kind == PreambleKind::Table {
            self.tables.next();
        }
        self.others.retain(|other| other.kind != item.kind);
        Ok(Some((item, bytes)))
    }

    /// Returns true if the preamble ends at or before `position`.
    pub(super) fn is_past(&self, position: HostOffset) -> bool {
        position >= self.end
    }

    /// Checks that a structure is between the header and the first grain.
    fn check_inside(&self, item: PreambleItem) -> Result<()> {
        let PreambleItem { kind, at, len } = item;
        let what = match kind {
            PreambleKind::Descriptor => "descriptor",
            PreambleKind::Directory => "grain directory",
            PreambleKind::Table => "grain table",
        };
        ensure(at.0 >= SECTOR && at.0.checked_add(len).is_some_and(|end| end <= self.end.0), || {
            corrupt(what).at(at.0).found(format_args!("{len} bytes")).expected(format_args!(
                "a place between the header and the first grain at byte {}",
                self.end.0
            ))
        })
    }
}
