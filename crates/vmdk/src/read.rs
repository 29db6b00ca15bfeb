//! Reading guest bytes.

use std::ops::Range;

use diskimg_codec::units::{CompressedUnit, UnitMap};
use diskimg_core::{
    BlockSource, Error, ErrorKind, Extent, ExtentKind, GuestOffset, Image, ImageInfo, Location, ReadCursor,
    Result, check_range,
};

use crate::errors::FORMAT;
use crate::extents::{Content, Part};
use crate::grain_codec::GrainCodec;
use crate::lookup::{Mapping, SparseExtent, Stored};
use crate::open::Vmdk;
use crate::sparse_header::SECTOR;

impl BlockSource for Vmdk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let mut rest = ReadCursor::new(offset, buf);
        while !rest.is_empty() {
            let at = rest.offset();
            let part = self.part(at)?;
            let now = rest.take(part.end().min(rest.end()).saturating_sub(at)).ok_or_else(internal)?;
            let inside = at.saturating_sub(part.start);
            match &part.content {
                Content::Zero => now.fill(0),
                Content::Flat { source, offset } => source.read_at(offset.saturating_add(inside), now)?,
                Content::Sparse(extent) => {
                    self.read_sparse(extent, inside, now).map_err(|error| part.named(error))?;
                }
            }
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_range(range.start, range.end.saturating_sub(range.start).max(1), self.size)?;
        let part = self.part(range.start)?;
        let range = range.start..range.end.min(part.end());
        match &part.content {
            Content::Zero => Ok(Extent::new(range, ExtentKind::Zero)),
            Content::Flat { source, .. } => {
                let extent = source.extent_at(part.in_flat_file(&range))?;
                // A flat file holds all of its bytes: nothing below it shows through its holes.
                let kind = match extent.kind {
                    ExtentKind::Unallocated => ExtentKind::Zero,
                    kind => kind,
                };
                Ok(Extent { offset: range.start, kind, depth: 0, ..extent })
            }
            Content::Sparse(extent) => {
                sparse_extent_at(extent, part, range).map_err(|error| part.named(error))
            }
        }
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        match self.part(range.start) {
            Ok(part) if range.start <= range.end && range.end <= part.end() => match &part.content {
                Content::Flat { source, .. } => source.locate(part.in_flat_file(&range)),
                Content::Zero | Content::Sparse(_) => Location::default(),
            },
            _ => Location::default(),
        }
    }

    fn decode_unit(&self) -> u64 {
        self.info.allocation_unit.unwrap_or(1)
    }
}

impl Image for Vmdk {
    fn info(&self) -> &ImageInfo {
        &self.info
    }
}

fn sparse_extent_at<'a>(extent: &'a SparseExtent, part: &Part, range: Range<u64>) -> Result<Extent<'a>> {
    let guest = range.start.saturating_sub(part.start);
    let end = range.end.saturating_sub(part.start);
    let mapping = extent.mapping(guest, end)?;
    let (stored, len) = mapping.run(guest, end)?;
    let kind = match stored {
        Stored::Unallocated => ExtentKind::Unallocated,
        Stored::Zero => ExtentKind::Zero,
        Stored::Data(_) => ExtentKind::Data,
        Stored::Compressed => ExtentKind::Encoded,
    };
    let mut answer = Extent::new(range.start..range.start.saturating_add(len), kind);
    if let Stored::Data(host) = stored {
        answer.location = extent.tables.source.locate(host.span(len));
    }
    Ok(answer)
}

impl Vmdk {
    /// The part with `offset` in it.
    fn part(&self, offset: u64) -> Result<&Part> {
        let index = self.parts.partition_point(|part| part.end() <= offset);
        self.parts.get(index).ok_or_else(internal)
    }

    /// Fills `buf` with the bytes at `guest` of a sparse extent.
    fn read_sparse(&self, extent: &SparseExtent, guest: u64, buf: &mut [u8]) -> Result<()> {
        let mut rest = ReadCursor::new(guest, buf);
        while !rest.is_empty() {
            let at = rest.offset();
            let mapping = extent.mapping(at, rest.end())?;
            let now = rest.take(mapping.end().saturating_sub(at)).ok_or_else(internal)?;
            self.read_mapped(extent, &mapping, at, now)?;
        }
        Ok(())
    }

    /// Fills `buf` with the bytes at `guest`, all of which `mapping` maps.
    fn read_mapped(
        &self,
        extent: &SparseExtent,
        mapping: &Mapping<'_>,
        guest: u64,
        buf: &mut [u8],
    ) -> Result<()> {
        let mut rest = ReadCursor::new(guest, buf);
        while !rest.is_empty() {
            let at = rest.offset();
            let (stored, len) = mapping.run(at, rest.end())?;
            let now = rest.take(len).ok_or_else(internal)?;
            match stored {
                Stored::Unallocated | Stored::Zero => now.fill(0),
                Stored::Data(host) => extent.tables.source.read_at(host.0, now)?,
                Stored::Compressed => {
                    self.grains.read(&CompressedGrains { extent, mapping }, GuestOffset(at), now)?;
                }
            }
        }
        Ok(())
    }
}

/// The compressed grains of a mapping.
struct CompressedGrains<'a> {
    extent: &'a SparseExtent,
    mapping: &'a Mapping<'a>,
}

impl UnitMap for CompressedGrains<'_> {
    type Codec = GrainCodec;

    fn new_codec(&self) -> GrainCodec {
        GrainCodec::default()
    }

    fn unit_size(&self) -> u64 {
        self.extent.grain_bytes
    }

    fn source(&self) -> &dyn BlockSource {
        self.extent.tables.source.as_ref()
    }

    /// The marker, which is not read here, has the compressed length. Assumes that a grain ends where the next
    /// one begins, and that it did not grow; the codec reads the rest of the others.
    fn unit(&self, guest: GuestOffset) -> Result<CompressedUnit> {
        let start = self.mapping.compressed(guest.0)?;
        let most = start.saturating_add(self.extent.grain_bytes).saturating_add(SECTOR);
        let next = self.mapping.compressed(guest.plus(self.extent.grain_bytes).0).ok();
        let end = next.filter(|next| *next > start).map_or(most, |next| next.min(most));
        Ok(CompressedUnit { host: start..end.min(self.extent.tables.file_size()), truncated: false })
    }

    fn decode(
        &self,
        codec: &mut GrainCodec,
        unit: &CompressedUnit,
        start: GuestOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        codec.decode(self.extent, unit.host.start, start.0, input, output)
    }

    /// The offset in the disk: the extents of an image share one cache.
    fn cache_key(&self, start: GuestOffset) -> GuestOffset {
        GuestOffset(self.extent.of_disk(start.0))
    }
}

/// The error for a bug in this crate, not a fault of the image.
fn internal() -> Error {
    Error::new(ErrorKind::Internal).format(FORMAT).because("lengths do not add up")
}
