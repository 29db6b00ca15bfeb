//! Whether the grains that came are the ones that the tables list.
//!
//! A stream shows each grain and each table once, tables in front of the grains or behind them. To keep what
//! either says would take 4 bytes a grain; a sum for each grain table takes 1/64 of that. The sum is over a
//! hash of (index in the table, sector), so the order of grains does not matter, and the hash has a key that
//! is new for each decoder, so no image can be made to fit. A grain that is missing, doubled, moved or in
//! another place than its table says changes the sum.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use byteorder::{ByteOrder, LittleEndian};
use diskimg_core::{Budget, Limits, Result};

use crate::errors::{FORMAT, corrupt, truncated};

/// Bytes that the sum of one table's grains takes, with about what its place in the map takes.
const SUM_COST: u64 = 40;
/// Bytes that what is kept of one table takes.
const TABLE_COST: u64 = 16;
/// Directories that are kept: the grain directory and its redundant copy.
const DIRECTORIES: usize = 2;
/// Entries up to this one are no places: 0 is a hole, 1 a grain of zeros.
const LAST_SPECIAL: u32 = 1;

/// Takes `bytes` from the budget of what is kept.
pub(super) fn charge(budget: &Budget, bytes: u64) -> Result<()> {
    budget.take(bytes).map_err(|error| error.format(FORMAT))
}

/// What was seen of grains and tables.
pub(super) struct Tally {
    key: RandomState,
    /// Of each grain table, by its index in the directory: the sum over the grains that came.
    came: BTreeMap<u64, u64>,
    /// The tables that came: their sector, and the sum over their entries. Sectors ascend.
    tables: Vec<(u64, u64)>,
    directories: Vec<Directory>,
    /// The highest sector that a table says a grain begins in.
    furthest: u64,
    grains_per_table: u64,
}

struct Directory {
    sector: u64,
    entries: Vec<u32>,
}

impl Tally {
    pub(super) fn new(grains_per_table: u64) -> Self {
        Self {
            key: RandomState::new(),
            came: BTreeMap::new(),
            tables: Vec::new(),
            directories: Vec::new(),
            furthest: 0,
            grains_per_table: grains_per_table.max(1),
        }
    }

    /// The budget that all of this, and the grains seen, are charged to.
    pub(super) fn budget(limits: &Limits) -> Budget {
        Budget::new("what is kept of the grain tables", limits.metadata_cache)
    }

    /// Notes that a grain began in `sector`.
    pub(super) fn grain(&mut self, grain: u64, sector: u64, budget: &Budget) -> Result<()> {
        let (table, index) = (grain / self.grains_per_table, grain % self.grains_per_table);
        let hash = self.hash(index, sector);
        if let Some(sum) = self.came.get_mut(&table) {
            *sum = sum.wrapping_add(hash);
            return Ok(());
        }
        charge(budget, SUM_COST)?;
        self.came.insert(table, hash);
        Ok(())
    }

    /// Notes the grain table that was in `sector`.
    pub(super) fn table(&mut self, sector: u64, bytes: &[u8], budget: &Budget) -> Result<()> {
        charge(budget, TABLE_COST)?;
        let mut sum = 0_u64;
        for (index, entry) in (0_u64..).zip(bytes.chunks_exact(4).map(LittleEndian::read_u32)) {
            if entry > LAST_SPECIAL {
                sum = sum.wrapping_add(self.hash(index, u64::from(entry)));
                self.furthest = self.furthest.max(u64::from(entry));
            }
        }
        self.tables.push((sector, sum));
        Ok(())
    }

    /// Notes the grain directory that was in `sector`; its entries.
    pub(super) fn directory(&mut self, sector: u64, bytes: &[u8], budget: &Budget) -> Result<&[u32]> {
        if self.directories.len() >= DIRECTORIES {
            return Err(corrupt("grain directory")
                .at(sector.saturating_mul(512))
                .because("more than a directory and its copy"));
        }
        charge(budget, bytes.len() as u64)?;
        let entries = bytes.chunks_exact(4).map(LittleEndian::read_u32).collect();
        self.directories.push(Directory { sector, entries });
        Ok(self.directories.last().map(|directory| directory.entries.as_slice()).unwrap_or_default())
    }

    /// Whether a grain directory came.
    pub(super) fn has_directory(&self) -> bool {
        !self.directories.is_empty()
    }

    /// Whether byte `at` lies behind the beginning of every grain that the tables of the directory in `sector` list,
    /// as far as all of these have come.
    pub(super) fn ends_before(&self, sector: u64, at: u64) -> bool {
        let directory = self.directories.iter().find(|directory| directory.sector == sector);
        let complete =
            |directory: &Directory| directory.entries.iter().all(|entry| self.listed(*entry).is_some());
        directory.is_some_and(complete) && self.furthest.saturating_mul(512) < at
    }

    /// Compares all that came, in a file that ended at byte `end`, with the directory in `sector`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] when a grain should lie behind the end;
    /// [`diskimg_core::ErrorKind::Corrupt`] for all that is missing, too much, or elsewhere.
    pub(super) fn compare(&self, sector: u64, end: u64, grain_bytes: u64) -> Result<()> {
        let furthest = self.furthest.saturating_mul(512);
        if furthest >= end {
            return Err(truncated("grain").at(furthest).because(format_args!("the file ends at byte {end}")));
        }
        let Some(directory) = self.directories.iter().find(|directory| directory.sector == sector) else {
            return Err(corrupt("gdOffset")
                .found(sector)
                .expected("the sector of a grain directory, and none was there"));
        };
        for (index, entry) in (0_u64..).zip(directory.entries.iter().copied()) {
            let at = sector.saturating_mul(512).saturating_add(index.saturating_mul(4));
            let guest = index.saturating_mul(self.grains_per_table).saturating_mul(grain_bytes);
            let listed = self.listed(entry).ok_or_else(|| {
                corrupt("grain directory entry")
                    .at(at)
                    .guest(guest)
                    .found_hex(entry)
                    .expected("the sector of a grain table, and none was there")
            })?;
            if listed != self.came.get(&index).copied().unwrap_or_default() {
                return Err(corrupt("grain table")
                    .at(u64::from(entry).saturating_mul(512))
                    .guest(guest)
                    .because("a grain is missing, or is not where the table says"));
            }
        }
        Ok(())
    }

    /// The sum over the entries of the table that a directory's entry names.
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
