//! The entries of grain directories and grain tables.
//!
//! Sources: VMware, "Virtual Disk Format 5.0", "Grain Directory" and "Grain Table"; for seSparse QEMU's
//! `block/vmdk.c`.

use diskimg_core::{Error, HostOffset, Result, ensure};

use crate::addr::{SECTOR, sector_offset};
use crate::errors::corrupt;

/// Bytes of a seSparse entry.
pub(crate) const SESPARSE_ENTRY_BYTES: u64 = 8;
/// Sectors of a seSparse grain table, the only size there is.
pub(crate) const SESPARSE_TABLE_SECTORS: u64 = 64;

/// The four most significant bits of a seSparse entry, which give its type.
const TYPE: u64 = 0xF << 60;
/// The type of a directory entry that refers to a grain table.
const TABLE_TYPE: u64 = 1 << 60;

/// The encoding of the entries of one sparse extent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntryFormat {
    /// Sector numbers of 4 bytes; a grain table entry of 1 is a grain of zeros.
    ///
    /// Some writers use the 1 without setting the flag for it. Without the flag such a grain would be at the
    /// descriptor, so the 1 always means zeros.
    Hosted { compressed: bool },
    /// Sector numbers of 4 bytes.
    Cowd,
    /// Numbers of tables and grains in 8 bytes, with a type in the upper four bits.
    SeSparse(SeSparseAreas),
}

/// A decoded grain table entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GrainEntry {
    Unallocated,
    /// The grain reads as zeros. In seSparse extents this includes grains that the guest discarded.
    Zero,
    /// The grain is stored at this offset of the file.
    At(HostOffset),
}

impl EntryFormat {
    /// Bytes of an entry.
    pub(crate) const fn entry_bytes(self) -> u64 {
        match self {
            Self::Hosted { .. } | Self::Cowd => 4,
            Self::SeSparse(_) => SESPARSE_ENTRY_BYTES,
        }
    }

    /// Returns true if grains are compressed.
    pub(crate) const fn is_compressed(self) -> bool {
        matches!(self, Self::Hosted { compressed: true })
    }

    /// Returns the offset of a grain table from a directory entry that is not 0.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for a seSparse entry of another type.
    pub(crate) fn table(self, entry: u64) -> Result<HostOffset> {
        match self {
            Self::Hosted { .. } | Self::Cowd => Ok(sector_offset(entry)),
            Self::SeSparse(areas) => areas.table(entry),
        }
    }

    /// Decodes a grain table entry.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for a seSparse entry of unknown type.
    pub(crate) fn grain(self, entry: u64, grain_bytes: u64) -> Result<GrainEntry> {
        match self {
            _ if entry == 0 => Ok(GrainEntry::Unallocated),
            Self::Hosted { .. } if entry == 1 => Ok(GrainEntry::Zero),
            Self::Hosted { .. } | Self::Cowd => Ok(GrainEntry::At(sector_offset(entry))),
            Self::SeSparse(areas) => areas.grain(entry, grain_bytes),
        }
    }
}

/// The areas of a seSparse extent that table and grain numbers count from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SeSparseAreas {
    pub(crate) tables: HostOffset,
    pub(crate) grains: HostOffset,
}

impl SeSparseAreas {
    fn table(self, entry: u64) -> Result<HostOffset> {
        ensure(entry >> 32 == TABLE_TYPE >> 32, || {
            bad_entry("grain directory entry", entry, "0x1000000000000000 and a table number")
        })?;
        let number = entry & 0xFFFF_FFFF;
        Ok(self.tables.plus(number.saturating_mul(SESPARSE_TABLE_SECTORS * SECTOR)))
    }

    fn grain(self, entry: u64, grain_bytes: u64) -> Result<GrainEntry> {
        match (entry & TYPE) >> 60 {
            0 if entry == 0 => Ok(GrainEntry::Unallocated),
            // 1 is a discarded grain and 2 a grain of zeros, as in QEMU.
            1 | 2 => Ok(GrainEntry::Zero),
            3 => {
                let number = (entry >> 48) & 0xFFF | (entry & 0xFFFF_FFFF_FFFF) << 12;
                // A number of up to 60 bits may overflow: such a grain is past every file.
                Ok(GrainEntry::At(self.grains.plus(number.saturating_mul(grain_bytes))))
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
    use diskimg_core::ErrorKind;

    const fn areas(tables_sector: u64, grains_sector: u64) -> EntryFormat {
        EntryFormat::SeSparse(SeSparseAreas {
            tables: sector_offset(tables_sector),
            grains: sector_offset(grains_sector),
        })
    }

    #[test]
    fn sesparse_grain_number_has_its_low_bits_on_top() {
        let format = areas(100, 1000);
        let entry = |entry| format.grain(entry, 4096).unwrap();
        let at = |offset| GrainEntry::At(HostOffset(offset));
        assert_eq!(entry(0x3000_0000_0000_0000), at(512_000));
        assert_eq!(entry(0x3001_0000_0000_0000), at(512_000 + 4096));
        assert_eq!(entry(0x3000_0000_0000_0001), at(512_000 + 4096 * 4096));
        assert_eq!(
            (entry(0), entry(1 << 60), entry(2 << 60)),
            (GrainEntry::Unallocated, GrainEntry::Zero, GrainEntry::Zero)
        );
        assert_eq!(format.table(0x1000_0000_0000_0003).unwrap(), sector_offset(100 + 3 * 64));
    }

    #[test]
    fn sesparse_entry_of_unknown_type_is_corrupt() {
        let format = areas(0, 0);
        for entry in [1, 0x4000_0000_0000_0000, u64::MAX] {
            assert_eq!(format.grain(entry, 4096).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        for entry in [1, 0x1000_0001_0000_0000, 2 << 60] {
            assert_eq!(format.table(entry).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
