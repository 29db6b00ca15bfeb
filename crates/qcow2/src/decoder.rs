//! Decoders of compressed clusters, and the clusters decoded last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_codec::cluster::{Inflater, ZstdDecoder};
use diskimg_core::{Error, ErrorKind, Result};

use crate::addr::GuestOffset;
use crate::errors::FORMAT;
use crate::header::Compression;
use crate::lookup::Compressed;

/// Decoders kept for the next read. A bound of ours: as many threads as a large machine runs at once.
const KEPT: usize = 64;
/// Bytes of decoded clusters that are kept. A bound of ours: 64 readers in turn, each inside a cluster of
/// 64 KiB, decode none of them twice.
const RECENT_BYTES: u64 = 4 << 20;
/// The most and the fewest clusters that are kept, whatever their size.
const RECENT: (u64, u64) = (2, 64);

/// What one thread needs to read compressed clusters; used for one call, then given to the next.
pub(crate) struct Decoder {
    /// The clusters that are read in one go.
    pub(crate) batch: Vec<Compressed>,
    /// Their compressed bytes.
    pub(crate) input: Vec<u8>,
    pub(crate) codec: Codec,
}

/// The codecs of a [`Decoder`], apart from its buffers.
pub(crate) struct Codec {
    method: Compression,
    inflater: Inflater,
    zstd: Option<ZstdDecoder>,
}

impl Codec {
    /// Decodes one whole cluster.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it cannot be; [`ErrorKind::Truncated`] when the file's end cut it.
    pub(crate) fn decode(
        &mut self,
        cluster: &Compressed,
        guest: GuestOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        let done = match self.method {
            Compression::Deflate => self.inflater.raw_deflate(input, output),
            Compression::Zstd => self.zstd().and_then(|zstd| zstd.decode(input, output)),
        };
        done.map_err(|error| {
            let cut = cluster.cut && error.kind() == ErrorKind::Corrupt;
            let error = if cut { error.with_kind(ErrorKind::Truncated) } else { error };
            in_cluster(error, cluster, guest)
        })
    }

    fn zstd(&mut self) -> Result<&mut ZstdDecoder> {
        match &mut self.zstd {
            Some(zstd) => Ok(zstd),
            none => Ok(none.insert(ZstdDecoder::new()?)),
        }
    }
}

fn in_cluster(error: Error, cluster: &Compressed, guest: GuestOffset) -> Error {
    error.format(FORMAT).field("compressed cluster").at(cluster.host.start).guest(guest.0)
}

/// Decoders that no thread uses now. The lock is held to take and to give back, never while decoding.
pub(crate) struct Decoders {
    method: Compression,
    idle: Mutex<Vec<Decoder>>,
}

impl Decoders {
    pub(crate) const fn new(method: Compression) -> Self {
        Self { method, idle: Mutex::new(Vec::new()) }
    }

    /// Lends a decoder to `work`.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Decoder) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = idle.unwrap_or_else(|| Decoder {
            batch: Vec::new(),
            input: Vec::new(),
            codec: Codec { method: self.method, inflater: Inflater::new(), zstd: None },
        });
        let result = work(&mut decoder);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(decoder);
        }
        result
    }
}

/// The clusters that were decoded last for reads of less than a cluster, the latest at the end.
pub(crate) struct Recent {
    clusters: Mutex<VecDeque<(u64, Arc<Vec<u8>>)>>,
    most: usize,
}

impl Recent {
    pub(crate) fn new(cluster_size: u64) -> Self {
        let most = (RECENT_BYTES / cluster_size.max(1)).clamp(RECENT.0, RECENT.1);
        Self { clusters: Mutex::default(), most: usize::try_from(most).unwrap_or(1) }
    }

    /// The decoded cluster of guest offset `key`.
    pub(crate) fn cluster(&self, key: GuestOffset) -> Option<Arc<Vec<u8>>> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let index = clusters.iter().rposition(|(at, _)| *at == key.0)?;
        let found = clusters.remove(index)?;
        let cluster = Arc::clone(&found.1);
        clusters.push_back(found);
        Some(cluster)
    }

    /// Keeps a decoded cluster, unless another thread was faster.
    pub(crate) fn keep(&self, key: GuestOffset, cluster: Arc<Vec<u8>>) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if clusters.iter().any(|(at, _)| *at == key.0) {
            return;
        }
        if clusters.len() >= self.most {
            clusters.pop_front();
        }
        clusters.push_back((key.0, cluster));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_unused_for_longest_goes_first() {
        let recent = Recent::new(2 << 20);
        for key in [1, 2] {
            recent.keep(GuestOffset(key), Arc::new(vec![0; 4]));
        }
        assert!(recent.cluster(GuestOffset(1)).is_some());
        recent.keep(GuestOffset(3), Arc::new(vec![0; 4]));
        let kept = [1, 2, 3].map(|key| recent.cluster(GuestOffset(key)).is_some());
        assert_eq!(kept, [true, false, true]);
    }
}
