//! Compresses one cluster at a time.

use diskimg_codec::cluster::{Deflater, ZstdEncoder};
use diskimg_core::Result;

use crate::header::Compression;

/// A compressor of either kind, kept from cluster to cluster.
pub(super) enum Encoder {
    Deflate(Deflater),
    Zstd(ZstdEncoder),
}

impl Encoder {
    pub(super) fn new(kind: Compression, level: Option<i32>) -> Result<Self> {
        Ok(match kind {
            Compression::Deflate => Self::Deflate(Deflater::new(level)?),
            Compression::Zstd => Self::Zstd(ZstdEncoder::new(level)?),
        })
    }

    /// Compresses a cluster into the beginning of `output` and returns the length; `None` when it does not
    /// fit.
    pub(super) fn encode(&mut self, cluster: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        match self {
            Self::Deflate(encoder) => encoder.raw_deflate(cluster, output),
            Self::Zstd(encoder) => encoder.encode(cluster, output),
        }
    }
}
