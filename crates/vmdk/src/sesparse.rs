//! The headers and entries of a space-efficient sparse extent of ESXi.
//!
//! Source: QEMU's `block/vmdk.c`, for VMware documents nothing of it. Little-endian words of 64 bits, counted
//! in sectors of 512 bytes.

use diskimg_core::{Error, ErrorKind, Result};
use nom::Parser;
use nom::multi::fill;
use nom::number::complete::le_u64;

use crate::addr::HostOffset;
use crate::errors::{corrupt, truncated, unsupported};
use crate::sparse_header::SECTOR;

/// The first word of the constant header, and of the file.
pub(crate) const MAGIC: u64 = 0xcafe_babe;
/// The second: 2.1.
pub(crate) const VERSION: u64 = 0x2_0000_0001;
/// The first word of the volatile header.
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;
/// Sectors of a grain, the only size there is.
const GRAIN_SECTORS: u64 = 8;
/// Sectors of a grain table, the only size there is.
const TABLE_SECTORS: u64 = 64;
/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: u64 = 8;
/// Entries of a grain table.
pub(crate) const ENTRIES_PER_TABLE: u64 = TABLE_SECTORS * SECTOR / ENTRY_BYTES;
/// Capacities and offsets from here on do not fit 63 bits in bytes.
const SECTORS_END: u64 = (1 << 63) / SECTOR;

/// The four bits at the top of an entry that say what it is.
const TYPE: u64 = 0xF << 60;
const TABLE_TYPE: u64 = 1 << 60;

/// The fields of the constant header that a reader needs, checked against each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SeSparseHeader {
    pub(crate) capacity_sectors: u64,
    pub(crate) volatile_sectors: u64,
    pub(crate) directory_sectors: u64,
    pub(crate) directory_size_sectors: u64,
    pub(crate) areas: Areas,
}

/// Where grain tables and grains are; their numbers count from there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Areas {
    tables_sectors: u64,
    grains_sectors: u64,
}

/// What an entry of a grain table says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Grain {
    Unallocated,
    /// Written as zeros, or given back by the guest and not written since.
    Zero,
    /// Its host offset.
    At(HostOffset),
}

impl SeSparseHeader {
    /// Reads and checks the constant header that `bytes` begin with.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] without the magic, [`ErrorKind::Truncated`] when `bytes` ends before the
    /// header, and whatever kind the first field has that cannot be.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let words: [u64; 26] = words(bytes, 0)?;
        let [magic, version, capacity, grain, table, flags, ..] = words;
        let [.., volatile, _, _, _, _, _, directory, directory_size, tables, _, _, _, _, _, grains, _] =
            words;
        if magic != MAGIC {
            return Err(corrupt("magic").with_kind(ErrorKind::UnknownFormat).at(0).found_hex(magic));
        }
        let known = [
            ("version", 8, version, VERSION),
            ("grain size", 24, grain, GRAIN_SECTORS),
            ("grain table size", 32, table, TABLE_SECTORS),
            ("flags", 40, flags, 0),
        ];
        for (field, at, found, only) in known {
            if found != only {
                return Err(unsupported(field).at(at).found_hex(found).expected(format_args!("{only:#x}")));
            }
        }
        let places = [
            ("capacity", 16, capacity),
            ("volatile header offset", 80, volatile),
            ("grain directory offset", 128, directory),
            ("grain directory size", 136, directory_size),
            ("grain tables offset", 144, tables),
            ("grains offset", 192, grains),
        ];
        for (field, at, found) in places {
            if found >= SECTORS_END {
                return Err(corrupt(field).at(at).found(found).expected("less than 2^63 bytes, in sectors"));
            }
        }
        let needed =
            capacity.div_ceil(ENTRIES_PER_TABLE * GRAIN_SECTORS).saturating_mul(ENTRY_BYTES).div_ceil(SECTOR);
        if directory_size < needed {
            return Err(corrupt("grain directory size")
                .at(136)
                .found(directory_size)
                .expected(format_args!("at least {needed} sectors for {capacity} sectors of disk")));
        }
        Ok(Self {
            capacity_sectors: capacity,
            volatile_sectors: volatile,
            directory_sectors: directory,
            directory_size_sectors: directory_size,
            areas: Areas { tables_sectors: tables, grains_sectors: grains },
        })
    }

    /// Bytes of the disk that the extent holds.
    pub(crate) const fn capacity(&self) -> u64 {
        self.capacity_sectors.saturating_mul(SECTOR)
    }

    /// Bytes of a grain.
    pub(crate) const fn grain_bytes() -> u64 {
        GRAIN_SECTORS * SECTOR
    }
}

/// Checks the volatile header that `bytes` begin with and that lies at byte `at`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] when its journal has to be replayed first, [`ErrorKind::Corrupt`] without its
/// magic.
pub(crate) fn check_volatile(bytes: &[u8], at: u64) -> Result<()> {
    let [magic, _, _, replay_journal] = words(bytes, at)?;
    if magic != VOLATILE_MAGIC {
        return Err(corrupt("magic of the volatile header")
            .at(at)
            .found_hex(magic)
            .expected(format_args!("{VOLATILE_MAGIC:#x}")));
    }
    if replay_journal != 0 {
        return Err(unsupported("replay_journal")
            .at(at.saturating_add(24))
            .found(replay_journal)
            .expected("0")
            .because("the extent was not closed cleanly: only ESXi can replay its journal"));
    }
    Ok(())
}

fn words<const N: usize>(bytes: &[u8], at: u64) -> Result<[u64; N]> {
    let mut words = [0; N];
    let parsed: nom::IResult<&[u8], ()> = fill(le_u64, &mut words).parse(bytes);
    match parsed {
        Ok(_) => Ok(words),
        Err(_) => Err(truncated("header")
            .at(at)
            .found(format_args!("{} bytes", bytes.len()))
            .expected(format_args!("at least {}", N.saturating_mul(8)))),
    }
}

impl Areas {
    /// The host offset of a grain table, by an entry of the grain directory that is not 0.
    pub(crate) fn table(self, entry: u64) -> Result<u64> {
        if entry >> 32 != TABLE_TYPE >> 32 {
            return Err(bad_entry("grain directory entry", entry, "0x1000000000000000 and a table's number"));
        }
        let sectors = (entry & 0xFFFF_FFFF).saturating_mul(TABLE_SECTORS);
        Ok(self.tables_sectors.saturating_add(sectors).saturating_mul(SECTOR))
    }

    /// What an entry of a grain table says.
    pub(crate) fn grain(self, entry: u64, grain_bytes: u64) -> Result<Grain> {
        match (entry & TYPE) >> 60 {
            0 if entry == 0 => Ok(Grain::Unallocated),
            // 1 is a grain that the guest gave back, 2 one of zeros: as QEMU reads them.
            1 | 2 => Ok(Grain::Zero),
            3 => {
                let number = (entry >> 48) & 0xFFF | (entry & 0xFFFF_FFFF_FFFF) << 12;
                let start = HostOffset::of_sector(self.grains_sectors);
                Ok(Grain::At(start.plus(number.saturating_mul(grain_bytes))))
            }
            _ => Err(bad_entry("grain table entry", entry, "0, or a type of 1 to 3 in its first digit")),
        }
    }
}

fn bad_entry(field: &str, entry: u64, expected: &str) -> Error {
    corrupt(field).found_hex(entry).expected(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_grain_has_its_low_bits_on_top() {
        let areas = Areas { tables_sectors: 100, grains_sectors: 1000 };
        let at = |entry| areas.grain(entry, 4096).unwrap();
        assert_eq!(at(0x3000_0000_0000_0000), Grain::At(HostOffset(512_000)));
        assert_eq!(at(0x3001_0000_0000_0000), Grain::At(HostOffset(512_000 + 4096)));
        assert_eq!(at(0x3000_0000_0000_0001), Grain::At(HostOffset(512_000 + 4096 * 4096)));
        assert_eq!((at(0), at(1 << 60), at(2 << 60)), (Grain::Unallocated, Grain::Zero, Grain::Zero));
        assert_eq!(areas.table(0x1000_0000_0000_0003).unwrap(), (100 + 3 * 64) * 512);
    }

    #[test]
    fn m42_an_entry_of_unknown_type_is_corrupt() {
        let areas = Areas { tables_sectors: 0, grains_sectors: 0 };
        for entry in [1, 0x4000_0000_0000_0000, u64::MAX] {
            assert_eq!(areas.grain(entry, 4096).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        for entry in [1, 0x1000_0001_0000_0000, 2 << 60] {
            assert_eq!(areas.table(entry).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
