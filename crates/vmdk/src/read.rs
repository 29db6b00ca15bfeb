//! Reading guest bytes.

use std::ops::Range;

use diskimg_codec::units::{CompressedUnit, UnitMap};
use diskimg_core::{
    BlockSource, Error, Extent, ExtentKind, GuestOffset, HostOffset, Image, ImageInfo, Location, ReadCursor,
    Result, check_extent_range, check_range,
};

use crate::addr::{ExtentOffset, SECTOR, source_range, span};
use crate::errors::internal;
use crate::extents::{DescriptorExtent, ExtentContent};
use crate::grain_codec::GrainCodec;
use crate::lookup::{GrainContent, Mapping};
use crate::open::Vmdk;
use crate::sparse_extent::SparseExtent;

impl BlockSource for Vmdk {
    fn size(&self) -> u64 {
        self.extents.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let mut rest = ReadCursor::new(offset, buf);
        while !rest.is_empty() {
            let at = GuestOffset(rest.offset());
            let extent = self.extent(at)?;
            let end = extent.end().min(GuestOffset(rest.end()));
            let part = rest.take(end.since(at)).ok_or_else(bad_run)?;
            let inside = extent.offset_of(at);
            match extent.content() {
                ExtentContent::Zero => part.fill(0),
                ExtentContent::Flat { source, offset } => source.read_at(offset.plus(inside.0).0, part)?,
                ExtentContent::Sparse(sparse) => {
                    self.read_sparse(sparse, inside, part).map_err(|error| extent.name_error(error))?;
                }
            }
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_extent_range(&range, self.size())?;
        let extent = self.extent(GuestOffset(range.start))?;
        let guest = GuestOffset(range.start)..extent.end().min(GuestOffset(range.end));
        match extent.content() {
            ExtentContent::Zero => Ok(Extent::new(guest.start.0..guest.end.0, ExtentKind::Zero)),
            ExtentContent::Flat { source, offset } => {
                let answer = source.extent_at(source_range(&extent.in_flat_file(*offset, &guest)))?;
                // A flat file has all of its bytes: no layer below shows through its holes.
                let kind = match answer.kind {
                    ExtentKind::Unallocated => ExtentKind::Zero,
                    kind => kind,
                };
                Ok(Extent { offset: range.start, kind, depth: 0, ..answer })
            }
            ExtentContent::Sparse(sparse) => {
                sparse_extent_at(sparse, extent, guest).map_err(|error| extent.name_error(error))
            }
        }
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        let guest = GuestOffset(range.start)..GuestOffset(range.end);
        match self.extent(guest.start) {
            Ok(extent) if guest.start <= guest.end && guest.end <= extent.end() => match extent.content() {
                ExtentContent::Flat { source, offset } => {
                    source.locate(source_range(&extent.in_flat_file(*offset, &guest)))
                }
                ExtentContent::Zero | ExtentContent::Sparse(_) => Location::default(),
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

fn sparse_extent_at<'a>(
    sparse: &'a SparseExtent,
    extent: &DescriptorExtent,
    guest: Range<GuestOffset>,
) -> Result<Extent<'a>> {
    let (start, end) = (extent.offset_of(guest.start), extent.offset_of(guest.end));
    let (content, len) = sparse.mapping(start, end)?.run(start, end)?;
    let kind = match content {
        GrainContent::Unallocated => ExtentKind::Unallocated,
        GrainContent::Zero => ExtentKind::Zero,
        GrainContent::Data(_) => ExtentKind::Data,
        GrainContent::Compressed => ExtentKind::Encoded,
    };
    let mut answer = Extent::new(guest.start.0..guest.start.plus(len).0, kind);
    if let GrainContent::Data(host) = content {
        answer.location = sparse.tables().source().locate(source_range(&span(host, len)));
    }
    Ok(answer)
}

impl Vmdk {
    /// The extent that contains `offset`.
    fn extent(&self, offset: GuestOffset) -> Result<&DescriptorExtent> {
        self.extents.at(offset).ok_or_else(bad_run)
    }

    /// Fills `buf` with the bytes at `guest` of a sparse extent.
    fn read_sparse(&self, sparse: &SparseExtent, guest: ExtentOffset, buf: &mut [u8]) -> Result<()> {
        let mut rest = ReadCursor::new(guest.0, buf);
        while !rest.is_empty() {
            let at = ExtentOffset(rest.offset());
            let mapping = sparse.mapping(at, ExtentOffset(rest.end()))?;
            let part = rest.take(mapping.end().since(at)).ok_or_else(bad_run)?;
            self.read_mapped(sparse, &mapping, at, part)?;
        }
        Ok(())
    }

    /// Fills `buf` with the bytes at `guest`, all of which `mapping` maps.
    fn read_mapped(
        &self,
        sparse: &SparseExtent,
        mapping: &Mapping<'_>,
        guest: ExtentOffset,
        buf: &mut [u8],
    ) -> Result<()> {
        let mut rest = ReadCursor::new(guest.0, buf);
        while !rest.is_empty() {
            let at = ExtentOffset(rest.offset());
            let (content, len) = mapping.run(at, ExtentOffset(rest.end()))?;
            let run = rest.take(len).ok_or_else(bad_run)?;
            match content {
                GrainContent::Unallocated | GrainContent::Zero => run.fill(0),
                GrainContent::Data(host) => sparse.tables().source().read_at(host.0, run)?,
                GrainContent::Compressed => {
                    self.compressed_grains.read(
                        &CompressedGrains { sparse, mapping },
                        GuestOffset(at.0),
                        run,
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// The compressed grains of a mapping. The offsets that [`UnitMap`] calls guest offsets are those of the extent.
struct CompressedGrains<'a> {
    sparse: &'a SparseExtent,
    mapping: &'a Mapping<'a>,
}

impl UnitMap for CompressedGrains<'_> {
    type Codec = GrainCodec;

    fn new_codec(&self) -> GrainCodec {
        GrainCodec::default()
    }

    fn unit_size(&self) -> u64 {
        self.sparse.geometry().grain_bytes()
    }

    fn source(&self) -> &dyn BlockSource {
        self.sparse.tables().source()
    }

    /// The marker, which is not read here, has the compressed length. Assumes that a grain ends where the next
    /// one begins, and that it did not grow; the codec reads the rest of the others.
    fn unit(&self, guest: GuestOffset) -> Result<CompressedUnit> {
        let grain_bytes = self.unit_size();
        let start = self.mapping.compressed(ExtentOffset(guest.0))?;
        let max = start.plus(grain_bytes).plus(SECTOR);
        let next = self.mapping.compressed(ExtentOffset(guest.plus(grain_bytes).0)).ok();
        let end = next.filter(|next| *next > start).map_or(max, |next| next.min(max));
        Ok(CompressedUnit { host: start.0..end.0.min(self.sparse.tables().file_size()), truncated: false })
    }

    fn decode(
        &self,
        codec: &mut GrainCodec,
        unit: &CompressedUnit,
        start: GuestOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        codec.decode(self.sparse, HostOffset(unit.host.start), ExtentOffset(start.0), input, output)
    }

    /// The offset in the disk, because the extents of an image share one cache.
    fn cache_key(&self, start: GuestOffset) -> GuestOffset {
        self.sparse.in_disk(ExtentOffset(start.0))
    }
}

/// The error for a run that is empty or longer than the rest of the read buffer.
fn bad_run() -> Error {
    internal("read").because("lengths do not add up")
}
