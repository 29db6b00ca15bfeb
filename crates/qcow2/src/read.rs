//! Reading guest bytes.

use std::ops::Range;

use diskimg_codec::units::{CompressedUnit, UnitMap};
use diskimg_core::{
    BlockSource, Error, Extent, ExtentKind, GuestOffset, HostOffset, Image, ImageInfo, ReadCursor, Result,
    check_extent_range, check_range,
};

use crate::cluster_codec::ClusterCodec;
use crate::errors::internal;
use crate::lookup::{Mapping, RunContent};
use crate::open::Qcow2;

impl BlockSource for Qcow2 {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let mut rest = ReadCursor::new(offset, buf);
        while !rest.is_empty() {
            let at = GuestOffset(rest.offset());
            let mapping = self.lookup.mapping(at, GuestOffset(rest.end()))?;
            let mapped = rest.take(mapping.end().since(at)).ok_or_else(bad_run)?;
            self.read_mapped(&mapping, at, mapped)?;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_extent_range(&range, self.size)?;
        let (guest, end) = (GuestOffset(range.start), GuestOffset(range.end));
        let (stored, len) = self.lookup.mapping(guest, end)?.run(guest, end)?;
        let range = range.start..guest.plus(len).0;
        let locate = |host: HostOffset| self.data.locate(host.0..host.plus(len).0);
        let reserved = |host: HostOffset| locate(host).host.map_or(host.0, |host| host.offset);
        Ok(match stored {
            RunContent::Unallocated(place) => {
                Extent { reserved: place.map(reserved), ..Extent::new(range, ExtentKind::Unallocated) }
            }
            RunContent::Zero(place) => {
                Extent { reserved: place.map(reserved), ..Extent::new(range, ExtentKind::Zero) }
            }
            RunContent::Data(host) => {
                Extent { location: locate(host), ..Extent::new(range, ExtentKind::Data) }
            }
            RunContent::Compressed => Extent::new(range, ExtentKind::Encoded),
        })
    }

    fn decode_unit(&self) -> u64 {
        self.lookup.geometry().cluster_size()
    }
}

impl Image for Qcow2 {
    fn info(&self) -> &ImageInfo {
        &self.info
    }
}

impl Qcow2 {
    /// Fills `buf` with the bytes at `guest`, all of which `mapping` maps.
    fn read_mapped(&self, mapping: &Mapping<'_>, guest: GuestOffset, buf: &mut [u8]) -> Result<()> {
        let mut rest = ReadCursor::new(guest.0, buf);
        while !rest.is_empty() {
            let at = GuestOffset(rest.offset());
            let (stored, len) = mapping.run(at, GuestOffset(rest.end()))?;
            let run = rest.take(len).ok_or_else(bad_run)?;
            match stored {
                RunContent::Unallocated(_) | RunContent::Zero(_) => run.fill(0),
                RunContent::Data(host) => self.data.read_at(host.0, run)?,
                RunContent::Compressed => {
                    self.units.read(&CompressedClusters { image: self, mapping }, at, run)?;
                }
            }
        }
        Ok(())
    }
}

/// The compressed clusters of a mapping.
struct CompressedClusters<'a> {
    image: &'a Qcow2,
    mapping: &'a Mapping<'a>,
}

impl UnitMap for CompressedClusters<'_> {
    type Codec = ClusterCodec;

    fn new_codec(&self) -> ClusterCodec {
        ClusterCodec::new(self.image.compression)
    }

    fn unit_size(&self) -> u64 {
        self.image.decode_unit()
    }

    fn source(&self) -> &dyn BlockSource {
        self.image.source.as_ref()
    }

    fn unit(&self, guest: GuestOffset) -> Result<CompressedUnit> {
        self.mapping.compressed(guest)
    }

    fn decode(
        &self,
        codec: &mut ClusterCodec,
        unit: &CompressedUnit,
        start: GuestOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        codec.decode(unit, start, input, output)
    }
}

/// The error for a run that is empty or longer than the rest of the read buffer.
fn bad_run() -> Error {
    internal("read").because("a run is empty or longer than the read")
}
