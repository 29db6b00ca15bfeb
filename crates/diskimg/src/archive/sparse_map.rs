//! The map of a sparse file in a tar archive: which of its bytes are stored.
//!
//! Source: the GNU tar manual, "Storing Sparse Files": the old GNU format (type `S`) and the PAX formats 0.0, 0.1 and
//! 1.0.

use std::ops::Range;

use diskimg_core::{Budget, ErrorKind, Result, chunks, range};

use super::tar_header::{TarBlock, bad, field, number, shown};

/// The memory in bytes of one entry of a map.
const ENTRY: u64 = 24;

/// The most entries in the maps of one archive. Our limit: a disk of this many separate ranges of 64 KiB has 16 GiB.
const MAX_ENTRIES: u64 = 262_144;

/// The budget for the maps of an archive.
pub(super) fn map_budget() -> Budget {
    Budget::new("sparse maps", MAX_ENTRIES.saturating_mul(ENTRY))
}

/// A range of a sparse file that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredRange {
    /// Its offset in the file.
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Its offset in the stored bytes.
    stored: u64,
}

/// The stored ranges of a sparse file, in order. All other bytes are zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SparseMap {
    ranges: Vec<StoredRange>,
    stored: u64,
    size: u64,
}

impl SparseMap {
    /// The length of the file in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn range(&self, index: usize) -> Option<&StoredRange> {
        self.ranges.get(index)
    }

    /// Adds an entry. Returns false if it overlaps an earlier one.
    fn add(&mut self, (offset, len): (u64, u64), budget: &Budget) -> Result<bool> {
        let after = self.ranges.last().map_or(0, |last| last.offset.saturating_add(last.len));
        if offset < after || offset.checked_add(len).is_none() {
            return Ok(false);
        }
        if len > 0 {
            budget.take(ENTRY)?;
            self.ranges.push(StoredRange { offset, len, stored: self.stored });
            self.stored = self.stored.saturating_add(len);
        }
        Ok(true)
    }

    /// Returns true if a file of `size` bytes has all ranges, and they are `stored` bytes.
    fn complete(&mut self, size: u64, stored: u64) -> bool {
        self.size = size;
        let end = self.ranges.last().map_or(0, |last| last.offset.saturating_add(last.len));
        end <= size && self.stored == stored
    }

    /// Returns the run of data or zeros that contains `offset`, and the offset of its first byte in the stored bytes if
    /// it is data.
    pub(super) fn run_at(&self, offset: u64) -> (Range<u64>, Option<u64>) {
        let next = self.ranges.partition_point(|stored| stored.offset <= offset);
        let last = next.checked_sub(1).and_then(|last| self.ranges.get(last));
        let start = match last {
            Some(last) => {
                let end = last.offset.saturating_add(last.len);
                if offset < end {
                    return (last.offset..end, Some(last.stored));
                }
                end
            }
            None => 0,
        };
        (start..self.ranges.get(next).map_or(self.size, |next| next.offset), None)
    }
}

/// A record of an extended header about a sparse file.
pub(super) enum SparseRecord {
    Major(u64),
    Minor(u64),
    Size(u64),
    Count(u64),
    Offset(u64),
    Length(u64),
    /// Offsets and lengths in turn.
    Map(Vec<u64>),
}

impl SparseRecord {
    /// Parses a record. `None` for another key, or a value that is no number.
    pub(super) fn parse(key: &str, value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let number = || value.parse().ok();
        Some(match key.strip_prefix("GNU.sparse.")? {
            "major" => Self::Major(number()?),
            "minor" => Self::Minor(number()?),
            "size" | "realsize" => Self::Size(number()?),
            "numblocks" => Self::Count(number()?),
            "offset" => Self::Offset(number()?),
            "numbytes" => Self::Length(number()?),
            "map" if value.is_empty() => Self::Map(Vec::new()),
            "map" => Self::Map(value.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?),
            _ => return None,
        })
    }
}

/// The records of the extended headers of a member about its map.
#[derive(Default)]
pub(super) struct SparseRecords {
    /// The name of the file; the header has another one.
    pub(super) name: Option<String>,
    version: (Option<u64>, Option<u64>),
    size: Option<u64>,
    count: Option<u64>,
    numbers: Vec<u64>,
    has_map: bool,
    /// The first key, escaped.
    key: Option<String>,
    is_bad: bool,
}

/// The result of [`SparseRecords::finish`].
pub(super) enum SparseStorage {
    /// No record: the file is not sparse.
    Plain,
    /// The map is in the records.
    Mapped(SparseMap),
    /// The map is at the beginning of the data of a file of this size.
    MapInData(u64),
    /// Records that are incomplete or of another version. The first key.
    Unsupported(String),
}

impl SparseRecords {
    pub(super) fn add(&mut self, key: &str, record: SparseRecord) {
        self.key.get_or_insert_with(|| shown(key));
        match record {
            SparseRecord::Major(major) => self.version.0 = Some(major),
            SparseRecord::Minor(minor) => self.version.1 = Some(minor),
            SparseRecord::Size(size) => {
                self.is_bad |= self.size.is_some_and(|other| other != size);
                self.size = Some(size);
            }
            SparseRecord::Count(count) => self.count = Some(count),
            // The list alternates.
            SparseRecord::Offset(offset) => {
                self.is_bad |= self.numbers.len() % 2 != 0 || self.has_map;
                self.numbers.push(offset);
            }
            SparseRecord::Length(len) => {
                self.is_bad |= self.numbers.len() % 2 == 0 || self.has_map;
                self.numbers.push(len);
            }
            SparseRecord::Map(numbers) => {
                self.is_bad |= self.has_map || !self.numbers.is_empty();
                self.has_map = true;
                self.numbers = numbers;
            }
        }
    }

    /// Returns the storage of a member with `stored` bytes in the archive, whose header is at `offset`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a map that does not fit the file, [`ErrorKind::Limit`] for too many entries.
    pub(super) fn finish(self, stored: u64, offset: u64, budget: &Budget) -> Result<SparseStorage> {
        let Some(key) = self.key else { return Ok(SparseStorage::Plain) };
        let Some(size) = self.size.filter(|_| !self.is_bad) else {
            return Ok(SparseStorage::Unsupported(key));
        };
        match self.version {
            (Some(1), Some(0)) if self.numbers.is_empty() => return Ok(SparseStorage::MapInData(size)),
            (None, None) | (Some(0), Some(0 | 1)) => {}
            _ => return Ok(SparseStorage::Unsupported(key)),
        }
        let count = self.numbers.len() as u64;
        if count % 2 != 0 || self.count != Some(count / 2) {
            return Ok(SparseStorage::Unsupported(key));
        }
        let mut map = SparseMap::default();
        for [start, len] in chunks(&self.numbers) {
            if !map.add((*start, *len), budget)? {
                return Err(bad_map(offset));
            }
        }
        if map.complete(size, stored) { Ok(SparseStorage::Mapped(map)) } else { Err(bad_map(offset)) }
    }
}

/// Reads a map that is stored in blocks before the data of a member.
pub(super) struct SparseBlocks {
    map: SparseMap,
    size: u64,
    layout: MapLayout,
    /// The offset of the header of the member.
    header: u64,
}

enum MapLayout {
    /// Entries in headers of the old GNU format.
    OldGnu,
    /// Decimal numbers with newlines: the number of entries, then offsets and lengths in turn.
    Text { count: Option<u64>, offset: Option<u64>, digits: Vec<u8> },
}

impl SparseBlocks {
    /// The blocks after a header of the old GNU format. Returns the reader, and true if blocks follow.
    pub(super) fn old_gnu(header: &TarBlock, offset: u64, budget: &Budget) -> Result<(Self, bool)> {
        let size = number(field(header, 483..495)).ok_or_else(|| bad_map(offset))?;
        let mut blocks = Self { map: SparseMap::default(), size, layout: MapLayout::OldGnu, header: offset };
        blocks.entries(field(header, 386..482), budget)?;
        Ok((blocks, field(header, 482..483) != [0]))
    }

    /// The blocks at the beginning of the data, of a file of `size` bytes.
    pub(super) fn in_data(size: u64, header: u64) -> Self {
        let layout = MapLayout::Text { count: None, offset: None, digits: Vec::new() };
        Self { map: SparseMap::default(), size, layout, header }
    }

    /// Returns true if the blocks are part of the data that the header counts.
    pub(super) fn is_in_data(&self) -> bool {
        matches!(self.layout, MapLayout::Text { .. })
    }

    /// Reads the next block. Returns true if another one follows.
    ///
    /// # Errors
    /// As [`SparseBlocks::finish`].
    pub(super) fn push(&mut self, block: &TarBlock, budget: &Budget) -> Result<bool> {
        if self.is_in_data() {
            for byte in block {
                if !self.byte(*byte, budget)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        self.entries(field(block, 0..504), budget)?;
        Ok(field(block, 504..505) != [0])
    }

    /// Returns the map of a file with `stored` bytes of data.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a map that does not fit the file, [`ErrorKind::Limit`] for too many entries.
    pub(super) fn finish(mut self, stored: u64) -> Result<SparseMap> {
        if self.map.complete(self.size, stored) { Ok(self.map) } else { Err(bad_map(self.header)) }
    }

    fn entries(&mut self, bytes: &[u8], budget: &Budget) -> Result<()> {
        for entry in chunks::<24, u8>(bytes) {
            let (offset, len) = entry.split_at(12);
            if len.first() == Some(&0) {
                break;
            }
            let entry = number(offset).zip(number(len)).ok_or_else(|| bad_map(self.header))?;
            if !self.map.add(entry, budget)? {
                return Err(bad_map(self.header));
            }
        }
        Ok(())
    }

    /// Reads a byte of the list. Returns true if more follow.
    fn byte(&mut self, byte: u8, budget: &Budget) -> Result<bool> {
        let bad_map = || bad_map(self.header);
        let MapLayout::Text { count, offset, digits } = &mut self.layout else { return Ok(false) };
        if byte != b'\n' {
            // 20 digits are enough for every number.
            if !byte.is_ascii_digit() || digits.len() >= 20 {
                return Err(bad_map());
            }
            digits.push(byte);
            return Ok(true);
        }
        let number: Option<u64> = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(bad_map)?;
        digits.clear();
        match (*count, offset.take()) {
            (None, _) => *count = Some(number),
            (Some(_), None) => *offset = Some(number),
            (Some(left), Some(start)) => {
                *count = left.checked_sub(1);
                if !self.map.add((start, number), budget)? {
                    return Err(bad_map());
                }
            }
        }
        Ok(*count != Some(0))
    }
}

fn bad_map(header: u64) -> diskimg_core::Error {
    bad(ErrorKind::Corrupt, "sparse map", header)
        .expected("ranges in order, within the file and as long as the data")
}

/// The length of a run from `offset`, at most `most` bytes.
pub(super) fn run_len(run: &Range<u64>, offset: u64, most: usize) -> usize {
    range::buffer_len(&(offset..run.end)).min(most)
}
