//! Reading guest bytes: contiguous data in one go, compressed clusters in batches.

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::{
    BlockSource, Error, ErrorKind, Extent, ExtentKind, Image, ImageInfo, ReadCursor, Result, check_range,
};

use crate::addr::{GuestOffset, HostOffset};
use crate::decoder::{Codec, Decoder};
use crate::errors::FORMAT;
use crate::lookup::{Compressed, Mapping, Stored};
use crate::open::Qcow2;

/// The most compressed bytes that are read in one go, unless a single cluster is longer. A bound of ours:
/// one large read costs a disk little more than a small one, and each thread holds one such buffer.
const BATCH_BYTES: u64 = 1 << 20;
/// The most bytes between two compressed clusters that are read along with them. A bound of ours.
const GAP_BYTES: u64 = 16_384;

impl BlockSource for Qcow2 {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let mut rest = ReadCursor::new(offset, buf);
        while !rest.is_empty() {
            let at = GuestOffset(rest.offset());
            let mapping = self.lookup.mapping(at, rest.end())?;
            let now = rest.take(mapping.end().saturating_sub(at.0)).ok_or_else(internal)?;
            self.read_mapped(&mapping, at, now)?;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_range(range.start, range.end.saturating_sub(range.start).max(1), self.size)?;
        let guest = GuestOffset(range.start);
        let mapping = self.lookup.mapping(guest, range.end)?;
        let (stored, len) = mapping.run(guest, range.end)?;
        let range = range.start..range.start.saturating_add(len);
        let locate = |host: HostOffset| self.data.locate(host.0..host.plus(len).0);
        let room = |host: HostOffset| locate(host).host.map_or(host.0, |host| host.offset);
        Ok(match stored {
            Stored::Unallocated(place) => {
                Extent { reserved: place.map(room), ..Extent::new(range, ExtentKind::Unallocated) }
            }
            Stored::Zero(place) => {
                Extent { reserved: place.map(room), ..Extent::new(range, ExtentKind::Zero) }
            }
            Stored::Data(host) => Extent { location: locate(host), ..Extent::new(range, ExtentKind::Data) },
            Stored::Compressed => Extent::new(range, ExtentKind::Encoded),
        })
    }

    fn decode_unit(&self) -> u64 {
        self.lookup.rules.geometry.cluster_size()
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
            let (stored, len) = mapping.run(at, rest.end())?;
            let now = rest.take(len).ok_or_else(internal)?;
            match stored {
                Stored::Unallocated(_) | Stored::Zero(_) => now.fill(0),
                Stored::Data(host) => self.data.read_at(host.0, now)?,
                Stored::Compressed => {
                    self.decoders.with(|decoder| self.read_compressed(decoder, mapping, at, now))?;
                }
            }
        }
        Ok(())
    }

    /// Fills `buf` from compressed clusters. Whole clusters are decoded where they are wanted; of the others
    /// the decoded bytes are kept, for the next read is likely to want the rest.
    fn read_compressed(
        &self,
        decoder: &mut Decoder,
        mapping: &Mapping<'_>,
        guest: GuestOffset,
        buf: &mut [u8],
    ) -> Result<()> {
        let geometry = self.lookup.rules.geometry;
        let cluster_size = geometry.cluster_size();
        let mut rest = ReadCursor::new(guest.0, buf);
        while !rest.is_empty() {
            let at = GuestOffset(rest.offset());
            let from = geometry.in_cluster(at.0);
            let whole = if from == 0 { rest.len() / cluster_size } else { 0 };
            let len = if whole > 0 {
                whole.saturating_mul(cluster_size)
            } else {
                cluster_size.saturating_sub(from).min(rest.len())
            };
            let now = rest.take(len).ok_or_else(internal)?;
            if whole > 0 {
                self.read_whole(decoder, mapping, at, now)?;
            } else {
                self.read_part(decoder, mapping, at, now)?;
            }
        }
        Ok(())
    }

    /// Fills `buf`, a whole number of clusters, decoding straight into it.
    fn read_whole(
        &self,
        decoder: &mut Decoder,
        mapping: &Mapping<'_>,
        guest: GuestOffset,
        buf: &mut [u8],
    ) -> Result<()> {
        let cluster_size = self.lookup.rules.geometry.cluster_size();
        let mut rest = ReadCursor::new(guest.0, buf);
        while !rest.is_empty() {
            let mut at = GuestOffset(rest.offset());
            let host = gather(mapping, at, rest.end(), cluster_size, &mut decoder.batch)?;
            let len = (decoder.batch.len() as u64).saturating_mul(cluster_size);
            let now = rest.take(len).ok_or_else(internal)?;
            let Decoder { batch, input, codec } = decoder;
            let input = self.host_bytes(&host, input)?;
            let size = usize::try_from(cluster_size).unwrap_or(usize::MAX);
            for (cluster, output) in batch.iter().zip(now.chunks_mut(size)) {
                decode(codec, cluster, at, (&host, input), output)?;
                at = GuestOffset(at.0.saturating_add(cluster_size));
            }
        }
        Ok(())
    }

    /// Fills `buf` with a part of one cluster.
    fn read_part(
        &self,
        decoder: &mut Decoder,
        mapping: &Mapping<'_>,
        guest: GuestOffset,
        buf: &mut [u8],
    ) -> Result<()> {
        let geometry = self.lookup.rules.geometry;
        let start = geometry.cluster_start(guest);
        let cluster = match self.recent.cluster(start) {
            Some(cluster) => cluster,
            None => {
                let compressed = mapping.compressed(guest)?;
                let mut bytes = vec![0; usize::try_from(geometry.cluster_size()).unwrap_or_default()];
                let Decoder { input, codec, .. } = decoder;
                let host = compressed.host.clone();
                let input = self.host_bytes(&host, input)?;
                decode(codec, &compressed, start, (&host, input), &mut bytes)?;
                let cluster = Arc::new(bytes);
                self.recent.keep(start, Arc::clone(&cluster));
                cluster
            }
        };
        let from = usize::try_from(geometry.in_cluster(guest.0)).unwrap_or(usize::MAX);
        let part = cluster.get(from..).and_then(|bytes| bytes.get(..buf.len())).ok_or_else(internal)?;
        buf.copy_from_slice(part);
        Ok(())
    }

    /// The bytes `host` of the image file: in place where they are in memory, otherwise read into `buf`.
    fn host_bytes<'a>(&'a self, host: &Range<u64>, buf: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        if let Some(bytes) = self.source.locate(host.clone()).bytes {
            return Ok(bytes);
        }
        let len = usize::try_from(host.end.saturating_sub(host.start)).unwrap_or(usize::MAX);
        if buf.len() < len {
            buf.resize(len, 0);
        }
        let bytes = buf.get_mut(..len).ok_or_else(internal)?;
        self.source.read_at(host.start, bytes)?;
        Ok(bytes)
    }
}

/// Collects the compressed clusters from `guest` on, up to `end`, whose bytes are worth reading in one go,
/// at least one; returns the host bytes to read.
fn gather(
    mapping: &Mapping<'_>,
    guest: GuestOffset,
    end: u64,
    cluster_size: u64,
    batch: &mut Vec<Compressed>,
) -> Result<Range<u64>> {
    let first = mapping.compressed(guest)?;
    let mut host = first.host.clone();
    batch.clear();
    batch.push(first);
    let mut at = guest.0.saturating_add(cluster_size);
    while at < end {
        let next = mapping.compressed(GuestOffset(at))?;
        let behind = next.host.start >= host.start
            && next.host.start <= host.end.saturating_add(GAP_BYTES)
            && next.host.end.saturating_sub(host.start) <= BATCH_BYTES;
        if !behind {
            break;
        }
        host.end = host.end.max(next.host.end);
        batch.push(next);
        at = at.saturating_add(cluster_size);
    }
    Ok(host)
}

/// Decodes a cluster whose bytes are part of `read`: a host range and its bytes.
fn decode(
    codec: &mut Codec,
    cluster: &Compressed,
    guest: GuestOffset,
    read: (&Range<u64>, &[u8]),
    output: &mut [u8],
) -> Result<()> {
    let (host, bytes) = read;
    let from = usize::try_from(cluster.host.start.saturating_sub(host.start)).unwrap_or(usize::MAX);
    let to = usize::try_from(cluster.host.end.saturating_sub(host.start)).unwrap_or(usize::MAX);
    let input = bytes.get(from..to).ok_or_else(internal)?;
    codec.decode(cluster, guest, input, output)
}

/// A rule of this crate was broken, not one of the format.
fn internal() -> Error {
    Error::new(ErrorKind::InvalidInput).format(FORMAT).because("internal error: lengths do not add up")
}
