//! Reads guest bytes. Contiguous blocks are read in one call.

use std::ops::Range;

use diskimg_core::{
    BlockSource, Error, Extent, ExtentKind, Image, ImageInfo, ReadCursor, Result, check_extent_range,
    check_range,
};

use crate::addr::GuestOffset;
use crate::block_map::{Mapping, StoredRun};
use crate::errors::internal;
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
            let mapping = self.map.mapping(at, GuestOffset(rest.end()))?;
            let now = rest.take(mapping.end().since(at)).ok_or_else(wrong_lengths)?;
            self.read_mapped(&mapping, at, now)?;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_extent_range(&range, self.size())?;
        let (guest, end) = (GuestOffset(range.start), GuestOffset(range.end));
        let (stored, len) = self.map.mapping(guest, end)?.run(guest, end)?;
        let kind = match stored {
            StoredRun::Free => ExtentKind::Unallocated,
            StoredRun::Zero => ExtentKind::Zero,
            StoredRun::Data(_) => ExtentKind::Data,
        };
        let mut extent = Extent::new(guest.0..guest.plus(len).0, kind);
        if let StoredRun::Data(host) = stored {
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
    /// Fills `buf` with the bytes at `guest`, which `mapping` covers.
    fn read_mapped(&self, mapping: &Mapping<'_>, guest: GuestOffset, buf: &mut [u8]) -> Result<()> {
        let mut rest = ReadCursor::new(guest.0, buf);
        while !rest.is_empty() {
            let (stored, len) = mapping.run(GuestOffset(rest.offset()), GuestOffset(rest.end()))?;
            let now = rest.take(len).ok_or_else(wrong_lengths)?;
            match stored {
                StoredRun::Free | StoredRun::Zero => now.fill(0),
                StoredRun::Data(host) => self.source.read_at(host.0, now)?,
            }
        }
        Ok(())
    }
}

fn wrong_lengths() -> Error {
    internal("read").because("lengths do not add up")
}
