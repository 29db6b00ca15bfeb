//! Compressing one VMDK grain: RFC 1950, a window of 32 KiB.

use diskimg_core::{Error, ErrorKind, Result};

/// zlib's own default.
const DEFAULT_LEVEL: i32 = 6;

/// Compresses grains: zlib streams (RFC 1950) with an Adler-32, as every writer of VMDK makes them.
///
/// The bytes depend on the input, the level and on whether libdeflate is built in. Keeps its state between
/// calls: one per thread.
pub struct ZlibEncoder {
    stream: backend::Stream,
}

impl ZlibEncoder {
    /// An encoder of this level, 1 (fast) to 9 (small); `None` is 6.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for any other level.
    pub fn new(level: Option<i32>) -> Result<Self> {
        let level = level.unwrap_or(DEFAULT_LEVEL);
        let stream = (1..=9).contains(&level).then(|| backend::Stream::new(level)).flatten();
        let stream = stream.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput)
                .field("compression level")
                .found(level)
                .expected("1 to 9 for deflate")
        })?;
        Ok(Self { stream })
    }

    /// Writes `input` as one zlib stream to the start of `output` and returns its length; `None` when it does
    /// not fit, and `output` then holds nothing to rely on.
    ///
    /// A grain that does not compress grows by some bytes: [`ZlibEncoder::most`] always suffices.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the library gives up, for want of memory.
    pub fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        self.stream.encode(input, output)
    }

    /// Bytes that no stream of `len` bytes of input goes past.
    #[must_use]
    pub const fn most(len: usize) -> usize {
        // The fastest level of zlib-rs writes 9 bits for a byte where it finds nothing better, and does not go
        // back to stored blocks; libdeflate does, at 5 bytes for 5000. Header and checksum have 6.
        len.saturating_add(len / 8).saturating_add(64)
    }
}

impl std::fmt::Debug for ZlibEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZlibEncoder").finish_non_exhaustive()
    }
}

#[cfg(feature = "libdeflate")]
mod backend {
    use diskimg_core::Result;
    use libdeflater::{CompressionLvl, Compressor};

    pub(super) struct Stream(Compressor);

    impl Stream {
        pub(super) fn new(level: i32) -> Option<Self> {
            CompressionLvl::new(level).ok().map(|level| Self(Compressor::new(level)))
        }

        /// The library's only failure is an output that is too small.
        pub(super) fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
            Ok(self.0.zlib_compress(input, output).ok())
        }
    }
}

#[cfg(not(feature = "libdeflate"))]
mod backend {
    use diskimg_core::{Error, ErrorKind, Result};
    use flate2::{Compress, Compression, FlushCompress, Status};

    pub(super) struct Stream(Compression);

    impl Stream {
        pub(super) fn new(level: i32) -> Option<Self> {
            u32::try_from(level).ok().map(|level| Self(Compression::new(level)))
        }

        /// A new stream for each grain: one that found no room cannot be used again (zlib-rs 0.6.8), and an
        /// output that is just full would have to be asked about twice.
        pub(super) fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
            let mut stream = Compress::new(self.0, true);
            let status = stream
                .compress(input, output, FlushCompress::Finish)
                .map_err(|error| Error::new(ErrorKind::Limit).because("deflate gave up").source(error))?;
            let len = usize::try_from(stream.total_out()).ok();
            Ok(len.filter(|_| status == Status::StreamEnd))
        }
    }
}
