//! Compresses one cluster at a time.

use diskimg_codec::cluster::{Deflater, ZstdEncoder};
use diskimg_core::Result;

use crate::header::Compression;

/// A compressor, reused for all clusters of a worker.
pub(super) enum ClusterEncoder {
    Deflate(Deflater),
    Zstd(ZstdEncoder),
}

impl ClusterEncoder {
    /// A compressor of this method and level.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InvalidInput`] for a level that the method does not have.
    pub(super) fn new(method: Compression, level: Option<i32>) -> Result<Self> {
        Ok(match method {
            Compression::Deflate => Self::Deflate(Deflater::new(level)?),
            Compression::Zstd => Self::Zstd(ZstdEncoder::new(level)?),
        })
    }

    /// Compresses a cluster to the start of `output` and returns the length; `None` if it does not fit.
    pub(super) fn encode(&mut self, cluster: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        match self {
            Self::Deflate(encoder) => encoder.raw_deflate(cluster, output),
            Self::Zstd(encoder) => encoder.encode(cluster, output),
        }
    }
}
