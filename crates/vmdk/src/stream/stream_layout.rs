//! The layout of a stream according to its header.

use std::ops::Range;

use diskimg_core::{Error, ErrorKind, GuestOffset, HostOffset, Limits, Remedy, Result, ensure};

use crate::addr::{SECTOR, sector_offset, sectors};
use crate::create_type::embedded_line;
use crate::descriptor::Descriptor;
use crate::errors::{FORMAT, corrupt};
use crate::extent_line::Access;
use crate::footer::check_copy;
use crate::lineage::parent;
use crate::own_size::own_size;
use crate::part::embedded_part;
use crate::sparse_header::{COMPRESSED, SparseHeader};

/// The header of a stream and values computed from it.
pub(super) struct StreamLayout {
    pub(super) header: SparseHeader,
    /// Bytes of the entries of a grain table, without padding.
    pub(super) table_bytes: u64,
    /// Bytes of the entries of the grain directory, without padding.
    pub(super) directory_bytes: u64,
    /// The offset of the first grain.
    pub(super) preamble_end: HostOffset,
    /// Virtual size in bytes, by header and descriptor.
    pub(super) size: u64,
}

impl StreamLayout {
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] for an image that is not stream-optimised or has no descriptor, [`ErrorKind::Corrupt`] for one without
    /// tables, [`ErrorKind::Limit`] for a disk that is too large.
    pub(super) fn new(header: SparseHeader, limits: &Limits) -> Result<Self> {
        if header.is_descriptor_only() {
            return Err(needs_seek("the file contains only a descriptor, no grains"));
        }
        ensure(header.has(COMPRESSED), || {
            needs_seek("only a stream-optimised image can be read in order, and this image is not one")
        })?;
        ensure(header.descriptor_offset_sectors != 0, || {
            needs_seek("the file is part of a larger disk: the header names no descriptor")
        })?;
        limits.check_virtual_size(header.capacity()).map_err(|error| error.format(FORMAT).at(12))?;
        let preamble_sectors = header.overhead_sectors.max(1);
        let preamble_end = preamble_sectors.checked_mul(SECTOR).filter(|end| i64::try_from(*end).is_ok());
        let preamble_end = preamble_end.ok_or_else(|| {
            corrupt("overHead").at(64).found(preamble_sectors).expected("less than 2^63 bytes")
        })?;
        if header.directory_sectors == 0 {
            return Err(corrupt("gdOffset").at(56).found(0).expected("the sector of a grain directory"));
        }
        Ok(Self {
            table_bytes: u64::from(header.entries_per_table).saturating_mul(4),
            directory_bytes: header.directory_bytes(),
            preamble_end: HostOffset(preamble_end),
            size: header.capacity(),
            header,
        })
    }

    /// Returns true if the grain directory, and with it the tables, precedes the grains.
    pub(super) fn tables_first(&self) -> bool {
        !self.header.has_footer() && sector_offset(self.header.directory_sectors) < self.preamble_end
    }

    /// Applies the descriptor at `at`.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] for an image with a parent, without access to its grains, or that is part of a larger
    /// disk; the errors of opening an image with this descriptor.
    pub(super) fn apply_descriptor(&mut self, bytes: &[u8], at: HostOffset) -> Result<()> {
        let descriptor = Descriptor::parse(bytes, at.0)?;
        descriptor.check_readable()?;
        if parent(&descriptor).is_some() {
            return Err(needs_seek("the image has a parent, which stores its other grains").at(at.0));
        }
        if let Some((_, at)) = embedded_part(&descriptor, at.0) {
            return Err(needs_seek("the file is part of a larger disk").at(at));
        }
        let line = embedded_line(&descriptor)?;
        if line.access == Access::NoAccess {
            return Err(needs_seek("no access to the grains: the disk reads as zeros").at(line.at));
        }
        self.size = own_size(self.header.capacity(), self.header.grain_bytes(), line.bytes());
        Ok(())
    }

    /// Parses the footer at `at` and returns the sector of the grain directory.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is not a copy of the header or has no sector of the directory.
    pub(super) fn parse_footer(&self, bytes: &[u8], at: HostOffset) -> Result<u64> {
        let footer = SparseHeader::parse(bytes, at).map_err(|error| match error.kind() {
            ErrorKind::UnknownFormat => error.with_kind(ErrorKind::Corrupt),
            _ => error,
        })?;
        let header = &self.header;
        check_copy(header, &footer, at)?;
        if !header.has_footer() && header.directory_sectors != footer.directory_sectors {
            return Err(corrupt("gdOffset of the footer")
                .at(at.plus(56).0)
                .found(footer.directory_sectors)
                .expected(format_args!("{}, as in the header", header.directory_sectors)));
        }
        Ok(footer.directory_sectors)
    }

    /// The guest range of the grain at sector `lba`, clipped at the end of the disk. The capacity may exceed the size in
    /// the descriptor.
    pub(super) fn guest_range(&self, lba: u64) -> Range<GuestOffset> {
        let start = GuestOffset(sectors(lba));
        start..start.plus(self.header.grain_bytes()).min(GuestOffset(self.size))
    }
}

fn needs_seek(why: &'static str) -> Error {
    Error::new(ErrorKind::NeedsSeek).format(FORMAT).because(why).with_remedy(Remedy::ReadFromFile)
}
