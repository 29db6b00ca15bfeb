//! Reading guest bytes: contiguous data in one go, compressed grains in batches.

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::{
    BlockSource, Error, ErrorKind, Extent, ExtentKind, Image, ImageInfo, Location, ReadCursor, Result,
    check_range,
};

use crate::decoder::{Decoder, compressed_len, inflate};
use crate::errors::FORMAT;
use crate::extents::{Content, Part};
use crate::lookup::{Mapping, SparseExtent, Stored};
use crate::marker::GRAIN_HEADER;
use crate::open::Vmdk;

/// The most compressed bytes that are read in one go, unless a single grain is longer. A bound of ours: one
/// large read costs a disk little more than a small one, and each thread holds one such buffer.
const BATCH_BYTES: u64 = 1 << 20;

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
                    self.decoders.with(|decoder| self.read_compressed(decoder, extent, mapping, at, now))?;
                }
            }
        }
        Ok(())
    }

    /// Fills `buf` from compressed grains. Whole grains are decoded where they are wanted; of the others the
    /// decoded bytes are kept, for the next read is likely to want the rest.
    fn read_compressed(
        &self,
        decoder: &mut Decoder,
        extent: &SparseExtent,
        mapping: &Mapping<'_>,
        guest: u64,
        buf: &mut [u8],
    ) -> Result<()> {
        let grain = extent.grain_bytes.max(1);
        let mut rest = ReadCursor::new(guest, buf);
        while !rest.is_empty() {
            let at = rest.offset();
            let from = extent.in_grain(at);
            let whole = if from == 0 { rest.len() / grain } else { 0 };
            let len = if whole > 0 {
                whole.saturating_mul(grain)
            } else {
                grain.saturating_sub(from).min(rest.len())
            };
            let now = rest.take(len).ok_or_else(internal)?;
            if whole > 0 {
                read_whole(decoder, extent, mapping, at, now)?;
            } else {
                self.read_part(decoder, extent, mapping, at, now)?;
            }
        }
        Ok(())
    }

    /// Fills `buf` with a part of one grain: of the last one too, which writers fill up or cut.
    fn read_part(
        &self,
        decoder: &mut Decoder,
        extent: &SparseExtent,
        mapping: &Mapping<'_>,
        guest: u64,
        buf: &mut [u8],
    ) -> Result<()> {
        let from = extent.in_grain(guest);
        let start = guest.saturating_sub(from);
        let key = extent.of_disk(start);
        let grain = match self.recent.grain(key) {
            Some(grain) => grain,
            None => {
                let host = mapping.compressed(guest)?;
                let end = host.saturating_add(most_read(extent)).min(extent.tables.file_size());
                let mut bytes = vec![0; usize::try_from(extent.grain_bytes).unwrap_or_default()];
                let needed = usize::try_from(extent.grain_len(start)).unwrap_or(usize::MAX);
                let Decoder { input, single, inflater } = decoder;
                let input = host_bytes(extent, &(host..end), input)?;
                let input = grain_input(extent, host, start, input, single)?;
                inflate(inflater, (host, key), input, &mut bytes, needed)?;
                let grain = Arc::new(bytes);
                self.recent.keep(key, Arc::clone(&grain));
                grain
            }
        };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let part = grain.get(from..).and_then(|bytes| bytes.get(..buf.len())).ok_or_else(internal)?;
        buf.copy_from_slice(part);
        Ok(())
    }
}

/// Bytes that are read for a single grain: what one takes that did not shrink. One that grew is read again.
fn most_read(extent: &SparseExtent) -> u64 {
    extent.grain_bytes.saturating_add(512)
}

/// Fills `buf`, a whole number of grains, decoding straight into it.
fn read_whole(
    decoder: &mut Decoder,
    extent: &SparseExtent,
    mapping: &Mapping<'_>,
    guest: u64,
    buf: &mut [u8],
) -> Result<()> {
    let size = usize::try_from(extent.grain_bytes).unwrap_or(usize::MAX);
    let mut rest = ReadCursor::new(guest, buf);
    while !rest.is_empty() {
        let mut at = rest.offset();
        let (host, grains) = gather(extent, mapping, at, rest.end())?;
        let now = rest.take(grains.saturating_mul(extent.grain_bytes)).ok_or_else(internal)?;
        let Decoder { input, single, inflater } = &mut *decoder;
        let input = host_bytes(extent, &host, input)?;
        for output in now.chunks_mut(size) {
            let place = mapping.compressed(at)?;
            let from = usize::try_from(place.saturating_sub(host.start)).unwrap_or(usize::MAX);
            let window = input.get(from..).ok_or_else(internal)?;
            let bytes = grain_input(extent, place, at, window, single)?;
            inflate(inflater, (place, extent.of_disk(at)), bytes, output, size)?;
            at = at.saturating_add(extent.grain_bytes);
        }
    }
    Ok(())
}

/// The host bytes to read in one go for the compressed grains from `guest` on, up to `end`, and how many
/// grains that is: at least one, as long as they lie in their order.
///
/// How long a grain is stands in its marker, which is not read here: a grain ends where the next one begins.
fn gather(extent: &SparseExtent, mapping: &Mapping<'_>, guest: u64, end: u64) -> Result<(Range<u64>, u64)> {
    let first = mapping.compressed(guest)?;
    let (mut last, mut grains) = (first, 1_u64);
    let mut at = guest.saturating_add(extent.grain_bytes);
    let next = loop {
        let next = mapping.compressed(at).ok().filter(|next| *next > last);
        match next {
            Some(host) if at < end && host.saturating_sub(first) < BATCH_BYTES => last = host,
            _ => break next,
        }
        grains = grains.saturating_add(1);
        at = at.saturating_add(extent.grain_bytes);
    };
    let most = last.saturating_add(most_read(extent));
    let end = next.map_or(most, |next| next.min(most)).min(extent.tables.file_size());
    Ok((first..end, grains))
}

/// The compressed bytes of the grain at `host`. `window` begins with its marker and holds as much of the file
/// as was read; what is missing is read into `single`.
fn grain_input<'a>(
    extent: &SparseExtent,
    host: u64,
    guest: u64,
    window: &'a [u8],
    single: &'a mut Vec<u8>,
) -> Result<&'a [u8]> {
    let len = usize::try_from(compressed_len(extent, host, guest, window)?).unwrap_or(usize::MAX);
    let data = window.get(GRAIN_HEADER..).unwrap_or_default();
    if let Some(bytes) = data.get(..len) {
        return Ok(bytes);
    }
    single.resize(len, 0);
    extent.tables.source.read_at(host.saturating_add(GRAIN_HEADER as u64), single)?;
    Ok(single)
}

/// The bytes `host` of the extent's file: in place where they are in memory, otherwise read into `buf`.
fn host_bytes<'a>(extent: &'a SparseExtent, host: &Range<u64>, buf: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    let source = &extent.tables.source;
    if let Some(bytes) = source.locate(host.clone()).bytes {
        return Ok(bytes);
    }
    let len = usize::try_from(host.end.saturating_sub(host.start)).unwrap_or(usize::MAX);
    if buf.len() < len {
        buf.resize(len, 0);
    }
    let bytes = buf.get_mut(..len).ok_or_else(internal)?;
    source.read_at(host.start, bytes)?;
    Ok(bytes)
}

/// A rule of this crate was broken, not one of the format.
fn internal() -> Error {
    Error::new(ErrorKind::Internal).format(FORMAT).because("lengths do not add up")
}
