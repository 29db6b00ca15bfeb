//! Decompression of one cluster.

use diskimg_codec::cluster::{Inflater, ZstdDecoder};
use diskimg_codec::units::CompressedUnit;
use diskimg_core::{ErrorKind, GuestOffset, Result};

use crate::errors::FORMAT;
use crate::header::Compression;

/// Decompresses clusters by the method of their image. One per thread.
pub(crate) struct ClusterCodec {
    method: Compression,
    inflater: Inflater,
    /// Created when first needed.
    zstd: Option<ZstdDecoder>,
}

impl ClusterCodec {
    pub(crate) fn new(method: Compression) -> Self {
        Self { method, inflater: Inflater::new(), zstd: None }
    }

    /// Decompresses the whole cluster at `guest` from its bytes `input`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if `input` does not decompress to a cluster; [`ErrorKind::Truncated`] if the file
    /// ends inside the cluster; [`ErrorKind::Limit`] and [`ErrorKind::Unsupported`] as [`ZstdDecoder::decode`].
    pub(crate) fn decode(
        &mut self,
        cluster: &CompressedUnit,
        guest: GuestOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        let decoded = match self.method {
            Compression::Deflate => self.inflater.raw_deflate(input, output),
            Compression::Zstd => self.zstd().and_then(|zstd| zstd.decode(input, output)),
        };
        decoded.map_err(|error| {
            let ends_early = cluster.truncated && error.kind() == ErrorKind::Corrupt;
            let error = if ends_early { error.with_kind(ErrorKind::Truncated) } else { error };
            error.format(FORMAT).field("compressed cluster").at(cluster.host.start).guest(guest.0)
        })
    }

    fn zstd(&mut self) -> Result<&mut ZstdDecoder> {
        match &mut self.zstd {
            Some(zstd) => Ok(zstd),
            none => Ok(none.insert(ZstdDecoder::new()?)),
        }
    }
}
