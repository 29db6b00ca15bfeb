//! Reading guest bytes: what lies together is read in one go.

use std::ops::Range;

use diskimg_core::{
    BlockSource, Error, ErrorKind, Extent, ExtentKind, Image, ImageInfo, ReadCursor, Result, check_range,
};

use crate::addr::GuestOffset;
use crate::block_map::{Mapping, Stored};
use crate::errors::FORMAT;
use crate::open::Vdi;

impl BlockSource for Vdi {
    fn size(&self) -> u64 {
        self.info.virtual_size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let mut rest = ReadCursor::new(offset, buf);
        while !rest.is_empty() {
            let at = GuestOffset(rest.offset());
            let mapping = self.map.mapping(at, rest.end())?;
            let now = rest.take(mapping.end().saturating_sub(at.0)).ok_or_else(internal)?;
            self.read_mapped(&mapping, at, now)?;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_range(range.start, range.end.saturating_sub(range.start).max(1), self.size())?;
        let guest = GuestOffset(range.start);
        let mapping = self.map.mapping(guest, range.end)?;
        let (stored, len) = mapping.run(guest, range.end)?;
        let kind = match stored {
            Stored::Free => ExtentKind::Unallocated,
            Stored::Zero => ExtentKind::Zero,
            Stored::Data(_) => ExtentKind::Data,
        };
        let mut extent = Extent::new(range.start..range.start.saturating_add(len), kind);
        if let Stored::Data(host) = stored {
            extent.location = self.source.locate(host.0..host.plus(len).0);
        }
        Ok(extent)
    }
}

impl Image for Vdi {
    fn info(&self) -> &ImageInfo {
        &self.info
    }
}

impl Vdi {
    /// Fills `buf` with the bytes at `guest`, all of which `mapping` maps.
    fn read_mapped(&self, mapping: &Mapping<'_>, guest: GuestOffset, buf: &mut [u8]) -> Result<()> {
        let mut rest = ReadCursor::new(guest.0, buf);
        while !rest.is_empty() {
            let (stored, len) = mapping.run(GuestOffset(rest.offset()), rest.end())?;
            let now = rest.take(len).ok_or_else(internal)?;
            match stored {
                Stored::Free | Stored::Zero => now.fill(0),
                Stored::Data(host) => self.source.read_at(host.0, now)?,
            }
        }
        Ok(())
    }
}

/// A rule of this crate was broken, not one of the format.
fn internal() -> Error {
    Error::new(ErrorKind::Internal).format(FORMAT).because("lengths do not add up")
}
