//! Decoders of compressed grains, and the grains decoded last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_codec::cluster::Inflater;
use diskimg_core::{Error, ErrorKind, Result};

use crate::errors::{FORMAT, corrupt, truncated};
use crate::lookup::SparseExtent;
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH, Marker, most_compressed};
use crate::sparse_header::SECTOR;

/// Decoders kept for the next read. A bound of ours: as many threads as a large machine runs at once.
const KEPT: usize = 64;
/// Bytes of decoded grains that are kept. A bound of ours: 64 readers in turn, each inside a grain of 64 KiB,
/// decode none of them twice.
const RECENT_BYTES: usize = 4 << 20;
/// The most grains that are kept, whatever their size.
const RECENT: usize = 64;

/// What one thread needs to read compressed grains; used for one call, then given to the next.
#[derive(Default)]
pub(crate) struct Decoder {
    /// The compressed bytes of several grains.
    pub(crate) input: Vec<u8>,
    /// Those of one that does not lie among its neighbours.
    pub(crate) single: Vec<u8>,
    pub(crate) inflater: Inflater,
}

/// The bytes behind the marker of the grain at `host`, which belongs to guest offset `guest` of the extent:
/// how many they are, by the first bytes of the marker.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when the marker is not that of this grain; [`ErrorKind::Truncated`] when the file
/// ends before the grain does.
pub(crate) fn compressed_len(extent: &SparseExtent, host: u64, guest: u64, head: &[u8]) -> Result<u64> {
    let mut marker = [0; MARKER_LENGTH];
    for (to, from) in marker.iter_mut().zip(head) {
        *to = *from;
    }
    let of_disk = extent.of_disk(guest);
    let (lba, bytes) = match Marker::parse(&marker, host).map_err(|error| error.guest(of_disk))? {
        Marker::Grain { lba, bytes } => (lba, u64::from(bytes)),
        other => {
            return Err(corrupt("marker")
                .at(host)
                .guest(of_disk)
                .found(format_args!("{other:?}"))
                .expected("a compressed grain"));
        }
    };
    if lba.checked_mul(SECTOR) != Some(guest) {
        return Err(corrupt("first sector of a compressed grain")
            .at(host)
            .guest(of_disk)
            .found(lba)
            .expected(format_args!("{}, by the grain table", guest / SECTOR)));
    }
    let most = most_compressed(extent.grain_bytes);
    if bytes > most {
        return Err(corrupt("size of a compressed grain")
            .at(host.saturating_add(8))
            .guest(of_disk)
            .found(bytes)
            .expected(format_args!("at most {most} for a grain of {} bytes", extent.grain_bytes)));
    }
    let size = extent.tables.file_size();
    let end = host.saturating_add(GRAIN_HEADER as u64).saturating_add(bytes);
    if end > size {
        return Err(truncated("compressed grain")
            .at(host)
            .guest(of_disk)
            .because(format_args!("it ends at byte {end}, and the file at byte {size}")));
    }
    Ok(bytes)
}

/// Inflates the grain at `host` into `output`, of which `needed` bytes belong to the disk.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when `input` is no zlib stream, or holds fewer bytes than the disk needs or more
/// than `output` takes.
pub(crate) fn inflate(
    inflater: &mut Inflater,
    (host, of_disk): (u64, u64),
    input: &[u8],
    output: &mut [u8],
    needed: usize,
) -> Result<()> {
    let place = |error: Error| error.format(FORMAT).field("compressed grain").at(host).guest(of_disk);
    let len = inflater.zlib(input, output).map_err(place)?;
    if len >= needed {
        return Ok(());
    }
    Err(place(
        Error::new(ErrorKind::Corrupt)
            .because(format_args!("the zlib stream ends after {len} of {needed} bytes of output")),
    ))
}

/// Decoders that no thread uses now. The lock is held to take and to give back, never while decoding.
#[derive(Default)]
pub(crate) struct Decoders(Mutex<Vec<Decoder>>);

impl Decoders {
    /// Lends a decoder to `work`.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Decoder) -> Result<T>) -> Result<T> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = idle.unwrap_or_default();
        let result = work(&mut decoder);
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(decoder);
        }
        result
    }
}

/// The grains that were decoded last for reads of less than a grain, by their offsets in the disk, the latest
/// at the end.
#[derive(Default)]
pub(crate) struct Recent(Mutex<VecDeque<(u64, Arc<Vec<u8>>)>>);

impl Recent {
    /// The decoded grain that begins at `key`.
    pub(crate) fn grain(&self, key: u64) -> Option<Arc<Vec<u8>>> {
        let mut grains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = grains.iter().rposition(|(at, _)| *at == key)?;
        let found = grains.remove(index)?;
        let grain = Arc::clone(&found.1);
        grains.push_back(found);
        Some(grain)
    }

    /// Keeps a decoded grain, unless another thread was faster.
    pub(crate) fn keep(&self, key: u64, grain: Arc<Vec<u8>>) {
        let most = (RECENT_BYTES / grain.len().max(1)).clamp(2, RECENT);
        let mut grains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if grains.iter().any(|(at, _)| *at == key) {
            return;
        }
        while grains.len() >= most {
            grains.pop_front();
        }
        grains.push_back((key, grain));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grain_unused_for_longest_goes_first() {
        let recent = Recent::default();
        let grain = || Arc::new(vec![0; 2 << 20]);
        for key in [1, 2] {
            recent.keep(key, grain());
        }
        assert!(recent.grain(1).is_some());
        recent.keep(3, grain());
        let kept = [1, 2, 3].map(|key| recent.grain(key).is_some());
        assert_eq!(kept, [true, false, true]);
    }
}
