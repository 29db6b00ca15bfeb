//! Compares the streamed grains with the tables.
//!
//! A stream contains each grain and each table once, the tables before or after the grains. Storing the entries would take
//! 4 bytes a grain; a checksum for each grain table takes 1/64 of that. The checksum is the sum of a hash of (index in the
//! table, sector) over all grains, so their order does not matter. The hash has a random key for each decoder, so no image
//! can be made to match. A missing, duplicate or misplaced grain changes the sum.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use byteorder::{ByteOrder, LittleEndian};
use diskimg_core::{Budget, HostOffset, Result, ensure};

use crate::addr::sector_offset;
use crate::errors::{FORMAT, corrupt, truncated};

/// Memory charged for the sum of the streamed grains of one table, including its share of the map.
const SUM_COST: u64 = 40;
/// Memory charged for the sum of the entries of one table.
const TABLE_COST: u64 = 16;
/// The maximum number of directories: the grain directory and its redundant copy.
const MAX_DIRECTORIES: usize = 2;
/// Entries up to this one are not sectors: 0 is an unallocated grain, 1 a grain of zeros.
const LAST_SPECIAL: u32 = 1;

/// Takes `bytes` from the budget of the decoder's tables.
pub(super) fn charge(budget: &Budget, bytes: u64) -> Result<()> {
    budget.take(bytes).map_err(|error| error.format(FORMAT))
}

/// Checksums of the streamed grains and tables.
pub(super) struct CrossCheck {
    key: RandomState,
    /// The sum of the streamed grains of each grain table, by the index of the table in the directory.
    streamed: BTreeMap<u64, u64>,
    /// The sector of each streamed grain table and the sum of its entries. Sectors ascend.
    tables: Vec<(u64, u64)>,
    directories: Vec<StreamedDirectory>,
    /// The highest sector of a grain in the tables.
    last_grain: u64,
    grains_per_table: u64,
}

struct StreamedDirectory {
    sector: u64,
    entries: Vec<u32>,
}

impl CrossCheck {
    pub(super) fn new(grains_per_table: u64) -> Self {
        Self {
            key: RandomState::new(),
            streamed: BTreeMap::new(),
            tables: Vec::new(),
            directories: Vec::new(),
            last_grain: 0,
            grains_per_table: grains_per_table.max(1),
        }
    }

    /// Adds a streamed grain, which began in `sector`.
    pub(super) fn add_grain(&mut self, grain: u64, sector: u64, budget: &Budget) -> Result<()> {
        let (table, index) = (grain / self.grains_per_table, grain % self.grains_per_table);
        let hash = self.hash(index, sector);
        if let Some(sum) = self.streamed.get_mut(&table) {
            *sum = sum.wrapping_add(hash);
            return Ok(());
        }
        charge(budget, SUM_COST)?;
        self.streamed.insert(table, hash);
        Ok(())
    }

    /// Adds the grain table at `sector`.
    pub(super) fn add_table(&mut self, sector: u64, bytes: &[u8], budget: &Budget) -> Result<()> {
        charge(budget, TABLE_COST)?;
        let mut sum = 0_u64;
        for (index, entry) in (0_u64..).zip(bytes.chunks_exact(4).map(LittleEndian::read_u32)) {
            if entry > LAST_SPECIAL {
                sum = sum.wrapping_add(self.hash(index, u64::from(entry)));
                self.last_grain = self.last_grain.max(u64::from(entry));
            }
        }
        self.tables.push((sector, sum));
        Ok(())
    }

    /// Adds the grain directory at `sector` and returns its entries.
    pub(super) fn add_directory(&mut self, sector: u64, bytes: &[u8], budget: &Budget) -> Result<&[u32]> {
        if self.directories.len() >= MAX_DIRECTORIES {
            let because = "more than a directory and its copy";
            return Err(corrupt("grain directory").at(sector_offset(sector).0).because(because));
        }
        charge(budget, bytes.len() as u64)?;
        let entries = bytes.chunks_exact(4).map(LittleEndian::read_u32).collect();
        self.directories.push(StreamedDirectory { sector, entries });
        Ok(self.directories.last().map(|directory| directory.entries.as_slice()).unwrap_or_default())
    }

    pub(super) fn has_directory(&self) -> bool {
        !self.directories.is_empty()
    }

    /// Returns true if all grain tables of the directory at `sector` were streamed and every grain in them begins before
    /// `at`.
    pub(super) fn ends_before(&self, sector: u64, at: HostOffset) -> bool {
        let complete = |directory: &StreamedDirectory| {
            directory.entries.iter().all(|entry| self.listed(*entry).is_some())
        };
        self.directory(sector).is_some_and(complete) && sector_offset(self.last_grain) < at
    }

    /// Compares the streamed grains, in a file that ended at `end`, with the tables of the directory at `sector`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] if a grain in the tables begins past the end,
    /// [`diskimg_core::ErrorKind::Corrupt`] for any other difference.
    pub(super) fn compare(&self, sector: u64, end: HostOffset, grain_bytes: u64) -> Result<()> {
        let last_grain = sector_offset(self.last_grain);
        ensure(last_grain < end, || {
            truncated("grain").at(last_grain.0).because(format_args!("the file ends at byte {}", end.0))
        })?;
        let Some(directory) = self.directory(sector) else {
            let expected = "the sector of a grain directory, but there was none";
            return Err(corrupt("gdOffset").found(sector).expected(expected));
        };
        for (index, entry) in (0_u64..).zip(directory.entries.iter().copied()) {
            let at = sector_offset(sector).plus(index.saturating_mul(4));
            let guest = index.saturating_mul(self.grains_per_table).saturating_mul(grain_bytes);
            let listed = self.listed(entry).ok_or_else(|| {
                let expected = "the sector of a grain table, but there was none";
                corrupt("grain directory entry").at(at.0).guest(guest).found_hex(entry).expected(expected)
            })?;
            if listed != self.streamed.get(&index).copied().unwrap_or_default() {
                let because = "a grain is missing or not at the sector in the table";
                let table = sector_offset(entry.into());
                return Err(corrupt("grain table").at(table.0).guest(guest).because(because));
            }
        }
        Ok(())
    }

    fn directory(&self, sector: u64) -> Option<&StreamedDirectory> {
        self.directories.iter().find(|directory| directory.sector == sector)
    }

    /// The sum of the table that a directory entry refers to; `None` if it was not streamed.
    fn listed(&self, entry: u32) -> Option<u64> {
        if entry == 0 {
            return Some(0);
        }
        let found = self.tables.binary_search_by_key(&u64::from(entry), |(sector, _)| *sector).ok()?;
        self.tables.get(found).map(|(_, sum)| *sum)
    }

    fn hash(&self, index: u64, sector: u64) -> u64 {
        self.key.hash_one((index, sector))
    }
}
