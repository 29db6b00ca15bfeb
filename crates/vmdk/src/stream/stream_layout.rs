//! What the header says a stream looks like, and whether it can be decoded as one.

use diskimg_core::{Error, ErrorKind, HostOffset, Limits, Remedy, Result};

use crate::create_type::embedded_line;
use crate::descriptor::Descriptor;
use crate::errors::{FORMAT, corrupt};
use crate::extent_line::Access;
use crate::footer::check_copy;
use crate::lineage::parent;
use crate::sparse_header::{COMPRESSED, SECTOR, SparseHeader};

/// The header of a stream, and what follows from it. Offsets and lengths are bytes.
pub(super) struct Shape {
    pub(super) header: SparseHeader,
    /// Bytes of a grain table's entries, without what fills its last sector.
    pub(super) table_bytes: u64,
    /// The same of the grain directory.
    pub(super) directory_bytes: u64,
    /// Where the grains begin.
    pub(super) front_end: u64,
    /// Size of the disk: that of the header, until the descriptor says less.
    pub(super) size: u64,
}

impl Shape {
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] for images of other layouts; [`ErrorKind::Corrupt`] for one without tables;
    /// [`ErrorKind::Limit`] for too large a disk.
    pub(super) fn new(header: SparseHeader, limits: &Limits) -> Result<Self> {
        if header.is_descriptor_only() {
            return Err(needs_seek("the header has no disk of its own, only a descriptor"));
        }
        if !header.has(COMPRESSED) {
            return Err(needs_seek(
                "only a stream-optimised image can be read in order, and this one is not",
            ));
        }
        limits.check_virtual_size(header.capacity()).map_err(|error| error.format(FORMAT).at(12))?;
        let front_sectors = header.overhead_sectors.max(1);
        let front_end =
            front_sectors.checked_mul(SECTOR).filter(|end| i64::try_from(*end).is_ok()).ok_or_else(|| {
                corrupt("overHead").at(64).found(front_sectors).expected("less than 2^63 bytes")
            })?;
        if header.directory_sectors == 0 {
            return Err(corrupt("gdOffset").at(56).found(0).expected("the sector of a grain directory"));
        }
        Ok(Self {
            table_bytes: u64::from(header.entries_per_table).saturating_mul(4),
            directory_bytes: header.directory_entries().saturating_mul(4),
            front_end,
            size: header.capacity(),
            header,
        })
    }

    /// Whether the grain directory, and with it the tables, stands in front of the grains.
    pub(super) fn tables_in_front(&self) -> bool {
        self.header.directory_sectors < self.front_end / SECTOR
    }

    /// Reads the descriptor at byte `at`, for what makes a stream more, or less, than its grains. One that says
    /// nothing is none.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] when the disk has a parent; as opening the image otherwise.
    pub(super) fn describe(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        let descriptor = Descriptor::parse(bytes, at)?;
        descriptor.check_plain()?;
        if parent(&descriptor).is_some() {
            return Err(needs_seek("the image is based on a parent: what it does not hold is there").at(at));
        }
        if descriptor.is_blank() {
            return Ok(());
        }
        let line = embedded_line(&descriptor)?;
        if line.access == Access::NoAccess {
            return Err(needs_seek("no access to the grains: the disk is zeros").at(line.at));
        }
        self.size = self.size.min(line.bytes());
        Ok(())
    }

    /// Reads the footer at byte `at`, a copy of the header, for the sector of the grain directory.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is no copy, or does not know the sector either.
    pub(super) fn footer(&self, bytes: &[u8], at: u64) -> Result<u64> {
        let footer = SparseHeader::parse(bytes, HostOffset(at)).map_err(|error| match error.kind() {
            ErrorKind::UnknownFormat => error.with_kind(ErrorKind::Corrupt),
            _ => error,
        })?;
        let header = &self.header;
        check_copy(header, &footer, HostOffset(at))?;
        if !header.has_footer() && header.directory_sectors != footer.directory_sectors {
            return Err(corrupt("gdOffset of the footer")
                .at(at.saturating_add(56))
                .found(footer.directory_sectors)
                .expected(format_args!("{}, as in the header", header.directory_sectors)));
        }
        Ok(footer.directory_sectors)
    }
}

fn needs_seek(why: &'static str) -> Error {
    Error::new(ErrorKind::NeedsSeek).format(FORMAT).because(why).with_remedy(Remedy::ReadFromFile)
}
