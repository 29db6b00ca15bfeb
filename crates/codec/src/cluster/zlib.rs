//! zlib compression of VMDK grains: RFC 1950 with a window of 32 KiB.

use diskimg_core::{Error, ErrorKind, Result};

/// The default of zlib.
const DEFAULT_LEVEL: i32 = 6;

/// Compresses VMDK grains to zlib streams (RFC 1950) with an Adler-32. Create one per thread.
///
/// The output depends on the input, the level and the feature `libdeflate`.
pub struct ZlibEncoder {
    stream: backend::ZlibBackend,
}

impl ZlibEncoder {
    /// Creates an encoder of this level, 1 (fast) to 9 (small); `None` is 6.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for any other level.
    pub fn new(level: Option<i32>) -> Result<Self> {
        let level = level.unwrap_or(DEFAULT_LEVEL);
        let stream = (1..=9).contains(&level).then(|| backend::ZlibBackend::new(level)).flatten();
        let stream = stream.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput)
                .field("compression level")
                .found(level)
                .expected("1 to 9 for deflate")
        })?;
        Ok(Self { stream })
    }

    /// Writes `input` as one zlib stream to the start of `output` and returns its length; `None` if it does not
    /// fit, and the content of `output` is then undefined.
    ///
    /// A grain that does not compress grows by some bytes; [`ZlibEncoder::max_len`] bytes always suffice.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the library fails for lack of memory.
    pub fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        self.stream.encode(input, output)
    }

    /// The most bytes of a stream of `len` bytes of input; `usize::MAX` if there is no such number.
    #[must_use]
    pub const fn max_len(len: usize) -> usize {
        // Without matches the fastest level of zlib-rs writes 9 bits per byte and never uses stored blocks;
        // libdeflate uses them, with 5 bytes per 5000. Header and checksum are 6 bytes.
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

    pub(super) struct ZlibBackend(Compressor);

    impl ZlibBackend {
        pub(super) fn new(level: i32) -> Option<Self> {
            CompressionLvl::new(level).ok().map(|level| Self(Compressor::new(level)))
        }

        /// libdeflate fails only if the output is too small.
        pub(super) fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
            Ok(self.0.zlib_compress(input, output).ok())
        }
    }
}

#[cfg(not(feature = "libdeflate"))]
mod backend {
    use diskimg_core::{Error, ErrorKind, Result};
    use flate2::{Compress, Compression, FlushCompress, Status};

    pub(super) struct ZlibBackend(Compression);

    impl ZlibBackend {
        pub(super) fn new(level: i32) -> Option<Self> {
            u32::try_from(level).ok().map(|level| Self(Compression::new(level)))
        }

        /// Uses a new stream for each grain: a stream that ran out of room cannot be reused (zlib-rs 0.6.8), and a
        /// full output would need a second call.
        pub(super) fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
            let mut stream = Compress::new(self.0, true);
            let status = stream
                .compress(input, output, FlushCompress::Finish)
                .map_err(|error| Error::new(ErrorKind::Limit).because("deflate failed").source(error))?;
            let len = usize::try_from(stream.total_out()).ok();
            Ok(len.filter(|_| status == Status::StreamEnd))
        }
    }
}
